"""The command that an installation brings: it starts, says its version, and refuses what it does not know."""

import pytest

import mtrigger
from support.command import MtriggerCommand


def test_the_command_says_its_version(mtrigger_command: MtriggerCommand) -> None:
    """The one of the package."""
    answer = mtrigger_command.run("--version")
    assert (answer.code, answer.stderr) == (0, "")
    assert mtrigger.__version__ in answer.stdout


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"], ["check", "--nonsense"]])
def test_an_unknown_word_is_a_usage_error(arguments: list[str], mtrigger_command: MtriggerCommand) -> None:
    """Exit code 2, the word repeated, on standard error, without a traceback."""
    answer = mtrigger_command.run(*arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert "nonsense" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_started_command_is_read_while_it_runs(mtrigger_command: MtriggerCommand) -> None:
    """Lines are there as soon as they are written, and afterwards all of them."""
    running = mtrigger_command.start("--help")
    assert running.wait_for_line(r"^  (check) +Check").group(1) == "check"
    assert running.wait() == 0
    assert running.output == running.stdout
    assert "$ mtrigger --help\nUsage" in mtrigger_command.report()
