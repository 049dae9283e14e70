"""`mtrigger watch`: the main job, until a signal ends it; in one process, or in several children of it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from mtrigger.cli.options import (
    division_options,
    drain_option,
    dry_run_option,
    lease_option,
    log_options,
    position_options,
    rule_options,
    sources_beside_option,
    state_options,
)
from mtrigger.cli.output import printable


@click.command()
@rule_options
@sources_beside_option
@state_options
@position_options
@drain_option
@lease_option
@division_options
@dry_run_option
@log_options
def watch(log_format: str, log_level: str, **given: Any) -> None:
    """Watch MongoDB and run what the rules say.

    Stops on Ctrl-C or SIGTERM: what runs may finish, the position is saved. A second one stops at once; that
    is safe, too. The mail server is named by MTRIGGER_SMTP_URL, the sender by MTRIGGER_MAIL_FROM.
    """
    from mtrigger.logs import labelled, set_up_logging
    from mtrigger.settings import Settings, read_mail_settings
    from mtrigger.supervision.interpreter import run

    set_up_logging(log_format, log_level)
    smtp, mail_from = read_mail_settings(os.environ)
    source = click.get_current_context().get_parameter_source("start_from")
    processes, process = given["processes"], given["process"]
    settings = Settings(
        rules=given["rules"],
        templates=given["templates"],
        sources=given["sources"],
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
        partitions=processes if given["partitions"] is None else given["partitions"],
        processes=processes,
        process=process or 0,
        smtp=smtp,
        mail_from=mail_from,
        environ=os.environ,
    )
    if process is not None:
        labelled(process=process + 1)
        run(_one_of_several(settings))
    elif processes > 1:
        run(_several(settings))
    else:
        run(_alone(settings))


async def _alone(settings: Any) -> None:
    """Watch in this process."""
    from mtrigger.supervision.stopping import Stop

    stop = Stop()
    _on_signals(stop.request)
    await _watch(settings, stop)


async def _one_of_several(settings: Any) -> None:
    """Watch as a child: the parent's word counts, and a signal, which others may have had too, once."""
    from mtrigger.supervision.children import heed_parent
    from mtrigger.supervision.stopping import Stop

    stop = Stop()
    _on_signals(stop.requested.set)
    heeding = asyncio.create_task(heed_parent(stop))
    await _watch(settings, stop)
    heeding.cancel()


async def _watch(settings: Any, stop: Any) -> None:
    from mtrigger import engine
    from mtrigger.supervision.stopping import TIDYING_UP, leave_within

    last_words = "something of an action or a library does not end: leaving it behind"
    try:
        await engine.run(settings, stop, show_preview)
    except Exception as error:
        last_words = str(error)
        raise
    finally:
        leave_within(TIDYING_UP, last_words)


async def _several(settings: Any) -> None:
    """Start the same command as children, a share of the partitions each. What would fail in all of them
    fails here, once."""
    from mtrigger.deployment.databases import address
    from mtrigger.loading import load
    from mtrigger.loading.source_files import load_sources
    from mtrigger.supervision.children import Children
    from mtrigger.supervision.stopping import Stop

    stop = Stop()
    _on_signals(stop.request)
    load(settings.rules, settings.templates, settings.environ)
    if settings.sources is not None:
        load_sources(settings.sources, settings.environ)
    async with address(settings) as uri:
        command = (sys.executable, "-m", "mtrigger", *sys.argv[1:], "--process")
        commands = [(*command, str(number)) for number in range(settings.processes)]
        await Children(stop, settings.drain).run(commands, {**os.environ, "MTRIGGER_URI": uri})


def _on_signals(call: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, call)


def show_preview(work: Any, preview: Any) -> None:
    """Print what a dry run would have done."""
    click.secho(f"would run: rule {work.rule}, {work.action}: {printable(preview.summary)}", bold=True)
    for name, text in preview.parts.items():
        click.echo(f"--- {name} ---\n{printable(text)}")
