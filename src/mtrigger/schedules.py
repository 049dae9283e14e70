"""When rules with a `schedule` run: the times of a cron expression, what is due of them, and the event that a
scheduled time is. Pure.

Promises: a time is the same wherever and whenever it is worked out, so what is owed for it has the same ids;
times only grow, also where clocks are put forward or back; the times that are due never leave out the one
that was waited for. What clocks do to a schedule is what Debian's cron does (cronsim): a fixed time that a
day does not have comes right after the gap, and one that it has twice comes once.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain, islice, takewhile
from typing import Any

from bson.timestamp import Timestamp
from cronsim import CronSim

from mtrigger.events import SCHEDULE, ChangeEvent, Document
from mtrigger.quiet import Schedule
from mtrigger.rules import Rule

MOST_CAUGHT_UP = 1_000
"""Missed times of one rule that `catch_up: all` makes up for: the latest ones."""

MOST_COUNTED = 10_000
"""Missed times that are counted; whether there are more is not looked at, because it takes time."""

LATE = timedelta(minutes=1)
"""With `catch_up: none`, a time counts as missed when it is longer ago than this."""

_NOTHING: Document = {}


@dataclass(frozen=True, slots=True)
class Due:
    """The times that are due, the oldest first, and how many more have passed that are left out (counted up
    to MOST_COUNTED)."""

    times: tuple[datetime, ...]
    left_out: int


def specification(schedule: Schedule) -> str:
    """What the times of `schedule` depend on. Where it has changed, what was waited for means nothing."""
    return f"{schedule.cron} {schedule.zone.key}"


def times_after(schedule: Schedule, moment: datetime) -> Iterator[datetime]:
    """The times behind `moment`, in UTC, without end."""
    last = moment
    for local in CronSim(schedule.cron, moment.astimezone(_zone(schedule))):
        time = local.astimezone(UTC)
        if time > last:  # where clocks are put back, cronsim begins with a time that has passed
            yield time
            last = time


def next_time(schedule: Schedule, moment: datetime) -> datetime:
    """The first time behind `moment`."""
    return next(times_after(schedule, moment))


def due(schedule: Schedule, waited_for: datetime, now: datetime) -> Due:
    """What is due at `now` of a rule whose next run was to be at `waited_for`."""
    if waited_for > now:
        return Due((), 0)
    behind = takewhile(lambda time: time > waited_for, _times_before(schedule, now))
    newest_first = list(islice(chain(behind, [waited_for]), MOST_COUNTED))
    match schedule.catch_up:
        case "all":
            taken = newest_first[:MOST_CAUGHT_UP]
        case "last":
            taken = newest_first[:1]
        case "none":
            taken = [time for time in newest_first[:1] if now - time <= LATE]
    return Due(tuple(reversed(taken)), len(newest_first) - len(taken))


def event_of(rule: Rule, time: datetime) -> ChangeEvent:
    """The event that `rule`, which has a schedule, is due at `time`.

    Its token sorts by time, but is none of the stream's: it must not be taken for a position there.
    """
    query = rule.schedule.query if rule.schedule is not None else None
    database, _, collection = (query.collection if query is not None else "").partition(".")
    seconds = int(time.timestamp())
    return ChangeEvent(
        token=f"00{seconds:010X}{hashlib.sha256(rule.name.encode()).hexdigest()[:16].upper()}",
        operation=SCHEDULE,
        database=database,
        collection=collection,
        key=_NOTHING,
        document=_NOTHING,
        cluster_time=Timestamp(seconds, 0),
        time=time,
    )


def facts(documents: Sequence[Document], count: int) -> dict[str, Any]:
    """What actions see of a query that found `count` documents and lists `documents`."""
    found = max(count, len(documents))
    return {"documents": list(documents), "count": found, "more": found - len(documents)}


def meaning(schedule: Schedule) -> str:
    """The times in plain English: `At 09:00 on Monday through Friday (Asia/Seoul)`."""
    return f"{CronSim(schedule.cron, datetime.now(UTC)).explain()} ({schedule.zone.key})"


def shown(schedule: Schedule, time: datetime) -> str:
    """A time as the clocks of the schedule's zone show it."""
    return time.astimezone(schedule.zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def by_name(rules: Sequence[Rule]) -> Mapping[str, Rule]:
    """Those of `rules` that have a schedule, by name."""
    return {rule.name: rule for rule in rules if rule.schedule is not None}


def _zone(schedule: Schedule) -> tzinfo:
    return UTC if schedule.zone.key == "UTC" else schedule.zone  # UTC itself is ten times as quick


def _times_before(schedule: Schedule, moment: datetime) -> Iterator[datetime]:
    """The times up to `moment`, `moment` included, in UTC, the latest first."""
    local = moment.astimezone(_zone(schedule))
    if local.fold:  # an hour that comes twice: its times belong to the first one, which has passed
        local += timedelta(hours=1)
    last: datetime | None = None
    # Backwards, cronsim begins a second earlier unless there is a fraction of one.
    for found in CronSim(schedule.cron, local.replace(microsecond=1), reverse=True):
        time = found.astimezone(UTC)
        if time <= moment and (last is None or time < last):
            yield time
            last = time
