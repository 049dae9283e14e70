"""Gaps: every stretch of the stream that was knowingly skipped, durable before the position moves past it.

A gap is never forgotten: it is the only trace of changes that no rule was held against.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Protocol

from bson.timestamp import Timestamp


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes of `stream` from `since` (exclusive) to `until` (exclusive) that were not seen.

    `why` is a sentence; `policy` what it was skipped by ("from-now", "operator"); `at` when that was decided
    (aware, UTC); `rescanned` says that the documents were held against the rules afterwards.
    """

    stream: str
    since: Timestamp
    until: Timestamp
    why: str
    policy: str
    at: datetime
    rescanned: bool = False

    @property
    def id(self) -> str:
        """Names the gap by where it begins: a crash before the position moved repeats it, but not twice."""
        return f"{self.stream} {self.since.time}.{self.since.inc}"


class Gaps(Protocol):
    """The gaps of all streams."""

    async def record(self, gap: Gap) -> None:
        """Make `gap` durable; one that begins at the same place is replaced."""
        ...

    async def mark_rescanned(self, gap_id: str) -> None:
        """The documents were held against the rules. Harmless when there is no such gap."""
        ...

    async def all(self) -> list[Gap]:
        """Every gap, the oldest first."""
        ...


class MemoryGaps:
    """Gaps in a dictionary."""

    def __init__(self) -> None:
        self._gaps: dict[str, Gap] = {}

    async def record(self, gap: Gap) -> None:
        self._gaps[gap.id] = gap

    async def mark_rescanned(self, gap_id: str) -> None:
        if gap_id in self._gaps:
            self._gaps[gap_id] = replace(self._gaps[gap_id], rescanned=True)

    async def all(self) -> list[Gap]:
        return sorted(self._gaps.values(), key=attrgetter("since", "stream"))
