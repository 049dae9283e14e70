"""When a rule speaks and when it keeps quiet: the settings `throttle`, `digest`, `count`, `absent`, `active`,
`loop_guard`, `on.schedule` and `on.topic` of a rule, as values.

Durations are seconds. `per` are dotted paths into the document: what has the same values there is one
*group*, with a window of its own; without any, the whole rule is one group. What is decided with these values
stands in `gates/` (before an action runs) and `running/` (digests).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any, Literal
from zoneinfo import ZoneInfo

from mtrigger.conditions import Condition

Fire = Literal["always", "once", "entering"]
"""always: for every change it holds for; once: for a document once and for all; entering: when it did not
hold before the change."""

CatchUp = Literal["none", "last", "all"]
"""What becomes of scheduled times that passed while nothing ran."""

Per = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most one successful send every so many seconds for each group."""

    every: float
    per: Per = ()


@dataclass(frozen=True, slots=True)
class Count:
    """Fire for the change that makes it so many within so many seconds of event time; then begin anew."""

    at_least: int
    within: float
    per: Per = ()


@dataclass(frozen=True, slots=True)
class Digest:
    """Gather deliveries and send them together: `every` so many seconds from the first one on, or at the
    times of a cron expression (`cron`, in `zone`). At most `max` documents are listed; `sums` are paths whose
    numbers are summed over all of them."""

    every: float | None
    cron: str
    zone: ZoneInfo
    per: Per = ()
    max: int = 500
    sums: Per = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """Fire when nothing that the rule wants has come for so many seconds of the stream's time."""

    seconds: float
    per: Per = ()


@dataclass(frozen=True, slots=True)
class Active:
    """The days (0 is Monday) and hours a rule speaks in, by the clocks of `zone`. From `end` not later than
    `start`, the hours go over midnight and belong to the day they begin on. Outside them, deliveries wait
    (hold) or are left out (skip)."""

    days: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo
    otherwise: Literal["hold", "skip"] = "hold"


@dataclass(frozen=True, slots=True)
class LoopGuard:
    """A rule is paused when a change was caused by its own writes through so many links (`depth`), or when it
    fires for one document more than `at_most` times within `within` seconds (None: any number)."""

    depth: int = 8
    at_most: int | None = None
    within: float = 60.0


@dataclass(frozen=True, slots=True)
class Query:
    """What a scheduled rule looks up: the documents of `collection` ("db.collection") that `where` holds for
    (it has a MongoDB filter), or what `pipeline` makes of them; sorted, at most `limit` of them."""

    collection: str
    where: Condition | None = None
    pipeline: tuple[Mapping[str, Any], ...] = ()
    sort: tuple[tuple[str, int], ...] = ()
    limit: int = 1_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of a cron expression, by the clocks of `zone`."""

    cron: str
    zone: ZoneInfo
    catch_up: CatchUp = "last"
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class TopicSource:
    """The messages of the topic `name`, which the rules of one `group` read from one position. `start` is
    where a new group begins, as `topics.starts` reads it."""

    name: str
    group: str
    start: str = "beginning"
