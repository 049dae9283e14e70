"""When scheduled rules run next: the contract, and the store that forgets.

Promise: what was kept last is what the next owner of the stream goes by.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class NextRun:
    """When `rule` runs next, worked out from `specification` (see `schedules`)."""

    rule: str
    specification: str
    at: datetime


class NextRuns(Protocol):
    """The next runs of all rules that have a schedule."""

    async def all(self) -> Mapping[str, NextRun]:
        """All of them, by rule."""
        ...

    async def keep(self, runs: Sequence[NextRun]) -> None:
        """Make `runs` durable; each takes the place of its rule's last one."""
        ...

    async def forget(self, rules: Iterable[str]) -> None:
        """Nothing is waited for any more for these rules."""
        ...


class MemoryNextRuns:
    """Next runs in a dictionary."""

    def __init__(self) -> None:
        self._runs: dict[str, NextRun] = {}

    async def all(self) -> Mapping[str, NextRun]:
        return dict(self._runs)

    async def keep(self, runs: Sequence[NextRun]) -> None:
        self._runs |= {run.rule: run for run in runs}

    async def forget(self, rules: Iterable[str]) -> None:
        for rule in rules:
            self._runs.pop(rule, None)
