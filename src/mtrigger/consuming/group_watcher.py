"""A topic -> the outbox, for one group of rules: reads, plans, stores, and only then moves the position.

Promise (the one invariant): what a message owes is durable before the position moves past it. While one batch
is stored the next is read. Nothing else in the house touches the position while this runs.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bson.timestamp import Timestamp

from mtrigger.consuming.group_topic import GroupTopic
from mtrigger.consuming.standing import begun_anew, is_whole, missed
from mtrigger.consuming.starting import place_of
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.messages import Message
from mtrigger.planner import HandOver, Planner
from mtrigger.stores.base import Checkpoint, Store
from mtrigger.stores.gaps import Gap
from mtrigger.stream_loops import Loops, run_loops
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.supervision.steady_time import clock
from mtrigger.supervision.supervising import part, pause, until_any
from mtrigger.topics.message_events import Place, event_of

log = logging.getLogger(__name__)

MESSAGES_AT_ONCE = 1_000
WAITING_BATCHES = 2
"""Batches read ahead of the planner; beyond that the reader waits."""

LOOK_EVERY = 3.0
"""Seconds between looks for messages while the bell does not ring."""

SAME_TOPIC_EVERY = 10.0
"""Seconds after which it is asked, when there is nothing to read, whether the topic is still the same one."""

CHECKPOINT_EVERY = 1.0
"""Seconds between two writes of the position while it moves."""

STOP_SECONDS = 2.0
"""How long the end waits for a read that is under way."""


@dataclass(frozen=True, slots=True)
class _Batch:
    events: Sequence[ChangeEvent]
    place: Place


class GroupWatcher:
    """One group of rules in one topic, from `checkpoint` on."""

    def __init__(
        self,
        source: GroupTopic,
        store: Store,
        hand_over: HandOver,
        checkpoint: Checkpoint,
        matcher: Matcher,
    ) -> None:
        self._group = source.group
        self._topic = source.log
        self._listener = source.listener
        self._database = source.database
        self._store = store
        self._checkpoint = checkpoint
        self._planner = Planner(source.client, store, hand_over, checkpoint, matcher)
        self._queue: asyncio.Queue[_Batch] = asyncio.Queue(WAITING_BATCHES)
        self._place = self._saved = place_of(checkpoint)
        self._moved = asyncio.Event()
        self._saving = asyncio.Lock()
        self._stopping = asyncio.Event()

    def use(self, matcher: Matcher) -> None:
        """Hold every message from now on against other rules."""
        self._planner.use(matcher)

    def stop(self) -> None:
        """Read no further; `run` returns once everything that was read is stored."""
        self._stopping.set()
        self._listener.ring()

    async def run(self) -> None:
        """Watch until `stop`. Raises what ended a loop."""
        loops = Loops(self._read(), self._plan(), self._keep_position())
        await run_loops(loops, self._queue, self._stopping, STOP_SECONDS)
        await part("checkpoint writer", self._save())

    # -- reader ------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Put batches into the queue, for ever."""
        place, asked_at = await self._within_topic(self._place), clock()
        while not self._stopping.is_set():
            heed_cancellation()
            messages = await self._topic.read(place.offset, MESSAGES_AT_ONCE)
            if not messages:
                await self._listener.wait(LOOK_EVERY)
                if clock() - asked_at > SAME_TOPIC_EVERY:
                    place, asked_at = await self._within_topic(place), clock()
                continue
            if not is_whole(place, messages):
                await self._tell_of_missed(place, messages)
            place = Place(place.resets, messages[-1].offset)
            await self._queue.put(_Batch(self._events(messages, place.resets), place))

    def _events(self, messages: Sequence[Message], resets: int) -> list[ChangeEvent]:
        now = datetime.now(UTC)
        return [event_of(message, self._group, resets, self._database, now) for message in messages]

    async def _within_topic(self, place: Place) -> Place:
        """`place`, or where to go on when the topic is not the one that the group has read."""
        anew = begun_anew(place, await self._topic.extent())
        if anew is None:
            return place
        log.warning(
            "The group stands behind offset %d, which the topic never had: it was deleted and made anew. "
            "Reading it from the beginning.",
            place.offset,
        )
        await self._queue.put(_Batch((), anew))
        return anew

    async def _tell_of_missed(self, place: Place, messages: Sequence[Message]) -> None:
        gone = missed(place, messages, await self._topic.extent())
        if not gone:
            return
        why = (
            f"{gone:,} messages behind the offset {place.offset} were not kept until the group came "
            f"to them (`mtrigger topic set {self._group.topic} --keep …` keeps them longer)"
        )
        log.warning("%s. Going on with the oldest one there is.", why)
        # Named by where it begins, so that a crash before the position moves repeats it, but not twice.
        since = Timestamp(int(self._checkpoint.updated_at.timestamp()), place.offset % 2**32)
        passed = Timestamp(int(datetime.now(UTC).timestamp()), 0)
        gap = Gap(self._group.stream, since, max(since, passed), why, "retention", datetime.now(UTC))
        await self._store.gaps.record(gap)

    # -- planner -----------------------------------------------------------------------------------------

    async def _plan(self) -> None:
        """Store what is owed for each batch, then move the position; for ever."""
        while True:
            heed_cancellation()
            batch = await self._queue.get()
            await self._planner.store(batch.events)
            self._place = batch.place
            self._moved.set()
            self._queue.task_done()

    # -- position ----------------------------------------------------------------------------------------

    async def _keep_position(self) -> None:
        """Write the position while it moves, at once at first: then it was no bad start."""
        while not self._stopping.is_set():
            await until_any(self._moved, self._stopping)
            self._moved.clear()
            await self._save()
            await pause(CHECKPOINT_EVERY, self._stopping)

    async def _save(self) -> None:
        async with self._saving:
            place = self._place
            if place == self._saved:
                return
            moved = replace(
                self._checkpoint, token=place.token, updated_at=datetime.now(UTC), previous=(), lease=None
            )
            await self._store.advance(moved)
            self._saved, self._checkpoint = place, moved
