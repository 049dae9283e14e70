"""Options that several commands share, each with its environment variable.

A decorator adds one option; the command's parameter has the option's name (`--state-uri` is `state_uri`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mtrigger.config_types import parse_duration

CommandT = TypeVar("CommandT", bound=Callable[..., Any] | click.Command)

_PATH = click.Path(path_type=Path)


class DurationType(click.ParamType[float]):
    """Seconds, written as `500ms`, `30s`, `5m`, `2h` or `7d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _option(name: str, **settings: Any) -> Callable[[CommandT], CommandT]:
    variable = "MTRIGGER_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=variable, show_envvar=True, **settings)


uri_option = _option(
    "--uri",
    metavar="URI",
    default="",
    help="MongoDB to watch, mongodb://…; without it an embedded one is started.",
)
rules_option = _option(
    "--rules",
    type=_PATH,
    default=Path("triggers"),
    show_default=True,
    help="Folder of the rules, or one file.",
)
templates_option = _option(
    "--templates",
    type=_PATH,
    default=None,
    help="Folder of the templates.  [default: templates/ beside the rules]",
)
sources_option = _option(
    "--sources",
    type=_PATH,
    default=Path("sources"),
    show_default=True,
    help="Folder of the sources, or one file.",
)
sources_beside_option = _option(
    "--sources", type=_PATH, default=None, help="Folder of sources to read beside the rules.  [default: none]"
)
state_uri_option = _option(
    "--state-uri",
    metavar="URI",
    default="",
    help="Where mtrigger keeps its state.  [default: the one it watches]",
)
state_db_option = _option(
    "--state-db", metavar="NAME", default="mtrigger", show_default=True, help="Database of the state."
)
start_from_option = _option(
    "--start-from",
    metavar="[now|oldest|rescan|TIME]",
    default="now",
    show_default=True,
    help="Where the very first start begins: now, the oldest change there is, or an ISO 8601 time with zone; "
    "rescan: hold the documents that are there against the rules, and go on from now.",
)
_POLICIES = click.Choice(["fail", "rescan", "from-now", "from-oldest"])
on_history_lost_option = _option(
    "--on-history-lost",
    type=_POLICIES,
    default="fail",
    show_default=True,
    help="What to do when the oplog no longer reaches back to the position: end and ask; hold the documents "
    "against the rules and go on from now; go on from now; go on with the oldest change there is.",
)
on_invalid_token_option = _option(
    "--on-invalid-token",
    type=_POLICIES,
    default="fail",
    show_default=True,
    help="The same for when neither the position nor its time can be resumed from.",
)
drain_option = _option(
    "--drain",
    type=DurationType(),
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="How long running actions may take to finish when mtrigger is stopped.",
)
lease_option = _option(
    "--lease",
    type=DurationType(),
    metavar="DURATION",
    default="15s",
    show_default=True,
    help="How long a watcher may be silent before another one, standing by, takes over.",
)
partitions_option = _option(
    "--partitions",
    type=int,
    metavar="N",
    default=None,
    help="Divide the stream by documents into so many partitions, to spread over processes and machines."
    "  [default: as many as --processes]",
)
processes_option = _option(
    "--processes",
    type=int,
    metavar="N",
    default=1,
    show_default=True,
    help="How many processes on this machine share the partitions.",
)
process_option = click.option("--process", type=int, default=None, hidden=True)
"""Which of the processes this is, from 0; given by the one that starts them."""

dry_run_option = _option(
    "--dry-run", is_flag=True, default=False, help="Watch and match, show what would be done, and do nothing."
)
log_format_option = _option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the log lines.",
)
log_level_option = _option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
    help="The least important lines to log.",
)
json_option = click.option("--json", "as_json", is_flag=True, default=False, help="Print one JSON document.")


def together(*decorators: Callable[[CommandT], CommandT]) -> Callable[[CommandT], CommandT]:
    """One decorator that adds several options, in the order given."""

    def decorate(command: CommandT) -> CommandT:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


position_options = together(start_from_option, on_history_lost_option, on_invalid_token_option)
rule_options = together(rules_option, templates_option)
state_options = together(uri_option, state_uri_option, state_db_option)
division_options = together(partitions_option, processes_option, process_option)
log_options = together(log_format_option, log_level_option)
