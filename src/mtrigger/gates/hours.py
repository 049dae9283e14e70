"""The `active:` hours of a rule: whether it may speak now, since when, and when it next may."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mtrigger.quiet import Active

_DAYS_AHEAD = 21
"""Far enough for a rule of one day a week, whose hours clocks may skip that day."""

_NEAR = timedelta(seconds=1)


def opens_in(active: Active, now: datetime) -> float:
    """Seconds from `now` (aware) until the hours begin; 0 within them.

    Days and hours are those of the wall clocks in the rule's time zone, which may be put forward or back.
    Where clocks show a time twice, hours begin and end at the first; where they skip it, when they skip it.
    """
    begins = _window(active, now)
    return max(0.0, (begins - now).total_seconds())


def open_for(active: Active, now: datetime) -> float:
    """Seconds since the hours that `now` lies in have begun; 0 outside of them."""
    begins = _window(active, now)
    return max(0.0, (now - begins).total_seconds())


def _window(active: Active, now: datetime) -> datetime:
    """When the hours begin that `now` lies in, or the next ones."""
    first = now.astimezone(active.zone).date() - timedelta(days=1)
    for ahead in range(_DAYS_AHEAD + 1):
        day = first + timedelta(days=ahead)
        if day.weekday() not in active.days:
            continue
        over_midnight = active.end <= active.start
        begins = _moment(day, active.start, active.zone)
        ends = _moment(day + timedelta(days=over_midnight), active.end, active.zone)
        if begins < ends and now < ends:
            return begins
    raise AssertionError("a rule is active on one day of the week at least")


def _moment(day: date, shown: time, zone: ZoneInfo) -> datetime:
    """When clocks in `zone` show this on `day`, in UTC: within one zone Python would compare what they show,
    not what has passed."""
    local = datetime.combine(day, shown, zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    before, after = local.replace(fold=1).astimezone(UTC), moment
    while after - before > _NEAR:  # skipped: find where the offset changes
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == after.astimezone(zone).utcoffset():
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
