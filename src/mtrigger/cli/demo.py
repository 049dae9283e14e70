"""`mtrigger demo`: everything at once, to look at, until Ctrl-C."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from mtrigger.cli.init import write_starting_point


@click.command()
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the rules.  [default: triggers/ here, else the ones that `mtrigger init` writes]",
)
@click.option(
    "--port",
    type=int,
    default=8025,
    show_default=True,
    help="Port of the page with the mails; 0 takes a free one.",
)
def demo(rules: Path | None, port: int) -> None:
    """Show it all: a database, orders, rules and a mailbox.

    Starts an embedded MongoDB and a mailbox, watches shop.orders with the rules in triggers/, and takes an
    order every now and then. Change a rule or a template while it runs. Ctrl-C ends it and leaves nothing.
    """
    from mtrigger.logs import set_up_logging

    set_up_logging("text", "warning")
    with nullcontext(rules) if rules else _rules_here_or_made() as folder:
        asyncio.run(_run(folder, port))


@contextmanager
def _rules_here_or_made() -> Iterator[Path]:
    """`triggers/` of this folder; where there is none, those of `mtrigger init`, in a temporary folder."""
    here = Path("triggers")
    if here.is_dir():
        yield here
        return
    with tempfile.TemporaryDirectory(prefix="mtrigger-demo-") as folder:
        write_starting_point(Path(folder))
        yield Path(folder) / "triggers"


async def _run(rules: Path, port: int) -> None:
    from mtrigger import demo as show
    from mtrigger.supervision.stopping import Stop
    from mtrigger.web.mailbox import MailboxServer

    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.request)
    click.echo("Starting MongoDB and the mailbox …")
    mailbox = MailboxServer(("127.0.0.1", 0), ("127.0.0.1", port))
    async with show.demo(rules, os.environ, mailbox) as running:
        click.secho(f"\n  The mails:   {running.mailbox}", bold=True)
        click.echo(f"  MongoDB:     {running.mongodb}")
        click.echo(f"  The rules:   {rules}/  (change one while this runs)\n  Ctrl-C ends it.\n")
        await show.run(running, stop, click.echo)
    click.echo("The demo has ended and left nothing behind.")
