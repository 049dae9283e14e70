"""What an event holds and the stream that reads it: too large, not decodable, unknown; on a real server.

Nothing around such an event may be lost or come twice, and the stream must go on as planned behind it.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.pushdown import StreamPlan
from mtrigger.reading.large_events import Manner
from mtrigger.reading.stream import ChangeStream, StreamPosition
from support.polling import eventually
from support.raw_bson import bad_text, fields, late_date, nested, old_binary, raw, short_uuid

Document = dict[str, Any]
Client = AsyncMongoClient[Document]

BLOB = "x" * 9_000_000
"""Twice this, as two images of one event, is more than MongoDB can send."""


@pytest.fixture(scope="session")
def mongod(roomy_mongod: EmbeddedServer) -> EmbeddedServer:
    """Room for large documents."""
    return roomy_mongod


@pytest.fixture
async def reader(mongod: EmbeddedServer) -> AsyncIterator[Client]:
    """A client as the engine's."""
    async with connect(mongod.uri) as client:
        yield client


@pytest.fixture
async def orders(database: AsyncDatabase[Document]) -> AsyncCollection[Document]:
    """A collection that keeps both images."""
    await database.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
    return database["orders"]


async def now(client: Client) -> Timestamp:
    time: Timestamp = (await client.admin.command("hello"))["operationTime"]
    return time


def open_stream(client: Client, plan: StreamPlan, start: Timestamp) -> ChangeStream:
    return ChangeStream(client, plan, StreamPosition(None, start, ""), "test")


def everything(database: AsyncDatabase[Document], **condition: Any) -> StreamPlan:
    """A plan for one database; `condition` goes to the server."""
    return StreamPlan(database.name, {"ns.coll": "orders", **condition}, "plan", {"ns.coll": "orders"})


async def read(stream: ChangeStream, count: int) -> list[ChangeEvent]:
    """The next `count` events."""
    events: list[ChangeEvent] = []

    async def enough() -> bool:
        events.extend((await stream.read()).events)
        return len(events) >= count

    await eventually(enough, patience=10.0)
    return events


def ids(events: list[ChangeEvent]) -> list[Any]:
    return [(event.operation, event.key.get("_id")) for event in events]


async def test_an_event_above_16_mb_comes_without_its_images_and_those_around_it_whole(
    reader: Client, orders: AsyncCollection[Document]
) -> None:
    """First, in the middle and last; the update's own fields are kept."""
    await orders.insert_many([{"_id": 0, "blob": BLOB}, {"_id": 1, "blob": BLOB}])
    start = await now(reader)
    await orders.update_one({"_id": 0}, {"$set": {"amount": 20000}})
    await orders.insert_one({"_id": 2, "amount": 1})
    await orders.update_one({"_id": 1}, {"$set": {"amount": 30000}})
    await orders.insert_one({"_id": 3, "amount": 2})
    await orders.replace_one({"_id": 1}, {"blob": BLOB.upper()})
    stream = open_stream(reader, everything(orders.database), Timestamp(start.time, start.inc + 1))

    events = await read(stream, 5)

    assert ids(events) == [("update", 0), ("insert", 2), ("update", 1), ("insert", 3), ("replace", 1)]
    assert [event.left_out for event in events] == [
        ("document", "before"), (), ("document", "before"), (), ("document", "before"),
    ]  # fmt: skip
    assert [event.updated for event in events if event.operation == "update"] == [
        {"amount": 20000},
        {"amount": 30000},
    ]
    assert [event.document for event in events if event.operation == "insert"] == [
        {"_id": 2, "amount": 1},
        {"_id": 3, "amount": 2},
    ]
    await stream.close()


async def test_without_pre_images_an_event_has_room_for_another_document(
    reader: Client, orders: AsyncCollection[Document]
) -> None:
    """An image of 9 MB alone comes whole; beside as much that the update set, it is left out as ever."""
    await orders.insert_one({"_id": 0, "blob": BLOB})
    start = await now(reader)
    await orders.update_one({"_id": 0}, {"$set": {"amount": 20000}})
    await orders.update_one({"_id": 0}, {"$set": {"blob": BLOB.upper()}})
    plan = replace(everything(orders.database), pre_images=False)
    stream = open_stream(reader, plan, Timestamp(start.time, start.inc + 1))

    whole, short = await read(stream, 2)

    assert (whole.left_out, whole.before) == ((), None)
    assert whole.document == {"_id": 0, "blob": BLOB, "amount": 20000}
    assert (short.left_out, short.before, short.document) == (("document",), None, None)
    assert short.updated == {"blob": BLOB.upper()}
    await stream.close()


async def test_behind_a_large_event_the_stream_is_read_as_planned_again(
    reader: Client, orders: AsyncCollection[Document], caplog: pytest.LogCaptureFixture
) -> None:
    """Not while the position is that of the event, at which the server would fail again; and whatever
    position it was given there can be opened as planned."""
    caplog.set_level(logging.INFO)
    await orders.insert_one({"_id": 0, "blob": BLOB})
    start = await now(reader)
    stream = open_stream(reader, everything(orders.database), Timestamp(start.time, start.inc + 1))
    await orders.update_one({"_id": 0}, {"$set": {"amount": 1}})
    assert ids(await read(stream, 1)) == [("update", 0)]
    at_large = stream.position
    for _ in range(2):  # nothing happens
        assert not (await stream.read()).events
    assert caplog.text.count("larger than the 16 MB") == 1

    await orders.insert_one({"_id": 1})
    assert ids(await read(stream, 1)) == [("insert", 1)]
    await eventually(lambda: _reads_plainly(stream))
    assert stream.position.start(stream.plan) == {"startAfter": stream.position.token}

    again = ChangeStream(reader, stream.plan, at_large, "test")
    assert ids(await read(again, 1)) == [("insert", 1)]
    for used in (stream, again):
        await used.close()


async def _reads_plainly(stream: ChangeStream) -> bool:
    await stream.read()
    return stream._manner is Manner.PLAIN


async def test_a_pushed_condition_is_held_against_the_whole_large_event(
    reader: Client, orders: AsyncCollection[Document]
) -> None:
    """The images are taken out behind the `$match`, not before it."""
    await orders.insert_many([{"_id": 0, "blob": BLOB}, {"_id": 1, "blob": BLOB}])
    start = await now(reader)
    for key, amount in ((0, 20000), (1, 5), (0, 6), (1, 30000)):
        await orders.update_one({"_id": key}, {"$set": {"amount": amount}})
    plan = everything(orders.database, **{"fullDocument.amount": {"$gt": 10000}})
    stream = open_stream(reader, plan, Timestamp(start.time, start.inc + 1))

    events = await read(stream, 2)

    assert [(event.key["_id"], event.updated) for event in events] == [
        (0, {"amount": 20000}),
        (1, {"amount": 30000}),
    ]
    await stream.close()


async def test_a_condition_that_builds_the_whole_event_is_held_here_instead(
    reader: Client, orders: AsyncCollection[Document]
) -> None:
    """Nothing is lost when the `$match` itself is what cannot be done: its cover is used."""
    await orders.insert_one({"_id": 0, "blob": BLOB})
    start = await now(reader)
    await orders.update_one({"_id": 0}, {"$set": {"amount": 1}})
    await orders.insert_one({"_id": 1})
    plan = everything(orders.database, **{"$expr": {"$gt": [{"$bsonSize": "$$ROOT"}, 0]}})
    stream = open_stream(reader, plan, Timestamp(start.time, start.inc + 1))

    assert ids(await read(stream, 2)) == [("update", 0), ("insert", 1)]
    await stream.close()


async def test_a_change_with_a_key_too_large_to_be_sent_is_left_out_alone(
    reader: Client, orders: AsyncCollection[Document], caplog: pytest.LogCaptureFixture
) -> None:
    """MongoDB cannot send it in any form; what is around it comes, and the log says what was left out."""
    start = await now(reader)
    await orders.insert_one({"_id": "k" * 2_000_000, "a": 1})
    await orders.insert_one({"_id": "first"})
    await orders.insert_one({"_id": "k" * 6_000_000})
    await orders.insert_one({"_id": "last"})
    stream = open_stream(reader, everything(orders.database), Timestamp(start.time, start.inc + 1))

    events = await read(stream, 3)

    assert [event.key["_id"][:5] for event in events] == ["kkkkk", "first", "last"]
    assert len(events[0].token) < 3_000
    assert "cannot send in any form" in caplog.text
    await stream.close()


BAD = {"first": [0], "middle": [2], "last": [4], "two": [1, 3], "all": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("places", BAD.values(), ids=BAD.keys())
async def test_an_event_that_cannot_be_decoded_spoils_itself_alone(
    places: list[int], reader: Client, orders: AsyncCollection[Document]
) -> None:
    """First, in the middle and last in a batch: it has a flaw, its bytes and what could be read of it."""
    start = await now(reader)
    rows = [
        raw(fields(_id=place, amount=place), *([old_binary("picture")] if place in places else []))
        for place in range(5)
    ]
    await orders.insert_many(rows)
    stream = open_stream(reader, everything(orders.database), Timestamp(start.time, start.inc + 1))

    events = await read(stream, 5)

    assert ids(events) == [("insert", place) for place in range(5)]
    assert [event.document for event in events] == [{"_id": place, "amount": place} for place in range(5)]
    assert [place for place, event in enumerate(events) if event.flaw] == places
    for place in places:
        assert events[place].flaw == "fullDocument.picture: invalid length or type code"
        assert rows[place].raw in events[place].raw
    assert all(not event.raw for event in events if not event.flaw)
    await stream.close()


async def test_options_of_the_uri_can_make_more_undecodable(
    mongod: EmbeddedServer, orders: AsyncCollection[Document]
) -> None:
    """A UUID of the wrong length, where the URI asks for Python's own UUIDs."""
    async with connect(f"{mongod.uri}&uuidRepresentation=standard") as client:
        start = await now(client)
        await orders.insert_many([raw(fields(_id=1), short_uuid("tag")), {"_id": 2}])
        stream = open_stream(client, everything(orders.database), Timestamp(start.time, start.inc + 1))
        one, two = await read(stream, 2)
        assert (one.flaw, two.flaw) == (
            "fullDocument.tag: cannot decode a uuid from a 3-byte payload, expected 16",
            "",
        )
        await stream.close()


async def test_late_dates_bad_text_and_deep_nesting_simply_work(
    reader: Client, orders: AsyncCollection[Document]
) -> None:
    """A year beyond 9999, a string that is no UTF-8, the deepest document MongoDB stores."""
    start = await now(reader)
    await orders.insert_one(raw(fields(_id=1), late_date("when"), bad_text("name")))
    await orders.insert_one({"_id": 2, "deep": nested(178)})
    stream = open_stream(reader, everything(orders.database), Timestamp(start.time, start.inc + 1))
    one, two = await read(stream, 2)
    assert one.document is not None
    assert two.document == {"_id": 2, "deep": nested(178)}
    assert (one.flaw, two.flaw, one.document["name"]) == ("", "", "A��B")
    await stream.close()


async def test_a_bad_value_in_a_large_event_is_both(
    reader: Client, orders: AsyncCollection[Document]
) -> None:
    """Read without its images, it is readable; the bad one behind it is not, and says so."""
    await orders.insert_one(raw(fields(_id=0, blob=BLOB), old_binary("picture")))
    start = await now(reader)
    await orders.update_one({"_id": 0}, {"$set": {"amount": 1}})
    await orders.insert_one(raw(fields(_id=1), old_binary("picture")))
    await orders.insert_one({"_id": 2})
    stream = open_stream(reader, everything(orders.database), Timestamp(start.time, start.inc + 1))
    events = await read(stream, 3)
    assert ids(events) == [("update", 0), ("insert", 1), ("insert", 2)]
    assert [(event.left_out, bool(event.flaw)) for event in events] == [
        (("document", "before"), False),
        ((), True),
        ((), False),
    ]
    await stream.close()
