"""`mtrigger mailbox`: a mail server for this machine that shows what it is sent and delivers nothing."""

import asyncio
import signal

import click

_ADDRESS_HELP = "Address as HOST:PORT; port 0 takes a free one."


class _AddressType(click.ParamType[tuple[str, int]]):
    """`host:port`, or `[address]:port` for IPv6."""

    name = "host:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, colon, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            self.fail(f"{value!r} is not HOST:PORT, such as 127.0.0.1:1025", param, ctx)
        return host, int(port)


@click.command()
@click.option(
    "--smtp",
    default="127.0.0.1:1025",
    show_default=True,
    type=_AddressType(),
    help=f"For mails. {_ADDRESS_HELP}",
)
@click.option(
    "--http",
    default="127.0.0.1:8025",
    show_default=True,
    type=_AddressType(),
    help=f"For readers. {_ADDRESS_HELP}",
)
def mailbox(*, smtp: tuple[str, int], http: tuple[str, int]) -> None:
    """A local mail server with a web page to read the mails.

    It keeps the last 500 mails in memory and sends none on. Ctrl-C ends it.
    """
    asyncio.run(_serve(smtp, http))


async def _serve(smtp: tuple[str, int], http: tuple[str, int]) -> None:
    from mtrigger.web.mailbox import MailboxServer

    asked_to_end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    server = MailboxServer(smtp, http)
    await server.start()
    try:
        click.echo(f"Mails:  {server.http_url}")
        click.echo(f"SMTP:   {server.smtp_url}   (for MTRIGGER_SMTP_URL)")
        await asked_to_end.wait()
    finally:
        await server.stop()
