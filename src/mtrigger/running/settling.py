"""Writes what attempts came to, in batches: while one batch is being written the next one collects.

The promises: an outcome that was put here is written before `run` returns, also when whoever put it is
cancelled while it waits; what cannot be written can be named (`unwritten`). The number of unwritten ones is
bounded, so that a state database that is down stops further attempts instead of letting them be repeated.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from mtrigger.deliveries import Delivery, Settlement
from mtrigger.stores.base import Outbox

MOST_UNWRITTEN = 1_000

GATHERED_FOR = 0.01
"""Seconds between two batches, unless so many outcomes wait that one more makes no difference, or somebody
waits for them. The first of a few that come apart is written at once."""

ENOUGH = 100
"""Outcomes that are worth a batch of their own."""

Flushed = asyncio.Future[None]


class Settler:
    """A bounded queue of settlements and the loop that writes them.

    `offer` is given what outcomes owe in their turn (dead letters), once that is durable.
    """

    def __init__(self, outbox: Outbox, offer: Callable[[Iterable[Delivery]], None]) -> None:
        self._outbox = outbox
        self._offer = offer
        self._waiting: deque[Settlement | Flushed] = deque()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closed = False

    @property
    def unwritten(self) -> list[Settlement]:
        """The outcomes that are not known to be durable yet."""
        return [item for item in self._waiting if isinstance(item, Settlement)]

    async def put(self, settlement: Settlement) -> None:
        """Hand over an outcome; waits while too many are unwritten. It is handed over even if the wait is
        cancelled."""
        self.hand_over(settlement)
        await self.room()

    def hand_over(self, settlement: Settlement) -> None:
        """Hand over an outcome, and wait for `room` before much more is begun."""
        self._waiting.append(settlement)
        self._work.set()
        if len(self._waiting) >= ENOUGH:
            self._urgent.set()

    async def room(self) -> None:
        """Return once not too many outcomes are unwritten."""
        while len(self._waiting) > MOST_UNWRITTEN:
            self._room.clear()
            await self._room.wait()

    async def flush(self) -> None:
        """Return once every outcome that was handed over before is written."""
        written: Flushed = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self._work.set()
        self._urgent.set()
        await written

    def close(self) -> None:
        """No more outcomes will come: let `run` return once all are written."""
        self._closed = True
        self._work.set()
        self._urgent.set()

    async def run(self) -> None:
        """Write until closed and empty."""
        while not self._closed or self._waiting:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                await self._write(list(islice(self._waiting, MOST_UNWRITTEN)))
                await self._gather()

    async def _gather(self) -> None:
        """Let more outcomes come, so that each write has many."""
        if not (self._closed or len(self._waiting) >= ENOUGH):
            self._urgent.clear()
            if any(isinstance(item, asyncio.Future) for item in self._waiting):
                return  # somebody has begun to wait while the last batch was being written
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHERED_FOR):
                    await self._urgent.wait()

    async def _write(self, batch: list[Settlement | Flushed]) -> None:
        """Write the first ones that wait; they are not forgotten before they are durable."""
        settlements = [item for item in batch if isinstance(item, Settlement)]
        if settlements:
            new = await self._outbox.settle(settlements)
            self._offer(owed for settlement in settlements for owed in settlement.owes if owed.id in new)
        for item in batch:
            self._waiting.popleft()
            if isinstance(item, asyncio.Future) and not item.done():  # a waiter may have been cancelled
                item.set_result(None)
        self._room.set()
