"""The three loops over a stream: one reads, one stores what is owed, one writes the position.

Promise: whatever was read is stored before a stop in good order writes the position for the last time.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

from mtrigger.supervision.supervising import part, until

Loop = Coroutine[Any, Any, None]


class Loops(NamedTuple):
    """`read` puts what it reads into a queue, `plan` takes it from there and stores what it owes, and
    `keep_position` writes the position now and then; none of them ends by itself before the stop."""

    read: Loop
    plan: Loop
    keep_position: Loop


async def run_loops(
    loops: Loops, waiting: asyncio.Queue[Any], stopping: asyncio.Event, patience: float
) -> None:
    """Run them until `stopping`; then the reader has `patience` seconds to end what is under way, and what is
    `waiting` in the queue is stored. The last position is the caller's to write. Raises what ended a loop."""
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(part("reader", loops.read), name="reader")
        planning = tasks.create_task(part("planner", loops.plan), name="planner")
        keeping = tasks.create_task(part("checkpoint writer", loops.keep_position), name="checkpoint")
        try:
            await until(stopping, (reading, planning, keeping))
        finally:
            stopping.set()  # also when a part has died: a loop may have missed its cancellation
        await asyncio.wait({reading}, timeout=patience)
        reading.cancel()
        await waiting.join()
        planning.cancel()
        keeping.cancel()
