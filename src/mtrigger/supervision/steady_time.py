"""Time that goes on evenly: what waits and grows old is timed by it, whatever is done to the time of day.

Promise: a clock that is set, forth or back, neither hastens nor delays a retry that waits in this process,
and makes no delivery too old.
"""

import time
from datetime import UTC, datetime, timedelta

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock() -> float:
    """Seconds that only ever grow, whatever is done to the time of day, and also while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


SET = timedelta(seconds=1)
"""Clocks that differ by this much were set; less is the time between two looks."""

_ORIGIN = datetime.now(UTC) - timedelta(seconds=clock())
"""The time of day at which `clock` stood at nought, as it looked when this process began."""


def now() -> datetime:
    """The time of day as it was when this process began, and what has passed since; aware."""
    return _ORIGIN + timedelta(seconds=clock())


def reached(moment: datetime, longest: float) -> datetime:
    """When `moment`, a time of day still to come, is reached in steady time: in `longest` seconds at most.

    Another process may have fixed it by a clock that has been put right since.
    """
    return min(moment + _set_back(), now() + timedelta(seconds=longest))


def begun(moment: datetime) -> datetime:
    """When `moment`, a time of day that has passed, was in steady time; the later one in doubt."""
    return max(moment, moment + _set_back())


def seconds_since(moment: datetime) -> float:
    """Seconds since `moment`, a time of day, as far as the time of day and steady time agree: the fewer."""
    return (min(datetime.now(UTC), now()) - moment).total_seconds()


def _set_back() -> timedelta:
    """How far the time of day has been set back since this process began, negative when it was set forth."""
    difference = now() - datetime.now(UTC)
    return difference if abs(difference) >= SET else timedelta(0)
