"""Writes what attempts came to, in batches: while one batch is being written the next one collects.

The promise: an outcome that was put here is written before `run` returns. The number of unwritten ones is
bounded, so that a state database that is down stops further attempts instead of letting them be repeated.
"""

import asyncio

from mtrigger.deliveries import Settlement
from mtrigger.stores.base import Outbox

MOST_UNWRITTEN = 1_000


Flushed = asyncio.Future[None]


class Settler:
    """A bounded queue of settlements and the loop that writes them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._queue: asyncio.Queue[Settlement | Flushed | None] = asyncio.Queue(MOST_UNWRITTEN)
        self._closed = False

    async def put(self, settlement: Settlement) -> None:
        """Hand over an outcome; waits while too many are unwritten."""
        await self._queue.put(settlement)

    async def flush(self) -> None:
        """Return once every outcome that was handed over before is written."""
        written: Flushed = asyncio.get_running_loop().create_future()
        await self._queue.put(written)
        await written

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
            settlements = [item for item in batch if isinstance(item, Settlement)]
            if settlements:
                await self._outbox.settle(settlements)
            for item in batch:
                if isinstance(item, asyncio.Future) and not item.done():  # a waiter may have been cancelled
                    item.set_result(None)
