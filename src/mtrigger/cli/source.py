"""`mtrigger source`: check sources, read them, look where they stand, begin anew."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from mtrigger.cli.addresses import address_options
from mtrigger.cli.options import json_option, lease_option, log_options, sources_option, together

_names = click.argument("names", metavar="[NAME]...", nargs=-1)


@click.group()
def source() -> None:
    """Check, run and look at sources: tables of relational databases whose rows become documents or
    messages."""


@source.command()
@_names
@click.option("--offline", is_flag=True, default=False, help="Only read the files, connect to nothing.")
@click.option("--rows", type=click.IntRange(0, 100), default=3, show_default=True, help="Rows to show.")
@together(sources_option, json_option)
def check(*, names: tuple[str, ...], offline: bool, rows: int, sources: Path, as_json: bool) -> None:
    """Check sources: their files, and what is found in their databases. Stores nothing.

    Shows the first rows as they would be stored. Exits with 1 when something is wrong.
    """
    from mtrigger.cli.source_check import checked

    sys.exit(checked(sources, names, offline=offline, rows=rows, as_json=as_json))


@source.command()
@_names
@click.option("--once", is_flag=True, default=False, help="End when all that is there now has been stored.")
@together(sources_option, address_options, lease_option, log_options)
def run(
    *, names: tuple[str, ...], once: bool, sources: Path, log_format: str, log_level: str, **given: Any
) -> None:
    """Read sources: all of the folder, or those named. `mtrigger watch --sources` does the same beside the
    rules.

    Stops on Ctrl-C or SIGTERM. With --once it exits with 1 when something could not be read or stored.
    """
    from mtrigger.cli.addresses import addresses
    from mtrigger.cli.source_run import run_sources
    from mtrigger.logs import set_up_logging
    from mtrigger.supervision.interpreter import run as run_loop

    set_up_logging(log_format, log_level)
    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    bar = once and log_format == "text" and sys.stderr.isatty()
    work = run_sources(where, sources, names, os.environ, lease=given["lease"], once=once, bar=bar)
    if not run_loop(work):
        sys.exit(1)


@source.command("list")
@together(address_options, json_option)
def list_sources(*, as_json: bool, **given: Any) -> None:
    """List all sources that were ever read.

    Who reads them, where each of their tables stands, and what is wrong.
    """
    from mtrigger.cli.addresses import addresses
    from mtrigger.cli.connecting import run as run_command
    from mtrigger.cli.source_places import listed, shown

    documents = run_command(listed(addresses(given["uri"], given["state_uri"], given["state_db"])))
    click.echo(shown(documents, as_json=as_json))


@source.command()
@click.argument("name")
@click.option("--yes", is_flag=True, default=False, help="Do not ask.")
@click.option(
    "--force", is_flag=True, default=False, help="Also while a process reads it: that begins anew, too."
)
@together(address_options, json_option)
def reset(*, name: str, yes: bool, force: bool, as_json: bool, **given: Any) -> None:
    """Forget where a source stands: all is read anew.

    Documents are written once more, which changes nothing where nothing has changed. Messages that are still
    in the topic are not published twice, except by the modes `bulk` and `snapshot`.
    """
    from mtrigger.cli.addresses import addresses
    from mtrigger.cli.connecting import run as run_command
    from mtrigger.cli.output import confirmed, print_json, say
    from mtrigger.cli.source_places import forget

    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    go = confirmed(f"Read {name} anew from the beginning?", yes)
    done = go and run_command(forget(where, name, force=force))
    if as_json:
        print_json({"reset": done})
    if done:
        say(f"{name} begins anew")
    else:
        say(f"there is no source {name} that was ever read" if go else "left as it is")
        sys.exit(1 if go else 0)
