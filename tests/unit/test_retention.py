"""Which of the oldest messages may go."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.topics.retention import MOST_MARKS, Mark, first_kept, marked, still_needed, surplus

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def mark(minutes: float, following: int) -> Mark:
    return Mark(at(minutes), following)


def test_the_first_mark_is_made_at_once() -> None:
    """From then on ages are known."""
    assert marked((), at(0), 7) == (mark(0, 7),)


@pytest.mark.parametrize(
    ("minutes", "following", "is_noted"),
    [
        (10, 20, True),
        (10, 10, False),  # nothing has come since
        (0.01, 20, False),  # just now
    ],
)
def test_a_mark_is_made_where_it_tells_something(minutes: float, following: int, *, is_noted: bool) -> None:
    """The age of what has come since the last one."""
    marks = (mark(0, 10),)
    found = marked(marks, at(minutes), following)
    assert found == ((*marks, mark(minutes, following)) if is_noted else marks)


@pytest.mark.parametrize(
    ("minutes", "seconds", "first"),
    [
        (0, 600, 1),
        (9.9, 600, 1),
        (10, 600, 5),
        (15, 600, 5),
        (20, 600, 9),
        (1_000, 600, 9),  # what has come after the last mark has no age yet
        (1_000, None, 1),
    ],
)
def test_what_is_older_goes(minutes: float, seconds: float | None, first: int) -> None:
    """As far as marks tell how old it is."""
    assert first_kept((mark(0, 5), mark(10, 9)), at(minutes), seconds) == first


def test_marks_below_what_is_kept_tell_nothing_any_more() -> None:
    """The one at it, neither."""
    assert still_needed((mark(0, 5), mark(1, 9), mark(2, 12)), 9) == (mark(2, 12),)


@pytest.mark.parametrize(("too_much", "first"), [(0, 1), (1, 4), (100, 4), (101, 8), (300, 9), (10_000, 9)])
def test_the_oldest_go_until_it_is_little_enough(too_much: int, first: int) -> None:
    """No more of them than have to, and holes do not matter."""
    assert surplus([(3, 100), (7, 100), (8, 100)], too_much) == first


@given(
    steps=st.lists(st.tuples(st.floats(0.1, 5_000), st.integers(0, 9)), min_size=1, max_size=150),
    keep=st.floats(60, 100_000),
)
def test_nothing_goes_too_early_and_marks_stay_few(steps: list[tuple[float, int]], keep: float) -> None:
    """However often a topic is swept and whatever comes in between."""
    marks: tuple[Mark, ...] = ()
    now, following, first = START, 1, 1
    numbered: list[datetime] = []
    for seconds, more in steps:
        now += timedelta(seconds=seconds)
        numbered += [now] * more
        following += more
        marks = marked(marks, now, following)
        first = max(first, first_kept(marks, now, keep))
        marks = still_needed(marks, first)
        assert len(marks) <= MOST_MARKS + 1
        assert all(now - one >= timedelta(seconds=keep) for one in numbered[: first - 1])


def test_what_is_too_old_goes_soon() -> None:
    """Swept every minute, a message is late by a small share of the time that messages are kept."""
    keep = timedelta(days=7)
    marks: tuple[Mark, ...] = ()
    first, now = 1, START
    for minute in range(1, 9 * 24 * 60):
        now, following = at(minute), minute
        marks = marked(marks, now, following)
        first = max(first, first_kept(marks, now, keep.total_seconds()))
        marks = still_needed(marks, first)
    late = now - keep - at(first)
    assert timedelta(0) <= late < keep / 20
