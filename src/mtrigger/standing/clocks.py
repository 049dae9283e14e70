"""The time since something came that a rule waits for (`absent:`).

It is the stream's time (the cluster time of what was read), never a clock of this machine: who reads late
knows late what came, and does not take it for silence.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.timestamp import Timestamp

from mtrigger.events import ABSENT, ChangeEvent, Document
from mtrigger.grouping import group_id, group_of
from mtrigger.quiet import Per
from mtrigger.standing.documents import kept_of

_NOTHING: Document = {}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rule that waits for nothing to come for so many seconds, in each group of `per`."""

    rule: str
    seconds: float
    per: Per


@dataclass(frozen=True, slots=True)
class Clock:
    """When something came last in one group, and what. `position` is that of the event, "" while nothing has
    come since the clock began to run at `last`. `told`: its silence was told; it begins anew with what comes.
    """

    id: str
    waiting: Waiting
    group: Mapping[str, Any]
    last: datetime
    position: str = ""
    told: bool = False
    namespace: str = ""
    key: Document = field(default_factory=dict)
    document: Document = field(default_factory=dict)

    @property
    def due_at(self) -> datetime:
        """When it has been silent for too long."""
        return self.last + timedelta(seconds=self.waiting.seconds)


def clock_id(rule: str, group: Mapping[str, Any]) -> str:
    """The name of the clock of one group of a rule."""
    return f"{rule}/{group_id(group)}"


def first_clock(waiting: Waiting, now: Timestamp) -> Clock | None:
    """The clock that runs from `now` on although nothing has come: that of a rule without groups. Groups are
    known once something came."""
    return None if waiting.per else Clock(clock_id(waiting.rule, {}), waiting, {}, _time_of(now))


def came(clock: Clock | None, waiting: Waiting, event: ChangeEvent) -> Clock | None:
    """The clock of the group of `event`, started anew by it; `clock` itself where the event changes nothing:
    it was read before, or it cannot be told what it belongs to."""
    if clock is not None and event.token <= clock.position:
        return clock
    group = group_of(event, waiting.per)
    if (event.flaw or event.document is None or event.image == "partial") and None in group.values():
        return clock
    return Clock(
        id=clock_id(waiting.rule, group),
        waiting=waiting,
        group=group,
        last=_time_of(event.cluster_time),
        position=event.token,
        namespace=event.namespace,
        key=event.key,
        document=kept_of(event),
    )


def overdue(clock: Clock, now: Timestamp) -> bool:
    """Whether the clock has been silent for too long when the stream has come to `now`, and nobody knows."""
    return not clock.told and clock.due_at <= _time_of(now)


def silence(clock: Clock) -> tuple[ChangeEvent, Clock]:
    """The event that nothing came, and the clock once it is told.

    The token sorts like the stream's, at the time it was due; behind that it says which silence it is: of
    which clock, since what came last.
    """
    due = Timestamp(int(clock.due_at.timestamp()), 0)
    since = clock.position or clock.last.isoformat()
    name = hashlib.sha256(f"{clock.id}\0{since}".encode()).hexdigest()[:32].upper()
    database, _, collection = clock.namespace.partition(".")
    event = ChangeEvent(
        token=f"82{due.time:08X}{due.inc:08X}00{name}",
        operation=ABSENT,
        database=database,
        collection=collection,
        key=clock.key,
        document=clock.document,
        cluster_time=due,
        time=clock.due_at,
    )
    return event, replace(clock, told=True)


def silence_behind(waiting: Waiting, event: ChangeEvent) -> ChangeEvent:
    """The event that nothing came behind `event`; itself where nobody can tell what it belongs to."""
    clock = came(None, waiting, event)
    return silence(clock)[0] if clock is not None else event


def _time_of(moment: Timestamp) -> datetime:
    return datetime.fromtimestamp(moment.time, UTC)
