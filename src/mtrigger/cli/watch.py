"""`mtrigger watch`: the main job, until a signal ends it."""

import asyncio
import os
import signal
from typing import Any

import click
from click.core import ParameterSource

from mtrigger.cli.options import (
    drain_option,
    dry_run_option,
    lease_option,
    log_options,
    position_options,
    rule_options,
    state_options,
)
from mtrigger.cli.output import printable


@click.command()
@rule_options
@state_options
@position_options
@drain_option
@lease_option
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
    from mtrigger.supervision.stopping import TIDYING_UP, Stop, leave_within

    set_up_logging(log_format, log_level)
    smtp, mail_from = read_mail_settings(os.environ)
    source = click.get_current_context().get_parameter_source("start_from")
    settings = Settings(
        rules=given["rules"],
        templates=given["templates"],
        uri=given["uri"] or None,
        state_uri=given["state_uri"],
        state_db=given["state_db"],
        start_from=given["start_from"],
        # A variable of the environment stays there for every start: that is no word about this one.
        afresh=source is ParameterSource.COMMANDLINE,
        on_history_lost=given["on_history_lost"],
        on_invalid_token=given["on_invalid_token"],
        drain=given["drain"],
        lease=given["lease"],
        dry_run=given["dry_run"],
        smtp=smtp,
        mail_from=mail_from,
        environ=os.environ,
    )

    async def run() -> None:
        stop = Stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.request)
        last_words = "something of an action or a library does not end: leaving it behind"
        try:
            await engine.run(settings, stop, show_preview)
        except Exception as error:
            last_words = str(error)
            raise
        finally:
            leave_within(TIDYING_UP, last_words)

    asyncio.run(run())


def show_preview(work: Any, preview: Any) -> None:
    """Print what a dry run would have done."""
    click.secho(f"would run: rule {work.rule}, {work.action}: {printable(preview.summary)}", bold=True)
    for name, text in preview.parts.items():
        click.echo(f"--- {name} ---\n{printable(text)}")
