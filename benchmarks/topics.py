"""A topic against what MongoDB itself does with messages: the same documents published and consumed by the
log of a topic, and by a bare `insert_many` and a bare change stream.

Both sides write the same documents in the same portions, by majority, and then read all of them; the topic
gives each of them its number meanwhile. Then the same with a member of a group, whose hundred tasks
acknowledge each message, against a change stream whose position is stored after each hundred.

    python -m benchmarks.topics [--events N] [--rounds N] [--json] [--uri URI]
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from bson import ObjectId
from pymongo import AsyncMongoClient, WriteConcern

from benchmarks.command import Sizes, run
from benchmarks.history import DATABASE, Document, mongod, orders
from benchmarks.rounds import take_turns, tell
from benchmarks.table import Row, compared
from mtrigger.deployment.connecting import connect
from mtrigger.messages import Message, collection_of, fields_of
from mtrigger.stores.steadiness import StateOutage
from mtrigger.supervision import interpreter
from mtrigger.topic_client import Topic
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.registry import MongoTopics

EVENTS = 30_000
AT_ONCE = 1_000
"""Messages that are published, and read, at once."""

TASKS = 100
"""Messages that a member has out at once, each acknowledged by itself."""

TOPIC = "ORDERS"

Client = AsyncMongoClient[Document]
Portions = list[list[Message]]
Consumed = Callable[[Client, Portions], Awaitable[int]]


async def through_topic(client: Client, portions: Portions) -> int:
    """mtrigger's log. Returns how many messages were read."""
    log = MongoLog(client[DATABASE], TOPIC, StateOutage(None))
    await log.open()
    began = time.perf_counter()
    for portion in portions:
        await log.publish(portion)
    published = time.perf_counter() - began
    seen, behind = 0, 0
    while page := await log.read(behind, AT_ONCE):
        seen, behind = seen + len(page), page[-1].offset
    _tell("topic", seen, published, time.perf_counter() - began)
    return seen


async def through_stream(client: Client, portions: Portions) -> int:
    """What everybody can write: inserts, and a change stream on the collection from before them."""
    collection = client[DATABASE].get_collection(collection_of(TOPIC), write_concern=WriteConcern("majority"))
    wanted = sum(map(len, portions))
    async with await collection.watch(batch_size=AT_ONCE) as stream:
        began = time.perf_counter()
        for portion in portions:
            await collection.insert_many([fields_of(message) for message in portion])
        published = time.perf_counter() - began
        seen = 0
        while seen < wanted:
            seen += await stream.try_next() is not None
    _tell("stream", seen, published, time.perf_counter() - began)
    return seen


async def through_group(client: Client, portions: Portions, uri: str) -> int:
    """A member of a new group. Returns how many messages it has acknowledged."""
    log = MongoLog(client[DATABASE], TOPIC, StateOutage(None))
    await log.open()
    began = time.perf_counter()
    for portion in portions:
        await log.publish(portion)
    published = time.perf_counter() - began
    wanted, seen = sum(map(len, portions)), 0
    async with Topic(TOPIC, uri, DATABASE) as topic, topic.consume(str(ObjectId())) as messages:

        async def work() -> None:
            nonlocal seen
            async for message in messages:
                await message.ack()
                seen += 1
                if seen == wanted:
                    messages.stop()

        await asyncio.gather(*(work() for _ in range(TASKS)))
    _tell("group", seen, published, time.perf_counter() - began)
    return seen


async def through_stored_stream(client: Client, portions: Portions, uri: str) -> int:
    """What everybody can write who has to go on there after a crash: as `through_stream`, and after each
    hundred the position is stored."""
    del uri
    state = client[DATABASE]
    collection = state.get_collection(collection_of(TOPIC), write_concern=WriteConcern("majority"))
    positions = state.get_collection("positions", write_concern=WriteConcern("majority"))
    wanted, seen = sum(map(len, portions)), 0
    async with await collection.watch(batch_size=AT_ONCE) as stream:
        began = time.perf_counter()
        for portion in portions:
            await collection.insert_many([fields_of(message) for message in portion])
        published = time.perf_counter() - began
        while seen < wanted:
            seen += await stream.try_next() is not None
            if seen % TASKS == 0:
                token = {"token": stream.resume_token}
                await positions.update_one({"_id": TOPIC}, {"$set": token}, upsert=True)
    _tell("stored stream", seen, published, time.perf_counter() - began)
    return seen


def _tell(what: str, count: int, published: float, whole: float) -> None:
    rates = (count / published, count / (whole - published))
    tell("    {}: {:,.0f} published and {:,.0f} consumed a second".format(what, *rates))


def _portions(count: int) -> Portions:
    """New messages, with ids that were never used."""
    messages = [
        Message(ObjectId(), order, order["customer"]["id"], source={"rule": "bench"})
        for order in orders(count, 1)
    ]
    return [messages[first : first + AT_ONCE] for first in range(0, count, AT_ONCE)]


async def _rate(consumed: Consumed, uri: str, count: int) -> float:
    async with connect(uri) as client:
        await MongoTopics(client[DATABASE], StateOutage(None)).delete(TOPIC)
        await client[DATABASE].create_collection(collection_of(TOPIC))
        portions = _portions(count)
        began = time.perf_counter()
        seen = await consumed(client, portions)
        seconds = time.perf_counter() - began
    assert seen == count, f"{count} messages were published, {seen} were read"
    return count / seconds


def rate(consumed: Consumed, uri: str, count: int) -> float:
    """Messages a second, published and consumed."""
    return interpreter.run(_rate(consumed, uri, count))


def measure(sizes: Sizes) -> Iterator[Row]:
    """Two rows."""
    with mongod(sizes.uri) as uri:
        sides = {
            "mtrigger's topic": partial(rate, through_topic, uri, sizes.of(EVENTS)),
            "insert_many and watch()": partial(rate, through_stream, uri, sizes.of(EVENTS)),
        }
        ours, limit = take_turns("topic", sides, sizes.rounds).values()
        members = {
            "a member of a group": partial(rate, partial(through_group, uri=uri), uri, sizes.of(EVENTS)),
            "watch() with its position": partial(
                rate, partial(through_stored_stream, uri=uri), uri, sizes.of(EVENTS)
            ),
        }
        member, stored = take_turns("group", members, sizes.rounds).values()
    yield compared(
        "messages of a topic, published and consumed",
        "insert_many and watch()",
        ours,
        limit,
        at_least=0.5,
        unit="messages/s",
    )
    yield compared(
        "messages of a topic, published and acknowledged by a member, 100 at once",
        "insert_many and watch(), its position stored after each 100",
        member,
        stored,
        at_least=0.5,
        unit="messages/s",
    )


if __name__ == "__main__":
    run(measure, "Publishing messages and consuming them.")
