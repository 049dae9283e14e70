"""Deliveries as people are shown them, and what people do with them: the words, and what a store promises.

Promise: what people ask for fails at once when the database does not answer; what is answered is durable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mtrigger.deliveries import Delivery, Status
from mtrigger.stores.lines import LineKey

ATTEMPTS_LOGGED = 50
"""The latest attempts that a delivery's history keeps."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a delivery's history: which attempt (from 1; again from 1 after an operator's retry), when,
    for how many seconds (both to the millisecond), what came of it."""

    number: int
    at: datetime
    took: float
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Record:
    """A delivery with its history, as people are shown it. `reason` is why it was left out (suppressed)."""

    delivery: Delivery
    status: Status
    error: str
    settled_at: datetime | None
    log: tuple[Attempt, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """Which deliveries a person means. Empty fields do not restrict.

    `error` is a piece of the error's text; `since` and `until` bound the time of creation.
    """

    ids: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    rule: str = ""
    error: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of one line stand where, and since when the oldest open one has been owed."""

    line: LineKey
    counts: Mapping[Status, int]
    oldest_open: datetime | None


class Records(Protocol):
    """The outbox, for people."""

    async def find(self, query: Query, limit: int) -> list[Record]:
        """The deliveries `query` means, newest first."""
        ...

    async def summaries(self, query: Query, limit: int) -> list[Record]:
        """The same without the documents of their events and without their histories: many fit into memory,
        however large the events are."""
        ...

    async def count(self, query: Query) -> int:
        """How many deliveries `query` means."""
        ...

    async def ids(self, beginning: str, limit: int) -> list[str]:
        """At most `limit` of the ids that begin with the hexadecimal digits `beginning`, sorted."""
        ...

    async def tallies(self) -> list[Tally]:
        """The outbox in numbers, a row a line, sorted by line."""
        ...

    async def reopen(self, query: Query) -> int:
        """Try dead and retrying deliveries again, now; attempts count from nothing. Returns how many."""
        ...

    async def discard(self, query: Query) -> int:
        """Give up open and dead deliveries. Returns how many."""
        ...
