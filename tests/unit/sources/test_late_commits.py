"""Numbers that are committed late are read: every stretch is read again when it has been known for long."""

from datetime import datetime, timedelta

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.sources.late_commits import Progress, Stretch

START = datetime(2026, 1, 1)  # noqa: DTZ001 - in UTC, as the clock of a database is told
DELAY = timedelta(seconds=5)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_what_was_read_early_is_due_after_the_delay() -> None:
    progress = Progress().read(10, at(0), DELAY).read(12, at(3), DELAY)
    assert progress.reached == 12
    assert progress.due(at(4) - DELAY) == ()
    assert progress.due(at(5) - DELAY) == (Stretch(None, 10, at(0)),)
    assert progress.due(at(9) - DELAY) == (Stretch(None, 12, at(3)),)


def test_what_was_read_for_good_is_not_read_again() -> None:
    progress = Progress().read(10, at(0), DELAY).read(12, at(3), DELAY)
    (due,) = progress.due(at(5) - DELAY)
    assert progress.settled(due).early == (Stretch(10, 12, at(3)),)


def test_of_a_long_reading_only_the_first_seconds_are_read_twice() -> None:
    """What was there when it began has been known for the delay, once the delay is over."""
    progress = Progress(ahead=(100, at(0)))
    for number, second in ((20, 0), (40, 3), (60, 6), (80, 9)):
        progress = progress.read(number, at(second), DELAY)
    assert progress.early == (Stretch(None, 40, at(0)),)


def test_what_came_while_it_was_read_is_new() -> None:
    progress = Progress(reached=90, ahead=(100, at(0))).read(110, at(9), DELAY)
    assert progress.early == (Stretch(100, 110, at(9)),)


def test_without_a_delay_nothing_is_read_again() -> None:
    assert Progress().read(10, at(0), timedelta(0)) == Progress(reached=10)


@pytest.mark.parametrize("number", [7, 2**63, -(2**70)])
def test_a_place_is_something_that_bson_holds(number: int) -> None:
    progress = Progress(ahead=(number + 5, at(1))).read(number, at(2), DELAY)
    stored = bson.decode(bson.encode(progress.as_place()))
    assert Progress.from_place(stored) == progress


def test_the_place_of_another_mode_is_the_beginning() -> None:
    """Up to its number not all rows have been read: they were sorted by their times."""
    assert Progress.from_place({"time": "2026-01-01T00:00:00", "number": 5}) == Progress()


@given(st.data())
def test_every_number_is_read_if_it_is_committed_within_the_delay(data: st.DataObject) -> None:
    """Numbers are taken in order, one a second, and committed in any order up to 5 s later; somebody reads
    now and then, as a source does."""
    numbers = range(1, 15)
    committed = {n: n + data.draw(st.integers(0, 5), label=f"commit {n}") for n in numbers}
    polls = sorted(data.draw(st.sets(st.integers(0, 30), min_size=1), label="polls") | {40, 50})
    mark = data.draw(st.booleans(), label="with a mark")
    progress, read = Progress(), set[int]()
    for now in polls:
        there = {n for n in numbers if committed[n] <= now}
        for due in progress.due(at(now) - DELAY):
            read |= {n for n in there if (due.low or 0) < n <= due.high}
            progress = progress.settled(due)
        if mark and there and progress.ahead is None:
            progress = Progress(progress.reached, progress.early, (max(there), at(now)))
        new = {n for n in there if n > (progress.reached or 0)}
        if new:
            read |= new
            progress = progress.read(max(new), at(now), DELAY)
    assert read == set(numbers)
    assert progress.early == ()
