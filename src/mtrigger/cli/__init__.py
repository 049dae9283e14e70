"""The command `mtrigger`: its commands by name, and how each way to end becomes an exit code.

Commands are imported when they are called, so that `mtrigger --help` stays fast and `mtrigger check` needs no
driver.
"""

import gc
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click

from mtrigger.errors import MtriggerError


@dataclass(frozen=True, slots=True)
class _Command:
    module: str
    help: str


_COMMANDS = {
    "watch": _Command("mtrigger.cli.watch", "Watch MongoDB and run the rules. The main job."),
    "check": _Command("mtrigger.cli.check", "Check all rules and templates; report every mistake."),
    "test": _Command("mtrigger.cli.test", "Run the tests of rules, or trace one event. Sends nothing."),
    "explain": _Command("mtrigger.cli.explain", "Say what the server filters and what is left to mtrigger."),
    "graph": _Command("mtrigger.cli.graph", "Draw what flows where: sources, topics, rules, actions."),
    "status": _Command("mtrigger.cli.status", "Show where the watcher stands and what is owed."),
    "deliveries": _Command("mtrigger.cli.deliveries", "List, show, retry or discard deliveries."),
    "topic": _Command("mtrigger.cli.topic", "Topics: list, publish, tail, and the groups that read them."),
    "source": _Command("mtrigger.cli.source", "Check and run sources: rows of SQL tables into MongoDB."),
    "silence": _Command("mtrigger.cli.silence", "Leave out what becomes due of a rule for a time."),
    "pause": _Command("mtrigger.cli.pause", "Let nothing of a rule run until it is resumed."),
    "resume": _Command("mtrigger.cli.pause", "Let a rule that is paused go on."),
    "checkpoint": _Command(
        "mtrigger.cli.checkpoint", "Show, set or reset the position in the change stream."
    ),
    "gaps": _Command("mtrigger.cli.gaps", "List what was knowingly skipped."),
    "replay": _Command("mtrigger.cli.replay", "Hold rules against the past; owe what was not owed yet."),
    "prepare": _Command("mtrigger.cli.prepare", "Turn on pre- and post-images where rules need them."),
    "schema": _Command("mtrigger.cli.schema", "Print the JSON Schema of a rule file, for editors."),
    "init": _Command("mtrigger.cli.init", "Write a first rule and its template to start from."),
    "demo": _Command("mtrigger.cli.demo", "Show it all: a database, orders, rules and a mailbox."),
    "mailbox": _Command("mtrigger.cli.mailbox", "A local mail server with a web page to read the mails."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(entry.module), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from mtrigger.config_types import closest

            near = closest(args[0], _COMMANDS)
            hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(_COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: Any) -> None:
    if asked and not ctx.resilient_parsing:
        from mtrigger import __version__

        click.echo(f"mtrigger {__version__}")
        ctx.exit()


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """Triggers for MongoDB: rules on change streams, e-mails and webhooks that are never lost."""


def main() -> NoReturn:
    """Run the command and end the process: one sentence for a user's mistake, a traceback only on request."""
    gc.set_threshold(20_000, 20, 20)  # modules stay: looking for garbage among them is a tenth of the start
    try:
        result = cli.main(standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except BrokenPipeError:  # the reader has gone (`mtrigger … | head`): nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except MtriggerError as error:
        _say(str(error), error)
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        from mtrigger.redaction import brief

        _say(f"{type(error).__name__}: {brief(error)} (run with MTRIGGER_TRACEBACK=1 for details)", error)
        code = 1
    sys.exit(code)


def _say(message: str, error: Exception) -> None:
    from mtrigger.redaction import redact_uri

    if os.environ.get("MTRIGGER_TRACEBACK"):
        import traceback

        click.echo(redact_uri("".join(traceback.format_exception(error))), err=True)
    click.echo(redact_uri(f"mtrigger: {message}"), err=True)
