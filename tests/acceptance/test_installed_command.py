"""The command that an installation brings: it starts, says its version, and refuses what it does not know.

Each is started in a new interpreter, which has imported nothing.
"""

import click
import pytest

import mtrigger
from mtrigger.cli import cli
from support.command import MtriggerCommand


def test_the_command_says_its_version(mtrigger_command: MtriggerCommand) -> None:
    """The one of the package."""
    answer = mtrigger_command.start("--version")
    assert (answer.wait(), answer.stderr) == (0, "")
    assert mtrigger.__version__ in answer.stdout


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"], ["check", "--nonsense"]])
def test_an_unknown_word_is_a_usage_error(arguments: list[str], mtrigger_command: MtriggerCommand) -> None:
    """Exit code 2, the word repeated, on standard error, without a traceback."""
    answer = mtrigger_command.start(*arguments)
    assert (answer.wait(), answer.stdout) == (2, "")
    assert "nonsense" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_every_command_starts_whatever_the_others_import(mtrigger_command: MtriggerCommand) -> None:
    """Each imports what it needs, in an order that works."""
    names = cli.list_commands(click.Context(cli))
    for running in [mtrigger_command.start(name, "--help") for name in names]:
        assert (running.wait(), running.stderr) == (0, ""), running.name
        assert "--help" in running.stdout


def test_a_started_command_is_read_while_it_runs(mtrigger_command: MtriggerCommand) -> None:
    """Lines are there as soon as they are written, and afterwards all of them."""
    running = mtrigger_command.start("--help")
    assert running.wait_for_line(r"^  (check) +Check").group(1) == "check"
    assert running.wait() == 0
    assert running.output == running.stdout
    assert "$ mtrigger --help\nUsage" in mtrigger_command.report()
