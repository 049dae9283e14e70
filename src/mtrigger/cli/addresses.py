"""Which MongoDB a command means: what the options say, else the embedded server of a `watch` that runs."""

import os
from dataclasses import dataclass
from pathlib import Path

import click

from mtrigger.cli.options import state_db_option, state_uri_option, together
from mtrigger.settings import Settings

watched_option = click.option(
    "--uri",
    metavar="URI",
    default="",
    envvar="MTRIGGER_URI",
    show_envvar=True,
    help="The MongoDB that is watched.  [default: the embedded server of a running `watch`]",
)
"""`--uri` for commands that start no server."""

address_options = together(watched_option, state_uri_option, state_db_option)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the watched deployment is ("" when only the state was named), and where the state is kept."""

    uri: str
    state_uri: str
    state_db: str


def addresses(uri: str, state_uri: str, state_db: str) -> Addresses:
    """The addresses in the options. Raises UsageError for none, SettingsError for a wrong one."""
    Settings(rules=Path(), uri=uri, state_uri=state_uri, state_db=state_db)  # checks them
    if state_uri:
        return Addresses(uri, state_uri, state_db)
    found = watched_uri(uri)
    return Addresses(found, found, state_db)


def watched_uri(uri: str) -> str:
    """The address in the option, else that of the embedded server. Raises UsageError when there is none."""
    from mtrigger.embedded import default_data_folder, running_uri

    Settings(rules=Path(), uri=uri)  # checks it
    found = uri or running_uri(default_data_folder(os.environ))
    if not found:
        raise click.UsageError(
            "say which MongoDB with --uri mongodb://… or MTRIGGER_URI (without it, the embedded server of a "
            "running `mtrigger watch` is meant, and there is none)"
        )
    return found
