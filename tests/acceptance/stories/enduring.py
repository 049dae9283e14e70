"""What both stories go through: things happen all the time, and one part after the other is killed."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from support.polling import PATIENCE, eventually

K = TypeVar("K")
V = TypeVar("V")

EVERY = 0.03
"""Seconds between two things that happen."""

FURTHER = 8
"""How many have to arrive at the last station before the next part is killed."""


class Story(Protocol):
    """An example while it runs."""

    async def happen(self) -> None:
        """Let one thing happen."""
        ...

    async def arrived(self) -> int:
        """How much has arrived at the last station."""
        ...

    async def done_by(self, name: str) -> int:
        """How much a part has done that others see, before it has noted that it is done."""
        ...

    async def complete(self) -> bool:
        """Whether all of it has arrived everywhere."""
        ...

    def kill(self, name: str) -> None:
        """Kill a part, and start it again."""
        ...


async def endure(story: Story, victims: Sequence[str], patience: float = 60.0) -> None:
    """Kill one after the other while things happen, and wait until all has arrived."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_happen(story, enough))
        for victim in (*victims, None):
            before = await story.arrived()

            async def further(before: int = before) -> bool:
                return await story.arrived() >= before + FURTHER

            await eventually(further, patience)
            if victim is not None:
                await _something_done(story, victim)
                await asyncio.to_thread(story.kill, victim)
        enough.set()
    await eventually(story.complete, patience)


async def _something_done(story: Story, name: str) -> None:
    """Wait for the worst moment."""
    before = await story.done_by(name)
    async with asyncio.timeout(PATIENCE):
        while await story.done_by(name) == before:  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0)


async def _happen(story: Story, enough: asyncio.Event) -> None:
    while not enough.is_set():
        await story.happen()
        await asyncio.sleep(EVERY)


def by_key(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, in order; the same one many times in a row counts once."""
    found: defaultdict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        if not found[key] or found[key][-1] != value:
            found[key].append(value)
    return dict(found)
