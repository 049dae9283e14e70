"""What a group of rules owes does not depend on how its topic is read, nor on where it is killed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from mtrigger.consuming.group_topic import GroupTopic
from mtrigger.consuming.group_watcher import GroupWatcher
from mtrigger.deliveries import Delivery
from mtrigger.matching import Matcher
from mtrigger.messages import Message
from mtrigger.quiet import TopicSource
from mtrigger.stores.base import Checkpoint, Query
from mtrigger.stores.memory import MemoryStore
from mtrigger.supervision.supervising import PartError
from mtrigger.topics.bell import Listener
from mtrigger.topics.log import Extent, From
from mtrigger.topics.message_events import Group, Place
from support.recording import rule_on
from support.samples import checkpoint_at

GROUP = Group("ORDERS", "g")
RULE = replace(
    rule_on(name="r", operations=frozenset({"message"})), topic=TopicSource(GROUP.topic, GROUP.name)
)
NOW = datetime(2026, 1, 31, tzinfo=UTC)


class CrashError(Exception):
    """The process ends here."""


class Crashing(MemoryStore):
    """A store whose process ends before or after some of its writes. `plan` says so for each write in turn;
    behind its end no more happens."""

    def __init__(self, plan: Sequence[str]) -> None:
        super().__init__()
        self._plan = iter(plan)
        self.ahead: list[Place] = []

    async def add(self, deliveries: Sequence[Delivery]) -> Any:
        step = next(self._plan, "")
        if step == "before":
            raise CrashError
        for _ in range(5):
            await asyncio.sleep(0)  # others go on while it is written
        added = await super().add(deliveries)
        if step == "after":
            raise CrashError
        return added

    async def advance(self, checkpoint: Checkpoint) -> None:
        stored = await self.checkpoint(checkpoint.stream)
        assert stored is not None
        place, known = Place.of_token(checkpoint.token), await self.count(Query())
        assert place is not None
        if known < place.offset:
            self.ahead.append(place)  # the position has passed a message that owes
        step = next(self._plan, "")
        if step == "before":
            raise CrashError
        await super().advance(checkpoint)
        if step == "after":
            raise CrashError


class Pages:
    """A topic that hands its messages out in pages of these lengths; `finished` once all were."""

    name = GROUP.topic

    def __init__(self, messages: int, lengths: Sequence[int]) -> None:
        self._messages = [Message(f"m{n}", {"n": n}, n % 3, NOW, offset=n) for n in range(1, messages + 1)]
        self._lengths = iter(lengths)
        self.finished = asyncio.Event()

    async def open(self) -> None:
        """It is there."""

    async def publish(self, messages: Sequence[Message]) -> int:
        raise NotImplementedError

    async def position(self, start: From) -> int:
        raise NotImplementedError

    async def read(self, behind: int, limit: int) -> list[Message]:
        await asyncio.sleep(0)
        found = self._messages[behind : behind + min(limit, next(self._lengths, limit))]
        if not found:
            self.finished.set()
        return found

    async def extent(self) -> Extent:
        return Extent(1, len(self._messages) + 1, len(self._messages), 0, NOW)


@settings(max_examples=60, deadline=None)
@given(
    messages=st.integers(0, 12),
    lengths=st.lists(st.integers(1, 5), max_size=20),
    plan=st.lists(st.sampled_from(["", "before", "after"]), max_size=8),
)
def test_the_same_is_owed_however_it_is_cut(messages: int, lengths: list[int], plan: list[str]) -> None:
    """Each message once, in order, and the position never ahead of what is owed."""
    asyncio.run(_consume(messages, lengths, plan))


async def _consume(messages: int, lengths: list[int], plan: list[str]) -> None:
    crashing, topic, handed = Crashing(plan), Pages(messages, lengths), list[Delivery]()
    store: MemoryStore = crashing
    await store.begin(replace(checkpoint_at(0, GROUP.stream), token=Place(0, 0).token))

    async def take(deliveries: Sequence[Delivery], _patience: float) -> None:
        handed.extend(deliveries)

    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(connect=False)
    for _ in range(len(plan) + 1):
        stored = await store.checkpoint(GROUP.stream)
        assert stored is not None
        topic.finished.clear()
        source = GroupTopic(GROUP, topic, Listener(), client, "state")
        watcher = GroupWatcher(source, store, take, stored, Matcher([RULE]))
        running = asyncio.create_task(watcher.run())
        finished = asyncio.create_task(topic.finished.wait())
        await asyncio.wait({running, finished}, return_when=asyncio.FIRST_COMPLETED)
        watcher.stop()
        finished.cancel()
        try:
            await running
            break
        except (PartError, BaseExceptionGroup):
            continue  # it was killed, and starts again
    await client.close()

    numbers = [delivery.event.document["offset"] for delivery in handed if delivery.event.document]
    assert numbers == sorted(set(numbers))
    assert crashing.ahead == []
    assert await store.count(Query()) == messages
    stored = await store.checkpoint(GROUP.stream)
    assert stored is not None
    assert stored.token == Place(0, messages).token
