"""Child processes: told together, named when they fail, and gone when their parent is."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from mtrigger.supervision.children import ChildError, Children
from mtrigger.supervision.stopping import Stop

HEARS = """
import sys
for line in sys.stdin:
    print(sys.argv[1], line.strip(), file=open(sys.argv[2], "a"), flush=True)
    if line == sys.argv[3]: sys.exit(0)
"""


def hears(name: str, notes: Path, last: str) -> tuple[str, ...]:
    """A child that notes what it is told, and ends at the word `last`."""
    return (sys.executable, "-c", HEARS, name, str(notes), f"{last}\n")


async def test_all_are_told_to_stop_and_then_to_hurry(tmp_path: Path) -> None:
    """In this order; in good order it ends without an error."""
    notes, stop = tmp_path / "notes", Stop()
    commands = [hears("a", notes, "hurry"), hears("b", notes, "hurry")]
    running = asyncio.create_task(Children(stop, 30.0).run(commands, os.environ))
    stop.request()
    stop.request()
    await running
    assert sorted(notes.read_text().splitlines()) == ["a hurry", "a stop", "b hurry", "b stop"]


async def test_a_child_that_fails_ends_the_others_and_is_named(tmp_path: Path) -> None:
    """The first to fail, with its own exit code; one that is stopped because of it is none."""
    notes = tmp_path / "notes"
    commands = [hears("a", notes, "stop"), (sys.executable, "-c", "raise SystemExit(78)")]
    with pytest.raises(ChildError, match=r"process 2 of 2 \(pid \d+\) ended with exit code 78") as raised:
        await Children(Stop(), 30.0).run(commands, os.environ)
    assert raised.value.exit_code == 78


async def test_a_child_that_ends_in_good_order_ends_the_others_so(tmp_path: Path) -> None:
    """Somebody has told it to stop: that is meant for all."""
    commands = [hears("a", tmp_path / "notes", "stop"), (sys.executable, "-c", "pass")]
    await Children(Stop(), 30.0).run(commands, os.environ)


async def test_nothing_is_left_behind_when_one_cannot_be_started(tmp_path: Path) -> None:
    """Those that were started before it are ended."""
    commands = [hears("a", tmp_path / "notes", "stop"), ("/does/not/exist",)]
    children = Children(Stop(), 30.0)
    with pytest.raises(FileNotFoundError):
        await children.run(commands, os.environ)
    (first,) = children._processes
    assert await first.wait() == -9
