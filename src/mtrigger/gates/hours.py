"""The `active:` hours of a rule: whether it may speak now, and when it next may."""

from datetime import datetime, timedelta

from mtrigger.quiet import Active

_DAYS_AHEAD = 8


def opens_in(active: Active, now: datetime) -> float:
    """Seconds from `now` (aware) until the hours begin; 0 within them.

    Days and hours are those of the wall clocks in the rule's time zone, which may be put forward or back.
    """
    local = now.astimezone(active.zone)
    first = local.date() - timedelta(days=1)
    for ahead in range(_DAYS_AHEAD + 1):
        day = first + timedelta(days=ahead)
        if day.weekday() not in active.days:
            continue
        begins = datetime.combine(day, active.start, active.zone)
        over_midnight = active.end <= active.start
        ends = datetime.combine(day + timedelta(days=over_midnight), active.end, active.zone)
        # Compared in real time: within one zone Python would compare what the clocks show.
        if now.timestamp() < ends.timestamp():
            return max(0.0, begins.timestamp() - now.timestamp())
    raise AssertionError("a rule is active on one day of the week at least")
