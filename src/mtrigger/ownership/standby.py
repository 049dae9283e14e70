"""Waiting for one's turn at a stream, and finding out whether somebody else watches it.

Promise: of all who wait, one gets the stream; it gets the position as the owner before has left it; and it
never gets it while the owner before may still believe to own it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pymongo.errors import PyMongoError

from mtrigger.faults import passes
from mtrigger.ownership import processes
from mtrigger.ownership.lease import RENEWALS, Claim, Stillness, claim
from mtrigger.ownership.tenure import Tenure
from mtrigger.stores.base import Checkpoint, Leases, Store
from mtrigger.supervision.outages import Outage, heed_cancellation
from mtrigger.supervision.steady_time import clock

log = logging.getLogger(__name__)

LONGEST_PAUSE = 1.0
"""Seconds between two looks at a lease, at most: a stream that was given back is taken over at once."""

Place = Callable[[], Awaitable[Checkpoint]]
"""The stored position, which is written first if there is none."""


async def acquire(leases: Leases, place: Place, seconds: float) -> tuple["Tenure", Checkpoint]:
    """Own the stream as soon as nobody else does, with a lease time of `seconds`.

    Returns the tenure and the position as the owner before has left it. Raises what `place` raises.
    """
    me, stillness, outage = str(processes.this_process()), Stillness(), Outage("Looking at the lease")
    told = ""
    while True:
        heed_cancellation()
        asked_at = clock()
        stored = await place()
        seen = stored.lease
        still_for = stillness.of(seen, asked_at, clock()) if seen is not None else 0.0
        found = claim(seen, me, still_for, seen is not None and processes.is_gone(seen.owner))
        try:
            taken = await _take(leases, stored, found, me, seconds)
        except PyMongoError as error:
            if not passes(error):
                raise
            await outage.wait(error)
            continue
        outage.over()
        if taken is not None:
            tenure, checkpoint = taken
            if seen is not None and seen.owner and told:
                log.info("taking over from %s: %s", processes.shown(seen.owner), found.value)
            return tenure, checkpoint
        if seen is not None and found is Claim.HELD:
            if told != seen.owner:
                log.info("standing by: the stream is watched by %s", processes.shown(seen.owner))
                told = seen.owner
            await asyncio.sleep(min(seen.seconds / RENEWALS, LONGEST_PAUSE))


async def _take(
    leases: Leases, stored: Checkpoint, found: Claim, me: str, seconds: float
) -> tuple["Tenure", Checkpoint] | None:
    """The tenure, if the claim stands and nobody was quicker."""
    sent_at = clock()
    if found is Claim.HELD:
        return None
    if found is Claim.MINE:
        if stored.lease is None or not await leases.renew(stored.stream, stored.lease):
            return None
        return Tenure(leases, stored.stream, stored.lease, sent_at), stored
    checkpoint = await leases.take(stored.stream, stored.lease, me, seconds)
    if checkpoint is None or checkpoint.lease is None:
        return None
    return Tenure(leases, stored.stream, checkpoint.lease, sent_at), checkpoint


async def is_kept(leases: Leases, stream: str) -> bool:
    """Whether somebody holds the lease of `stream` and moves it. Takes up to the lease time to find out."""
    stillness, first = Stillness(), await leases.current(stream)
    while True:
        asked_at = clock()
        seen = await leases.current(stream)
        if seen is None or first is None or seen.released or processes.is_gone(seen.owner):
            return False
        if seen != first:
            return True
        if stillness.of(seen, asked_at, clock()) >= seen.seconds:
            return False
        await asyncio.sleep(min(seen.seconds / (4 * RENEWALS), LONGEST_PAUSE))


@dataclass(frozen=True, slots=True)
class Owned:
    """A stream that is ours: its state, behind the fence, and its position when it became ours."""

    store: Store
    checkpoint: Checkpoint
    keeping: asyncio.Task[None]

    async def lasts(self) -> None:
        """Return never. Raises OwnershipError once the stream is not ours any more."""
        await asyncio.shield(self.keeping)


@asynccontextmanager
async def owned(
    store: Store, place: Place, seconds: float, stop: asyncio.Event
) -> AsyncIterator[Owned | None]:
    """The stream, from when it is ours until the block ends; None when `stop` is set before that.

    It is given back in the end, whatever the block ended with, unless somebody else has it.
    """
    acquiring = asyncio.ensure_future(acquire(store.leases, place, seconds))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not acquiring.done():
            acquiring.cancel()
    if not acquiring.done():
        await asyncio.wait({acquiring})
        log.info("stopped while standing by")
        yield None
        return
    tenure, checkpoint = acquiring.result()
    keeping = asyncio.create_task(tenure.keep(), name="lease")
    try:
        yield Owned(store.owned(tenure), checkpoint, keeping)
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        if keeping.cancelled():
            await tenure.release()
        else:
            keeping.exception()  # looked at, so that nobody says it never was: a write has told of it first
