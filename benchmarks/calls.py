"""The function that rules of the benchmarks call, and raw loops as well: it counts, and does nothing else."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any


class Counter:
    """Counts calls; `reached` is set at the one that was expected to be the last."""

    def __init__(self, expected: int) -> None:
        self.count = 0
        self.reached = asyncio.Event()
        self._expected = expected

    def add(self) -> None:
        """One more."""
        self.count += 1
        if self.count == self._expected:
            self.reached.set()


_counter = Counter(0)


def expect(calls: int) -> Counter:
    """Count anew, up to so many calls."""
    global _counter  # noqa: PLW0603 - a rule names a function of a module: that is where its count must be
    _counter = Counter(calls)
    return _counter


async def count(document: Mapping[str, Any]) -> None:
    """The action."""
    _counter.add()


async def hang(document: Mapping[str, Any]) -> None:
    """An action that waits for what never comes."""
    await asyncio.Event().wait()


def hang_in_a_thread(document: Mapping[str, Any]) -> None:
    """The same as a plain function, which nothing can stop."""
    threading.Event().wait()


async def compute(document: Mapping[str, Any]) -> int:
    """An action with work of its own: about a third of a millisecond of plain Python."""
    return sum(number * number for number in range(len(document) * 1_000))
