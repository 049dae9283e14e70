"""Which mail servers and hosts a running process finds to be down: for whoever looks from outside.

Nothing depends on it. A process writes what it finds and writes it again from time to time; what it has not
written again for a while, because it was killed, is not shown any more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DownDestination:
    """What the process `by` (see `ownership.processes`) says of `destination`: down since `since` because of
    `why`, next tried at `probe_at` (aware, UTC), and that `waiting` of its deliveries wait for it."""

    by: str
    destination: str
    since: datetime
    why: str
    probe_at: datetime
    waiting: int


class Destinations(Protocol):
    """What all processes say."""

    async def say(self, down: DownDestination, seconds: float) -> None:
        """It is down, and this counts for `seconds` from now; what was said of it before is replaced."""
        ...

    async def take_back(self, by: str, destination: str) -> None:
        """It is not down any more. Harmless when nothing was said."""
        ...

    async def all(self) -> list[DownDestination]:
        """What counts now: those that have been down longest first."""
        ...


class MemoryDestinations:
    """What this process says, in a dictionary."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[DownDestination, datetime]] = {}

    async def say(self, down: DownDestination, seconds: float) -> None:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self._said[down.by, down.destination] = (down, until)

    async def take_back(self, by: str, destination: str) -> None:
        self._said.pop((by, destination), None)

    async def all(self) -> list[DownDestination]:
        now = datetime.now(UTC)
        counting = [down for down, until in self._said.values() if now < until]
        return sorted(counting, key=attrgetter("since", "destination", "by"))
