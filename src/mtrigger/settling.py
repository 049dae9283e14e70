"""Writes what attempts came to, in batches: while one batch is being written the next one collects.

The promise: an outcome that was put here is written before `run` returns. The number of unwritten ones is
bounded, so that a state database that is down stops further attempts instead of letting them be repeated.
"""

import asyncio

from mtrigger.deliveries import Settlement
from mtrigger.stores.base import Outbox

MOST_UNWRITTEN = 1_000


class Settler:
    """A bounded queue of settlements and the loop that writes them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._queue: asyncio.Queue[Settlement | None] = asyncio.Queue(MOST_UNWRITTEN)
        self._closed = False

    async def put(self, settlement: Settlement) -> None:
        """Hand over an outcome; waits while too many are unwritten."""
        await self._queue.put(settlement)

    def close(self) -> None:
        """No more outcomes will come: let `run` return once all are written."""
        self._closed = True
        if self._queue.empty():
            self._queue.put_nowait(None)

    async def run(self) -> None:
        """Write until closed and empty."""
        while not (self._closed and self._queue.empty()):
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            settlements = [settlement for settlement in batch if settlement is not None]
            if settlements:
                await self._outbox.settle(settlements)
