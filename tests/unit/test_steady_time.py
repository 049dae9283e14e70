"""Steady time: what waits and grows old whatever is done to the time of day."""

from datetime import UTC, datetime, timedelta

import pytest

from mtrigger.supervision import steady_time

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MOMENT = timedelta(minutes=1)
"""Longer than any two lines of a test are apart."""


@pytest.mark.parametrize(
    ("due_in", "waited"),
    [
        (HOUR, HOUR),
        (DAY, DAY),
        (3 * DAY, DAY),
        (365 * DAY, DAY),
        (-HOUR, -HOUR),
        (timedelta(0), timedelta(0)),
    ],
)
def test_a_moment_is_reached_when_it_should_but_never_later_than_can_be(
    due_in: timedelta, waited: timedelta
) -> None:
    """A row may have been written by a clock that was a year ahead: nobody waits for that year."""
    reached = steady_time.reached(datetime.now(UTC) + due_in, DAY.total_seconds())

    assert abs(reached - steady_time.now() - waited) < MOMENT


def test_time_only_ever_goes_on() -> None:
    """And it is aware."""
    times = [steady_time.now() for _ in range(1000)]
    assert times == sorted(times)
    assert times[0].tzinfo is UTC


@pytest.fixture(params=[DAY, -DAY, 400 * DAY], ids=["set back", "set forth", "set back far"])
def set_back(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """The time of day was set since the process began: back by this much."""
    off: timedelta = request.param
    monkeypatch.setattr(steady_time, "_ORIGIN", steady_time._ORIGIN + off)
    return off


def test_a_wait_is_as_long_as_it_was_meant(set_back: timedelta) -> None:
    """It was fixed by the time of day as it is now."""
    reached = steady_time.reached(datetime.now(UTC) + HOUR, DAY.total_seconds())

    assert abs(reached - steady_time.now() - HOUR) < MOMENT


def test_nothing_is_older_than_it_is(set_back: timedelta) -> None:
    """Whether it was made before the clock was set or after."""
    before, after = steady_time.now() - HOUR, datetime.now(UTC) - HOUR

    for moment in (before, after):
        assert steady_time.seconds_since(moment) < (HOUR + MOMENT).total_seconds()
        assert steady_time.begun(moment) > steady_time.now() - HOUR - MOMENT


def test_times_are_left_as_they_are_where_no_clock_was_set() -> None:
    """To the microsecond: they are shown, too."""
    moment = datetime(2026, 1, 31, 10, 0, 0, 123_457, tzinfo=UTC)

    assert steady_time.begun(moment) == moment
    assert steady_time.reached(moment, DAY.total_seconds()) == moment
