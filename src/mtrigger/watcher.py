"""The change stream -> the outbox: reads, plans, stores, and only then moves the position.

Promise (the one invariant): the deliveries of an event are durable before the position moves past it. The
position travels through the queue together with its events, so no idle token can overtake an event that is
still waiting. Nothing else in the house touches the checkpoint while this runs.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.errors import InvalidBSON
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger import planning
from mtrigger.deliveries import Delivery
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.outages import Outage
from mtrigger.pushdown import StreamPlan
from mtrigger.resuming import Phase, Resumption, resumption
from mtrigger.stores.base import Checkpoint, Store
from mtrigger.stream import MAX_AWAIT_MS, Batch, ChangeStream, StreamPosition
from mtrigger.supervising import part, pause, until

log = logging.getLogger(__name__)

WAITING_BATCHES = 4
"""Batches read ahead of the planner; beyond that the reader waits."""

EVENTS_AT_ONCE = 500
"""Events whose deliveries are stored by one insert."""

CHECKPOINT_EVERY = 1.0
IDLE_CHECKPOINT_EVERY = 10.0
"""Seconds between checkpoints, with events and without. The checkpoint is itself a change in the oplog: were
an idle position written as often, it would keep the stream busy with itself."""


Offer = Callable[[Iterable[Delivery]], None]
"""Takes deliveries that have become durable, to run them."""


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
        offer: Offer,
        checkpoint: Checkpoint,
        watched: Watched,
    ) -> None:
        self._client = client
        self._store = store
        self._offer = offer
        self._checkpoint = checkpoint
        self._watched = watched
        self._queue: asyncio.Queue[Batch] = asyncio.Queue(WAITING_BATCHES)
        position = StreamPosition(checkpoint.token, checkpoint.cluster_time, checkpoint.pipeline_hash)
        self._position = self._saved = position
        self._stream = self._open_at(position, watched.plan)
        self._successor: ChangeStream | None = None
        self._owed_since_saved = False
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

    def stop(self) -> None:
        """Read no further; `run` returns once everything that was read is stored."""
        self._stopping.set()

    async def run(self) -> None:
        """Watch until `stop`. Raises PositionError, DeploymentError, or what else ended a loop."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(part("reader", self._read()), name="reader")
            planning_ = tasks.create_task(part("planner", self._plan()), name="planner")
            keeping = tasks.create_task(part("checkpoint", self._keep_position()), name="checkpoint")
            await until(self._stopping, (reading, planning_, keeping))
            await asyncio.wait({reading}, timeout=2 * MAX_AWAIT_MS / 1000)
            reading.cancel()
            await self._queue.join()
            planning_.cancel()
            keeping.cancel()
        await part("checkpoint", self._save())

    # -- reader ------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Put batches into the queue, for ever; open the stream again where it broke."""
        outage = Outage("The change stream")
        phase: Phase = "opening"
        try:
            while not self._stopping.is_set():
                if self._successor is not None:
                    await self._stream.close()
                    self._stream, self._successor = self._successor, None
                stream = self._stream
                try:
                    batch = await stream.read()
                except (PyMongoError, InvalidBSON) as error:
                    match resumption(error, stream.position, phase):
                        case Resumption.AGAIN:
                            await outage.wait(error)
                        case Resumption.BY_TIME:
                            log.warning(
                                "The resume token cannot be used (%s); going on from its time.", error
                            )
                            self._stream = self._open_at(stream.position.by_time(), stream.plan)
                else:
                    outage.over()
                    phase = "reading"
                    await self._queue.put(batch)
        finally:
            await self._stream.close()

    def _open_at(self, position: StreamPosition, plan: StreamPlan) -> ChangeStream:
        return ChangeStream(self._client, plan, position, self._checkpoint.stream)

    # -- planner -----------------------------------------------------------------------------------------

    async def _plan(self) -> None:
        """Store what is owed for all that waits, then move the position; for ever."""
        while True:
            batches = [await self._queue.get()]
            while not self._queue.empty():
                batches.append(self._queue.get_nowait())
            events = [event for batch in batches for event in batch.events]
            for start in range(0, len(events), EVENTS_AT_ONCE):
                await self._store_owed(events[start : start + EVENTS_AT_ONCE])
            positions = [batch.position for batch in batches]
            self._position = latest(positions, self._watched.plan) or self._position
            for _ in batches:
                self._queue.task_done()

    async def _store_owed(self, events: Sequence[ChangeEvent]) -> None:
        matcher = self._watched.matcher
        events = await self._with_documents(events, matcher)
        owed: list[Delivery] = planning.deliveries(
            matcher, events, self._checkpoint.cluster_id, self._checkpoint.stream, datetime.now(UTC)
        )
        if owed:
            new = await self._store.add(owed)
            self._offer(delivery for delivery in owed if delivery.id in new)
            self._owed_since_saved = True

    async def _with_documents(self, events: Iterable[ChangeEvent], matcher: Matcher) -> Sequence[ChangeEvent]:
        """The events with the documents that some rule may need: one `find` for each collection."""
        events = list(events)
        wanted = planning.LookUps.of(events, lambda event: bool(matcher.candidates(event))).wanted
        if not wanted:
            return events
        found = {
            (*namespace, key): document
            for namespace, ids in wanted.items()
            for key, document in (await self._look_up(*namespace, list(ids.values()))).items()
        }
        return [
            planning.filled_in(event, found.get((event.database, event.collection, planning.key_text(event))))
            if planning.lacks_document(event) and matcher.candidates(event)
            else event
            for event in events
        ]

    async def _look_up(self, database: str, collection: str, ids: Sequence[Any]) -> dict[str, dict[str, Any]]:
        """The documents with `ids` as they are now, by the text of their id."""
        outage = Outage(f"Looking up documents of {database}.{collection}")
        while True:
            try:
                cursor = self._client[database][collection].find({"_id": {"$in": ids}})
                documents = await cursor.to_list()
            except PyMongoError as error:
                if resumption(error, self._position, "reading") is not Resumption.AGAIN:
                    raise
                await outage.wait(error)
            else:
                outage.over()
                return {planning.id_text(document["_id"]): document for document in documents}

    # -- position ----------------------------------------------------------------------------------------

    async def _keep_position(self) -> None:
        """Write the position while it moves: at once a second at most, seldom while nothing is owed."""
        since = 0.0
        while not self._stopping.is_set():
            await pause(CHECKPOINT_EVERY, self._stopping)
            since += CHECKPOINT_EVERY
            if self._owed_since_saved or since >= IDLE_CHECKPOINT_EVERY:
                await self._save()
                since = 0.0

    async def _save(self) -> None:
        position = self._position
        if position == self._saved:
            return
        self._owed_since_saved = False
        await self._store.advance(
            Checkpoint(
                stream=self._checkpoint.stream,
                token=position.token,
                cluster_time=position.cluster_time,
                cluster_id=self._checkpoint.cluster_id,
                pipeline_hash=position.plan_hash,
                updated_at=datetime.now(UTC),
            )
        )
        self._saved = position


def latest(positions: Sequence[StreamPosition], plan: StreamPlan) -> StreamPosition | None:
    """The last of `positions` that was read through `plan`, if any was.

    A position read through an older plan may lie behind changes that only the newer one lets through.
    """
    return next((position for position in reversed(positions) if position.plan_hash == plan.hash), None)
