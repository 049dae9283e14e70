"""Topics from Python: `mtrigger.topic` publishes, reads and consumes as docs/topics.md tells."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pymongo import AsyncMongoClient, MongoClient

import mtrigger
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import SettingsError
from mtrigger.topics.log import RefusedError
from support.polling import eventually

LEASE = 1.0
"""Seconds: turns are taken every tenth of it."""


@pytest.fixture
def database(mongod: EmbeddedServer) -> Iterator[str]:
    """The name of an empty state database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient[dict[str, object]](mongod.uri) as client:
        client.drop_database(name)


@pytest.fixture
async def topic(mongod: EmbeddedServer, database: str) -> AsyncIterator[mtrigger.Topic]:
    """A topic that nobody has published into."""
    async with mtrigger.topic("ORDERS", uri=mongod.uri, state_db=database) as topic:
        yield topic


async def take(messages: mtrigger.Consumer, count: int) -> list[mtrigger.Received]:
    """The next `count` messages; none of them is acknowledged."""
    return [await anext(messages) for _ in range(count)]


async def consumed(topic: mtrigger.Topic, count: int, group: str = "pricing") -> list[object]:
    """The bodies of the next `count` messages of a group, acknowledged."""
    async with topic.consume(group, lease=LEASE) as messages:
        found = []
        async for message in messages:
            found.append(message.body)
            await message.ack()
            if len(found) == count:
                break
    return found


async def test_what_is_published_is_consumed_once_by_each_group(topic: mtrigger.Topic) -> None:
    """Whoever of the group it is, and whenever it comes."""
    await topic.publish({"amount": 1}, key="eu", headers={"trace": "x"}, source={"by": "test"})
    assert await topic.publish_many([2, mtrigger.Message("three", 3)]) == 2

    async with topic.consume("pricing", lease=LEASE) as messages:
        first, second = await take(messages, 2)
        assert (first.body, first.key, first.offset) == ({"amount": 1}, "eu", 1)
        assert (first.headers, first.source) == ({"trace": "x"}, {"by": "test"})
        assert first.time is not None
        await asyncio.gather(first.ack(), second.ack())
        await first.ack()

    assert await consumed(topic, 1) == [3]
    assert await consumed(topic, 3, group="audit") == [{"amount": 1}, 2, 3]


async def test_messages_of_a_key_wait_for_the_one_before(topic: mtrigger.Topic) -> None:
    """Others go on."""
    await topic.publish_many([mtrigger.Message(n, n, key) for n, key in enumerate("aabb")])
    async with topic.consume("pricing", lease=LEASE) as messages:
        first, third = await take(messages, 2)
        assert (first.body, third.body) == (0, 2)
        following = asyncio.create_task(anext(messages))
        await third.ack()
        assert (await following).body == 3
        await first.ack()
        assert (await anext(messages)).body == 1


async def test_a_message_that_is_released_comes_again(topic: mtrigger.Topic) -> None:
    """And what was handed out before can be acknowledged no more."""
    await topic.publish_many([1, 2])
    async with topic.consume("pricing", lease=LEASE) as messages:
        (first,) = await take(messages, 1)
        first.release()
        again = await anext(messages)
        assert again.body == 1
        with pytest.raises(mtrigger.AckLostError, match="released"):
            await first.ack()
        await again.ack()


async def test_what_is_not_acknowledged_at_the_end_is_for_others_at_once(topic: mtrigger.Topic) -> None:
    """The member that ended cannot acknowledge it any more, and says so."""
    await topic.publish_many([1, 2, 3])
    async with topic.consume("pricing", lease=3600.0) as messages:
        one, two = await take(messages, 2)
        await two.ack()
    with pytest.raises(mtrigger.AckLostError, match="closed"):
        await one.ack()
    assert sorted(await consumed(topic, 2), key=str) == [1, 3]


def test_an_event_loop_that_ends_gives_everything_back(mongod: EmbeddedServer, database: str) -> None:
    """Also where somebody left the loop over messages by `break` and closed nothing."""

    async def run() -> object:
        topic = mtrigger.topic("ORDERS", uri=mongod.uri, state_db=database)
        async for message in topic.consume("pricing", lease=3600.0):
            return message.body
        return None

    with MongoClient[dict[str, dict[str, object]]](mongod.uri) as client:
        client[database]["topics.ORDERS"].insert_one({"body": {"by": "any program"}})
        for _ in range(2):
            assert asyncio.run(run()) == {"by": "any program"}
            row = client[database]["topic_groups"].find_one()
            assert row is not None
            assert row["members"] == {}


async def test_asked_to_stop_it_hands_out_nothing_more_and_takes_acknowledgements(
    topic: mtrigger.Topic,
) -> None:
    """For programs that end on a signal."""
    await topic.publish_many([1, 2])
    async with topic.consume("pricing", lease=LEASE) as messages:
        (first,) = await take(messages, 1)
        messages.stop()
        assert [message async for message in messages] == []
        await first.ack()
    assert await consumed(topic, 1) == [2]


async def test_several_tasks_share_the_messages_of_a_consumer(topic: mtrigger.Topic) -> None:
    """Each gets others, and all end together."""
    await topic.publish_many(range(100))
    found: list[object] = []
    async with topic.consume("pricing", lease=LEASE) as messages:

        async def work() -> None:
            async for message in messages:
                found.append(message.body)
                await message.ack()
                if len(found) == 100:
                    messages.stop()

        await asyncio.gather(*(work() for _ in range(10)))
    assert sorted(found, key=str) == sorted(range(100), key=str)


async def test_a_group_begins_where_it_is_told(topic: mtrigger.Topic) -> None:
    """Only the first time."""
    await topic.publish_many([mtrigger.Message(n, n) for n in range(5)])
    for group, start, first in (("a", "offset:3", 2), ("b", "after:0", 1)):
        async with topic.consume(group, start, lease=LEASE) as messages:
            assert (await anext(messages)).body == first
    async with topic.consume("c", datetime.now(UTC) + timedelta(days=1), lease=LEASE) as messages:
        later = asyncio.create_task(anext(messages))
        await eventually(lambda: _joined(messages))
        await topic.publish("new")
        assert (await later).body == "new"
    async with topic.consume("a", "now", lease=LEASE) as messages:
        assert (await anext(messages)).body == 2
    with pytest.raises(mtrigger.PositionError, match="no message"):
        await anext(topic.consume("d", "after:nothing", lease=LEASE))


def _joined(messages: mtrigger.Consumer) -> bool:
    return messages.shares > 0


async def test_reading_is_no_group(topic: mtrigger.Topic) -> None:
    """It begins anew each time, ends at the end, and goes on with `follow`."""
    await topic.publish_many([1, 2])
    assert [message.body async for message in topic.read()] == [1, 2]
    assert [message.body async for message in topic.read("offset:2")] == [2]
    following = topic.read("offset:3", follow=True)
    later = asyncio.create_task(anext(following))
    await topic.publish(3)
    assert (await later).body == 3
    await following.aclose()


async def test_a_group_of_rules_is_no_group_of_members(
    topic: mtrigger.Topic, mongod: EmbeddedServer, database: str
) -> None:
    """Nobody would know what is done."""
    async with AsyncMongoClient[dict[str, object]](mongod.uri) as client:
        await client[database]["checkpoints"].insert_one({"_id": "topic/ORDERS/big-orders"})
    with pytest.raises(mtrigger.GroupError, match="belongs to rules"):
        await anext(topic.consume("big-orders", lease=LEASE))


async def test_messages_that_were_not_kept_are_a_gap(
    topic: mtrigger.Topic, mongod: EmbeddedServer, database: str
) -> None:
    """The group goes on with the oldest one, and `mtrigger gaps` tells."""
    await topic.publish_many(range(10))
    assert await consumed(topic, 2) == [0, 1]
    async with AsyncMongoClient[dict[str, object]](mongod.uri) as client:
        state = client[database]
        await state["topics"].update_one({"_id": "ORDERS"}, {"$set": {"first": 7}})
        await state["topics.ORDERS"].delete_many({"offset": {"$lt": 7}})
        assert await consumed(topic, 4) == [6, 7, 8, 9]
        (gap,) = await state["gaps"].find().to_list()
    assert gap["stream"] == "topic/ORDERS/pricing"
    assert "offsets 3 to 6" in str(gap["why"])


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(
    topic: mtrigger.Topic, mongod: EmbeddedServer, database: str
) -> None:
    """By a group that has read more than there is now; also while it runs."""
    await topic.publish_many(range(10))
    async with AsyncMongoClient[dict[str, object]](mongod.uri) as client:
        async with topic.consume("running", lease=LEASE) as messages:
            for message in await take(messages, 10):
                await message.ack()
            assert len(await consumed(topic, 10)) == 10
            await client[database].drop_collection("topics.ORDERS")
            await client[database]["topics"].delete_one({"_id": "ORDERS"})
            await topic.publish_many(["a", "b"])
            assert (await anext(messages)).body == "a"
        assert await consumed(topic, 2) == ["a", "b"]


async def test_a_consumer_goes_on_after_the_database_was_away(
    topic: mtrigger.Topic, mongod: EmbeddedServer
) -> None:
    """Nothing is lost: a primary that steps down is waited for."""
    await topic.publish_many([1, 2])
    async with topic.consume("pricing", lease=LEASE) as messages:
        (first,) = await take(messages, 1)
        async with AsyncMongoClient[dict[str, object]](mongod.uri, directConnection=True) as client:
            await client.admin.command({"replSetStepDown": 2, "force": True})
        await first.ack()
        second = await anext(messages)
        assert second.body == 2
        await second.ack()


async def test_what_cannot_be_is_refused(topic: mtrigger.Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with a sentence."""
    with pytest.raises(SettingsError, match="no name of a topic"):
        mtrigger.topic("a b", uri="mongodb://x")
    with pytest.raises(SettingsError, match="no name of a group"):
        topic.consume("a/b")
    with pytest.raises(SettingsError, match="prefetch"):
        topic.consume("a", prefetch=0)
    with pytest.raises(SettingsError, match="lease"):
        topic.consume("a", lease=0.1)
    with pytest.raises(SettingsError, match="did you mean `beginning`"):
        topic.consume("a", "beginnin")
    with pytest.raises(RefusedError, match="cannot be published"):
        await topic.publish(object())
    for variable in ("MTRIGGER_STATE_URI", "MTRIGGER_URI"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SettingsError, match="the variable MTRIGGER_URI"):
        mtrigger.topic("ORDERS")
    assert repr(mtrigger.topic("ORDERS", uri="mongodb://u:secret@x")) == "Topic('ORDERS')"


async def test_what_is_closed_before_it_began_stays_closed() -> None:
    """A consumer that nobody has asked for a message ends with its topic."""
    topic = mtrigger.topic("ORDERS", uri="mongodb://127.0.0.1:9")
    messages = topic.consume(group="pricing")
    await topic.close()
    assert messages.closed
    assert [message async for message in messages] == []
