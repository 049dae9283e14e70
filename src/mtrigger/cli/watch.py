"""`mtrigger watch`: the main job, until a signal ends it."""

import asyncio
import os
import signal
from typing import Any

import click

from mtrigger.cli.options import (
    drain_option,
    dry_run_option,
    log_options,
    rule_options,
    start_from_option,
    state_options,
)
from mtrigger.cli.output import printable


@click.command()
@rule_options
@state_options
@start_from_option
@drain_option
@dry_run_option
@log_options
def watch(log_format: str, log_level: str, **given: Any) -> None:
    """Watch MongoDB and run what the rules say.

    Stops on Ctrl-C or SIGTERM: what runs may finish, the position is saved. A second one stops at once; that
    is safe, too. The mail server is named by MTRIGGER_SMTP_URL, the sender by MTRIGGER_MAIL_FROM.
    """
    from mtrigger import engine
    from mtrigger.logs import set_up_logging
    from mtrigger.settings import Settings, read_mail_settings

    set_up_logging(log_format, log_level)
    smtp, mail_from = read_mail_settings(os.environ)
    settings = Settings(
        rules=given["rules"],
        templates=given["templates"],
        uri=given["uri"] or None,
        state_uri=given["state_uri"],
        state_db=given["state_db"],
        start_from=given["start_from"],
        drain=given["drain"],
        dry_run=given["dry_run"],
        smtp=smtp,
        mail_from=mail_from,
        environ=os.environ,
    )

    async def run() -> None:
        stop = engine.Stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.request)
        await engine.run(settings, stop, show_preview)

    asyncio.run(run())


def show_preview(work: Any, preview: Any) -> None:
    """Print what a dry run would have done."""
    click.secho(f"would run: rule {work.rule}, {work.action}: {printable(preview.summary)}", bold=True)
    for name, text in preview.parts.items():
        click.echo(f"--- {name} ---\n{printable(text)}")
