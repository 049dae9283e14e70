"""The change stream -> the outbox: reads, plans, stores, and only then moves the position.

Promise (the one invariant): the deliveries of an event are durable before the position moves past it. The
position travels through the queue together with its events, so no idle token can overtake an event that is
still waiting. Nothing else in the house touches the checkpoint while this runs.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.partitions import Partition
from mtrigger.planner import HandOver, Planner
from mtrigger.position.recovering import Lost, Policies, recover
from mtrigger.position.rescanning import chunks
from mtrigger.position.resuming import Phase, Resumption, resumption, starting_position
from mtrigger.pushdown import StreamPlan
from mtrigger.reading.large_events import LARGEST_KEY
from mtrigger.reading.stream import MAX_AWAIT_MS, Batch, ChangeStream, StreamPosition
from mtrigger.stores.base import Checkpoint, Store
from mtrigger.stores.gaps import Gap
from mtrigger.stream_loops import Loops, run_loops
from mtrigger.supervision.outages import Outage, heed_cancellation
from mtrigger.supervision.supervising import part, pause, until_any

log = logging.getLogger(__name__)

WAITING_BATCHES = 2
"""Batches read ahead of the planner; beyond that the reader waits."""

LARGEST_PORTION = 32_000_000
"""Bytes of events, as they were sent, that the planner takes at once (one batch at least)."""

MOST_RECOVERIES = 3
"""Times in a row that a policy moves the position on without the stream getting any further."""

CHECKPOINT_EVERY = 1.0
IDLE_CHECKPOINT_EVERY = 10.0
"""Seconds between checkpoints, with events and without. The checkpoint is itself a change in the oplog: were
an idle position written as often, it would keep the stream busy with itself."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a set of rules means to the watcher: which rules hold, and what to ask the server for."""

    matcher: Matcher
    plan: StreamPlan


class Watcher:
    """One partition of the stream, from `checkpoint` on."""

    def __init__(
        self,
        client: AsyncMongoClient[dict[str, Any]],
        store: Store,
        hand_over: HandOver,
        checkpoint: Checkpoint,
        watched: Watched,
        policies: Policies,
    ) -> None:
        self._client = client
        self._store = store
        self._checkpoint = checkpoint
        self._watched = watched
        self._planner = Planner(client, store, hand_over, checkpoint, watched.matcher)
        self._queue: asyncio.Queue[Batch] = asyncio.Queue(WAITING_BATCHES)
        self._policies = policies
        position = starting_position(checkpoint)
        self._position = self._saved = position
        self._rescan = checkpoint.rescan
        self._recoveries = 0
        self._saving = asyncio.Lock()
        self._stream = self._open_at(position, watched.plan)
        self._successor: ChangeStream | None = None
        self._owed_since_saved = False
        self._moved = asyncio.Event()
        self._stopping = asyncio.Event()

    def use(self, watched: Watched) -> None:
        """Hold every change from now on against other rules.

        If they need another stream, it is opened where the old one stands *now*: what the old one filters out
        until then is read again. What it still yields is stored, but does not move the position.
        """
        since = (self._successor or self._stream).position
        same = self._stream.plan.hash == watched.plan.hash
        self._successor = None if same else self._open_at(since, watched.plan)
        self._watched = watched
        self._planner.use(watched.matcher)

    def stop(self) -> None:
        """Read no further; `run` returns once everything that was read is stored."""
        self._stopping.set()

    async def run(self) -> None:
        """Watch until `stop`. Raises PositionError, DeploymentError, or what else ended a loop."""
        loops = Loops(self._read(), self._plan(), self._keep_position())
        await run_loops(loops, self._queue, self._stopping, 2 * MAX_AWAIT_MS / 1000)
        await part("checkpoint writer", self._save())

    # -- reader ------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Put batches into the queue, for ever; open the stream again where it broke."""
        outage = Outage("The change stream")
        phase: Phase = "opening"
        tried: Timestamp | None = None
        try:
            await self._hold_documents()
            while not self._stopping.is_set():
                if self._successor is not None:
                    ended, self._stream, self._successor = self._stream, self._successor, None
                    await ended.close()
                stream = self._stream
                try:
                    batch = await stream.read()
                except PyMongoError as error:
                    match resumption(error, stream.position, phase, tried):
                        case Resumption.AGAIN:
                            await outage.wait(error)
                        case Resumption.BY_TIME:
                            log.warning(
                                "The resume token cannot be used (%s); going on from its time.", error
                            )
                            tried = stream.position.cluster_time
                            self._stream = self._open_at(stream.position.by_time(), stream.plan)
                        case loss:
                            await self._recover(Lost(loss, error))
                else:
                    outage.over()
                    phase = "reading"
                    if self._is_read_again(stream):
                        continue
                    if batch.position.cluster_time > self._checkpoint.cluster_time:
                        self._rescan, self._recoveries = None, 0  # the stream has moved on
                    await self._queue.put(batch)
        finally:
            await self._stream.close()

    def _is_read_again(self, stream: ChangeStream) -> bool:
        """Whether what `stream` yields comes again with the pre-images that rules have begun to need."""
        return self._successor is not None and self._successor.plan.pre_images > stream.plan.pre_images

    async def _recover(self, lost: Lost) -> None:
        """Go on somewhere else, as the policies say, once everything that was read is stored."""
        await self._queue.join()
        self._recoveries += 1
        in_vain = self._recoveries > MOST_RECOVERIES
        policies = Policies(self._policies.state_database) if in_vain else self._policies
        async with self._saving:
            at = self._checkpoint_at(self._stream.position)
            moved = await recover(self._client, self._store, policies, at, lost, self._watched.matcher.rules)
            self._checkpoint, self._rescan = moved, moved.rescan
            self._position = self._saved = starting_position(moved)
            await self._planner.leap(self._position.cluster_time)
        plan = (self._successor or self._stream).plan
        self._stream, self._successor = self._open_at(self._position, plan), None
        await self._hold_documents()

    async def _hold_documents(self) -> None:
        """Hold the rules against the documents that a rescan has still to read, if there is one. The rules in
        force at the moment count; what the stream will show of the time since is read afterwards."""
        if self._rescan is None or not self._rescan.namespaces:
            return
        partition = Partition.named(self._checkpoint.stream)
        async for chunk in chunks(self._client, self._position.cluster_time, self._rescan, partition):
            await self._store_all(chunk.events)
            if not chunk.rescan.namespaces and chunk.rescan.gap:
                await self._store.gaps.mark_rescanned(chunk.rescan.gap)
            async with self._saving:
                self._rescan = chunk.rescan
                await self._store.advance(self._checkpoint_at(self._position))
            if self._stopping.is_set():
                return

    def _open_at(self, position: StreamPosition, plan: StreamPlan) -> ChangeStream:
        return ChangeStream(self._client, plan, position, self._checkpoint.stream)

    # -- planner -----------------------------------------------------------------------------------------

    async def _plan(self) -> None:
        """Store what is owed for all that waits, then move the position; for ever."""
        while True:
            heed_cancellation()
            batches = [await self._queue.get()]
            while not self._queue.empty() and sum(batch.size for batch in batches) < LARGEST_PORTION:
                batches.append(self._queue.get_nowait())
            await self._store_all([event for batch in batches for event in batch.events])
            for batch in batches:
                await self._record_unsent(batch)
            positions = [batch.position for batch in batches]
            self._position = latest(positions, self._watched.plan) or self._position
            if await self._planner.pass_time(self._position.cluster_time):
                self._owed_since_saved = True
            if self._position != self._saved:
                self._moved.set()
            for _ in batches:
                self._queue.task_done()

    async def _store_all(self, events: Sequence[ChangeEvent]) -> None:
        if await self._planner.store(events):
            self._owed_since_saved = True

    async def _record_unsent(self, batch: Batch) -> None:
        since, until = batch.unsent_since, batch.position.cluster_time
        if since is not None:
            why = f"a change of a document whose _id is above {LARGEST_KEY:,} bytes: MongoDB cannot send it"
            gap = Gap(self._checkpoint.stream, since, until, why, "too-large", datetime.now(UTC))
            await self._store.gaps.record(gap)

    # -- position ----------------------------------------------------------------------------------------

    async def _keep_position(self) -> None:
        """Write the position while it moves: at once a second at most, seldom while nothing is owed."""
        await until_any(self._moved, self._stopping)
        since = IDLE_CHECKPOINT_EVERY  # the first progress is told at once: then it was no bad start
        while not self._stopping.is_set():
            if self._owed_since_saved or since >= IDLE_CHECKPOINT_EVERY:
                await self._save()
                since = 0.0
            await pause(CHECKPOINT_EVERY, self._stopping)
            since += CHECKPOINT_EVERY

    async def _save(self) -> None:
        async with self._saving:
            position = self._position
            if position == self._saved:
                return
            self._owed_since_saved = False
            await self._store.advance(self._checkpoint_at(position))
            self._saved = position

    def _checkpoint_at(self, position: StreamPosition) -> Checkpoint:
        """What is stored for `position`."""
        return Checkpoint(
            stream=self._checkpoint.stream,
            token=position.token,
            cluster_time=position.cluster_time,
            cluster_id=self._checkpoint.cluster_id,
            pipeline_hash=position.plan_hash,
            updated_at=datetime.now(UTC),
            rescan=self._rescan,
        )


def latest(positions: Sequence[StreamPosition], plan: StreamPlan) -> StreamPosition | None:
    """The last of `positions` that was read through `plan`, if any was.

    A position read through an older plan may lie behind changes that only the newer one lets through.
    """
    return next((position for position in reversed(positions) if position.plan_hash == plan.hash), None)
