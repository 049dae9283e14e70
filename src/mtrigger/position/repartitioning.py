"""Changing the number of partitions, between two runs.

Promises: no partition of the new layout is read before the last process of the old one has stopped, which its
leases say; the new partitions begin where the earliest of the old ones stood, so nothing is skipped (what is
read again owes nothing twice, by its ids); and what the old ones still owe is adopted by the new ones before
they run anything, document by document, in its order. One write puts the new layout in force. A process that
is killed before it leaves the old layout as it was, one that is killed behind it the new one.
"""

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from mtrigger.errors import PositionError
from mtrigger.ownership.lease import Lease
from mtrigger.ownership.standby import Owned, owned
from mtrigger.partitions import UNDIVIDED, partitions
from mtrigger.position.starting import LayoutChangedError, beside_others
from mtrigger.stores.base import Checkpoint, Store
from mtrigger.stores.layouts import Layout

log = logging.getLogger(__name__)


async def divided(store: Store, count: int, seconds: float, stop: asyncio.Event) -> Layout | None:
    """The layout of `count` partitions, once it is in force; None when `stop` is set before that.

    Waits as long as another layout is being watched; `seconds` is the lease time. Raises PositionError when
    an operator has to decide.
    """
    while True:
        layout = await store.layouts.current()
        if layout is None:
            # Before there were layouts, the stream was undivided.
            before = await store.checkpoint(UNDIVIDED.name)
            layout = await store.layouts.begin(count if before is None else UNDIVIDED.count)
        if layout.partitions == count:
            return layout
        try:
            if not await _change(store, layout.partitions, count, seconds, stop):
                return None
        except LayoutChangedError:
            continue  # somebody else was quicker


async def _change(store: Store, old: int, new: int, seconds: float, stop: asyncio.Event) -> bool:
    """Own all of the `old` partitions, then divide the stream into `new` ones. False when `stop` is set while
    they are waited for. Raises LayoutChangedError when somebody else has changed or is changing it."""
    log.info("the stream is in %s; it is divided into %d once nobody watches it so", _counted(old), new)
    held: list[Owned] = []
    async with AsyncExitStack() as stack:
        # One after the other in their order, so that two processes never wait for each other.
        for partition in partitions(old) if await _has_positions(store, old) else ():
            asked = partial(_standing, store, old, partition.index)
            stream = await stack.enter_async_context(owned(store, asked, seconds, stop))
            if stream is None:
                return False
            held.append(stream)
        change = secrets.token_hex(8)
        if not await store.layouts.announce(change, old):
            raise LayoutChangedError
        await _put(store, held, new)
        if not await store.layouts.complete(change, new):
            raise LayoutChangedError
    for stream in held:
        await store.leases.retire(stream.checkpoint.stream, _lease(stream))
    log.info("the stream is in %s now; what was owed goes with its documents", _counted(new))
    return True


async def _has_positions(store: Store, count: int) -> bool:
    return any([await store.checkpoint(partition.name) is not None for partition in partitions(count)])


async def _standing(store: Store, count: int, index: int) -> Checkpoint:
    """Where a partition of the old layout stands; where the others do, if it never began.

    Raises LayoutChangedError when that is no layout any more.
    """
    partition = partitions(count)[index]
    stored = await store.checkpoint(partition.name)
    layout = await store.layouts.current()
    if layout is None or layout.partitions != count:
        raise LayoutChangedError
    if stored is not None:
        return stored
    beside = await beside_others(store, partition)
    if beside is None:
        raise LayoutChangedError  # an operator has just forgotten all positions
    return await store.begin(beside)


async def _put(store: Store, held: list[Owned], count: int) -> None:
    """Write the positions of the new partitions, where the earliest of the old ones stands."""
    if not held:
        return  # no position at all: the next start is a first one
    for stream in held:
        if not await store.leases.renew(stream.checkpoint.stream, _lease(stream)):
            raise LayoutChangedError
        _refuse_rescan(stream.checkpoint)
    earliest = min((stream.checkpoint for stream in held), key=lambda found: found.cluster_time)
    for partition in partitions(count):
        await store.put(
            replace(
                earliest,
                stream=partition.name,
                token=None,
                pipeline_hash="",
                updated_at=datetime.now(UTC),
                previous=(),
                lease=None,
                rescan=None,
            )
        )


def _refuse_rescan(checkpoint: Checkpoint) -> None:
    if checkpoint.rescan is not None and checkpoint.rescan.namespaces:
        raise PositionError(
            "A rescan is under way: the number of partitions cannot change before it is over. Start with the "
            "number there was, wait until `mtrigger status` shows no rescan any more, and then change it."
        )


def _lease(stream: Owned) -> Lease:
    assert stream.checkpoint.lease is not None, "whoever owns a stream has taken its lease"
    return stream.checkpoint.lease


def _counted(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
