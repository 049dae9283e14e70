"""How long a topic keeps its messages, on a real server; all topics together; and the bell."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.messages import Message, collection_of
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics import bell as bells
from mtrigger.topics.bell import Bell, Listener
from mtrigger.topics.log import Retention
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.registry import MongoTopics

State = AsyncDatabase[dict[str, Any]]

NAME = "PRICES"
WEEK = timedelta(days=7)


@pytest.fixture
async def state(mongod: EmbeddedServer) -> AsyncIterator[State]:
    """A state database as mtrigger itself opens it."""
    async with connect(mongod.uri) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield client[name]
        await client.drop_database(name)


@pytest.fixture
def topics(state: State) -> MongoTopics:
    """All topics of it."""
    return MongoTopics(state, StateOutage(None))


async def published(log: MongoLog, count: int, size: int = 10) -> None:
    await log.publish([Message(uuid.uuid4().hex, "x" * size) for _ in range(count)])
    await everything(log)


async def everything(log: MongoLog) -> list[Message]:
    found: list[Message] = []
    while page := await log.read(found[-1].offset if found else 0, 1_000):
        found += page
    return found


async def swept(topics: MongoTopics, state: State, *, older: timedelta = timedelta(0)) -> MongoLog:
    """The topic after its next sweep, when everything that it remembers lies so much further back."""
    row = await state["topics"].find_one({"_id": NAME})
    assert row is not None
    marks = [{**mark, "at": mark["at"] - older} for mark in row["marks"]]
    await state["topics"].update_one({"_id": NAME}, {"$set": {"marks": marks, "swept_at": None}})
    await topics.sweep()
    return topics.log(NAME)


async def test_messages_are_kept_for_a_week_and_no_longer(topics: MongoTopics, state: State) -> None:
    """Also those that their producer has dated back: they are in the topic since today. Whoever stood before
    what is kept can tell."""
    log = topics.log(NAME)
    old = datetime(2020, 1, 1, tzinfo=UTC)
    await log.publish([Message(number, None, time=old) for number in range(5)])
    await everything(log)
    await swept(topics, state)
    await published(log, 3)

    assert len(await everything(await swept(topics, state, older=WEEK - timedelta(hours=1)))) == 8
    log = await swept(topics, state, older=timedelta(hours=1))

    assert [message.offset for message in await everything(log)] == [6, 7, 8]
    extent = await log.extent()
    assert (extent.first, extent.next, extent.messages) == (6, 9, 3)
    assert await log.position("beginning") == 5
    assert await log.position(2) == 5


async def test_what_has_no_number_is_not_swept(topics: MongoTopics, state: State) -> None:
    """Nobody has been able to read it. The sweep numbers it, and its age begins."""
    await topics.log(NAME).open()
    await topics.sweep()
    await state[collection_of(NAME)].insert_many([{"_id": number} for number in range(3)])
    await swept(topics, state, older=2 * WEEK)
    row = await topics.row(NAME)
    assert row is not None
    assert row.next == 4
    assert len(await everything(topics.log(NAME))) == 3


async def test_a_topic_grows_no_larger_than_it_may(topics: MongoTopics, state: State) -> None:
    """The oldest go; more than one portion at once, if they have to."""
    await topics.keep(NAME, Retention(None, 300_000))
    log = topics.log(NAME)
    await published(log, 6_000, size=100)
    await published(log, 100, size=1_000)
    log = await swept(topics, state)
    extent = await log.extent()
    assert 295_000 < extent.size <= 300_000
    assert extent.next == 6_101
    kept = await everything(log)
    assert [message.offset for message in kept] == list(range(extent.first, 6_101))
    assert len(kept) == extent.messages


async def test_nothing_goes_where_everything_is_kept(topics: MongoTopics, state: State) -> None:
    """Whatever its age."""
    await topics.keep(NAME, Retention(None, None))
    await published(topics.log(NAME), 3)
    await swept(topics, state)
    log = await swept(topics, state, older=100 * WEEK)
    assert len(await everything(log)) == 3


async def test_one_of_many_processes_sweeps(topics: MongoTopics, state: State) -> None:
    """And not again for a minute."""
    await topics.log(NAME).open()
    await asyncio.gather(*(topics.log(NAME).sweep() for _ in range(5)))
    row = await topics.row(NAME)
    assert row is not None
    await published(topics.log(NAME), 3)
    await topics.sweep()
    later = await topics.row(NAME)
    assert later is not None
    assert later.swept_at == row.swept_at


async def test_all_topics_are_listed(topics: MongoTopics, state: State) -> None:
    """Those that are made, and those into which another program inserts."""
    await topics.keep("B", Retention(60, 1_000))
    await state[collection_of("A.b-c_1")].insert_one({"body": 1})
    await state["topics_of_another_kind"].insert_one({})

    listed = {topic.name: topic for topic in await topics.all()}

    assert list(listed) == ["A.b-c_1", "B"]
    assert listed["B"].retention == Retention(60, 1_000)
    assert listed["A.b-c_1"].retention == Retention()
    assert listed["A.b-c_1"].extent.messages == 1
    created = listed["B"].created_at
    assert created is not None
    assert created.tzinfo is not None


async def test_a_topic_that_is_deleted_is_gone_and_begins_anew(topics: MongoTopics, state: State) -> None:
    """With its messages and how long they were kept; its numbers go on, so no group takes new messages for
    old ones. Looking at it does not make it again, publishing does, also by another program."""
    await topics.keep(NAME, Retention(60, 1_000))
    await published(topics.log(NAME), 3)
    assert await topics.delete(NAME)
    assert not await topics.delete(NAME)
    assert await everything(topics.log(NAME)) == []
    assert await topics.all() == []
    await state[collection_of(NAME)].insert_one({"_id": 0, "body": "anew"})
    (message,) = await everything(topics.log(NAME))
    assert (message.body, message.offset) == ("anew", 4)
    (topic,) = await topics.all()
    assert topic.retention == Retention()
    assert (topic.extent.first, topic.extent.next, topic.extent.messages) == (4, 5, 1)


async def test_numbers_are_not_given_twice_when_a_topic_is_deleted_while_it_is_numbered(
    topics: MongoTopics, state: State
) -> None:
    """What was claimed becomes holes, also where a message with the same id is published before the claim
    ends."""
    await published(topics.log(NAME), 3)
    claim = {"numbering": [3, 4], "claim": ObjectId()}
    await state["topics"].update_one({"_id": NAME}, {"$set": claim})
    assert await topics.delete(NAME)
    await state[collection_of(NAME)].insert_many([{"_id": 4}, {"_id": 5}])
    found = await everything(topics.log(NAME))
    assert [(message.id, message.offset) for message in found] == [(4, 5), (5, 6)]


@asynccontextmanager
async def ringing(state: State) -> AsyncIterator[Bell]:
    """A bell that rings; its first ring, when it begins to listen, is over."""
    bell = Bell(state.client, state.name)
    with bell.listening(NAME) as listener:
        task = asyncio.create_task(bell.run())
        assert await listener.wait(30)
        try:
            yield bell
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def rung(listener: Listener) -> bool:
    return await listener.wait(30)


async def test_whoever_waits_is_told_of_what_is_published_there(topics: MongoTopics, state: State) -> None:
    """Many at once, also when they did not wait just then; not of other topics."""
    async with ringing(state) as bell:
        with bell.listening(NAME) as one, bell.listening(NAME) as two, bell.listening("OTHER") as other:
            await topics.log(NAME).publish([Message(1, None)])
            assert all(await asyncio.gather(rung(one), rung(two)))
            assert not await other.wait(0)
            await state[collection_of("OTHER")].insert_one({})
            assert await rung(other)


async def test_a_bell_does_not_read_all_that_is_published(topics: MongoTopics, state: State) -> None:
    """Where it is too much, it tells everybody to look, and listens from then on."""
    async with ringing(state) as bell:
        with bell.listening(NAME) as listener, bell.listening("OTHER") as other:
            await topics.log(NAME).publish([Message(number, None) for number in range(5 * bells.MANY)])
            assert await rung(listener)
            assert await rung(other), "it has not begun to listen anew"
            await topics.log("OTHER").publish([Message(1, None)])
            assert await rung(other)


async def test_a_bell_whose_stream_breaks_rings_and_goes_on(topics: MongoTopics, state: State) -> None:
    """Nobody knows what it has not heard."""
    await topics.log(NAME).open()
    async with ringing(state) as bell:
        with bell.listening(NAME) as listener:
            await state.client.drop_database(state.name)  # which ends every stream on it
            assert await rung(listener)
            await topics.log(NAME).publish([Message(1, None)])
            assert await rung(listener)
