"""Rows that MongoDB would not take whole, and rows that cannot be read back.

None is dropped, and none stops anything.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import Binary
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from mtrigger.deliveries import Dead, Delivery, Status
from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.reading.lookups import Documents
from mtrigger.stores.base import ATTEMPTS_LOGGED, LARGEST_READ, Query
from mtrigger.stores.fitting import LARGEST_PORTION, LARGEST_ROW
from mtrigger.stores.mongo import MongoStore
from support.raw_bson import document, element, fields, nested, old_binary, raw, short_uuid
from support.samples import LINE, NOW, PARTITION, delivery_at, event_at, settlement_of

Document = dict[str, Any]

STATE = "state_of_rows"
LARGE = "x" * 9_000_000


@pytest.fixture(scope="session")
def mongod(roomy_mongod: EmbeddedServer) -> EmbeddedServer:
    """Room for large rows."""
    return roomy_mongod


@pytest.fixture
async def owner(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[Document]]:
    """A client as mtrigger itself makes it."""
    async with connect(mongod.uri) as client:
        yield client
        await client.drop_database(STATE)


@pytest.fixture
async def store(owner: AsyncMongoClient[Document]) -> MongoStore:
    """An open, empty store."""
    store = MongoStore(owner, STATE)
    await store.open()
    return store


@pytest.fixture
def rows(owner: AsyncMongoClient[Document]) -> AsyncCollection[Document]:
    """The rows as they are stored."""
    return owner[STATE]["deliveries"]


def of(number: int, **event: Any) -> Delivery:
    return delivery_at(number, event=event_at(number, **event))


async def owed(store: MongoStore) -> list[Delivery]:
    return await store.owed(PARTITION, LINE, "", 100)


async def test_of_two_images_that_do_not_fit_together_the_one_after_the_change_is_kept(
    store: MongoStore,
) -> None:
    """Few rules ask for the one before."""
    large = {"_id": 1, "blob": LARGE}
    await store.add([of(1, operation="replace", document=large, before={"blob": LARGE})])
    (found,) = await owed(store)
    assert (found.event.document, found.event.before) == (large, None)
    assert (found.event.left_out, found.event.image) == (("before",), "stored")


async def test_a_document_that_does_not_fit_is_left_out_and_the_batch_around_it_stored_whole(
    store: MongoStore,
) -> None:
    """Its key, its collection and what the update set stay, so that it can be looked up."""
    huge = {"_id": 2, "blob": "x" * (16 * 1024 * 1024 - 100)}
    batch = [
        of(1, document={"_id": 1, "n": 1}),
        of(2, operation="update", document=huge, updated={"amount": 5}, image="post-image"),
        of(3, document={"_id": 3, "n": 3}),
    ]
    assert await store.add(batch) == {delivery.id for delivery in batch}
    one, two, three = await owed(store)
    assert (one, three) == (batch[0], batch[2])
    assert two.event == replace(batch[1].event, document=None, image="none", left_out=("document",))


async def test_a_row_stays_small_enough_for_the_history_of_its_attempts(
    store: MongoStore, rows: AsyncCollection[Document]
) -> None:
    """Were it filled to the brim, its outcome could not be written."""
    delivery = of(1, document={"_id": 1, "blob": "x" * (LARGEST_ROW - 1_000)})
    await store.add([delivery])
    await store.settle([settlement_of(delivery, Dead("e" * 2_000), NOW)])
    attempt = {"$arrayElemAt": ["$log", 0]}
    await rows.update_one({}, [{"$set": {"log": [attempt] * ATTEMPTS_LOGGED}}])
    await store.reopen(Query())
    await store.settle([settlement_of(delivery, Dead("e" * 2_000), NOW + timedelta(days=1))])
    assert await rows.count_documents({"event.document": None}) == 0
    assert await rows.count_documents({"status": "dead", "log": {"$size": ATTEMPTS_LOGGED}}) == 1


async def test_a_list_of_deliveries_reads_only_what_it_shows(store: MongoStore) -> None:
    """A hundred thousand of them may be asked for."""
    large = {"_id": 1, "blob": LARGE}
    parts: dict[str, Any] = {"updated": {"blob": LARGE[:4_000_000]}, "image": "post-image"}
    await store.add([of(1, document=large), of(2, operation="update", before=large, **parts)])

    shown = await store.summaries(Query(), 10)

    assert [record.delivery.event.key for record in shown] == [{"_id": 2}, {"_id": 1}]
    assert sum(record.delivery.event.size for record in shown) < 5_000


async def test_each_part_is_given_up_only_when_it_must_be(store: MongoStore) -> None:
    """Even what an update set and the bytes of what cannot be read; the key last of all."""
    event = event_at(1, operation="update", key="k" * 9_000_000, updated={"a": LARGE}, before={"b": LARGE})
    raw = replace(event, flaw="x: bad", raw=LARGE.encode())
    await store.add([delivery_at(1, event=raw)])
    (found,) = await owed(store)
    assert found.event.left_out == ("before", "updated", "raw")
    assert (found.event.key, found.event.flaw) == (event.key, "x: bad")


@pytest.mark.parametrize(("levels", "left_out"), [(177, ()), (178, ("document",)), (179, ("document",))])
async def test_a_document_nested_too_deeply_for_a_row_is_left_out(
    levels: int, left_out: tuple[str, ...], store: MongoStore
) -> None:
    """MongoDB stores 180 levels; the row around it takes two. The batch around it is stored whole."""
    deep = {"_id": 2, "inner": nested(levels)}
    batch = [of(1), of(2, document=deep), of(3)]
    assert await store.add(batch) == {delivery.id for delivery in batch}
    assert [found.event.left_out for found in await owed(store)] == [(), left_out, ()]
    assert await store.add(batch) == set()


async def test_a_key_nested_too_deeply_is_given_up_too(store: MongoStore) -> None:
    """No document, whatever its `_id`, may stop the others; this one's delivery says why it is dead."""
    await store.add([of(1, key=nested(178), document={"_id": nested(178)}), of(2)])
    one, two = await owed(store)
    assert (one.event.key, one.event.left_out) == ({}, ("document", "key"))
    assert two == of(2)
    completed = await Documents(store._client).complete(one.event)
    assert completed.flaw == "its document and its key were too large, or nested too deeply, to be kept"


async def test_more_bytes_than_one_message_holds_are_stored_in_portions(store: MongoStore) -> None:
    """100 documents of 1 MB in one call, some of them there already; and they are read in pages."""
    batch = [of(number, document={"_id": number, "blob": "x" * 1_000_000}) for number in range(100)]
    assert len(batch) * 1_000_000 > 3 * LARGEST_PORTION
    first = await store.add(batch[40:60])
    assert await store.add(batch) == {delivery.id for delivery in batch} - first
    found: list[Delivery] = []
    while len(found) < 100:
        page = await store.owed(PARTITION, LINE, found[-1].position if found else "", 100)
        assert 0 < sum(delivery.event.size for delivery in page) <= LARGEST_READ + LARGEST_ROW
        found += page
    assert found == batch


BAD_ROWS = {
    "a value that cannot be decoded": (
        {},
        [element(0x03, "document", document(fields(_id=2, amount=5), old_binary("picture")))],
        "the row in the outbox: event.document.picture: invalid length or type code",
    ),
    "an event that is damaged": (
        {"event": {"operation": 5}},
        [],
        "the row in the outbox: its event is damaged (it has no 'time')",
    ),
    "an event that is none": ({"event": 7}, [], "the row in the outbox: its event is damaged"),
}


@pytest.mark.parametrize(("changes", "elements", "flaw"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
async def test_a_row_that_cannot_be_read_back_stops_nothing(
    changes: Document, elements: list[bytes], flaw: str, store: MongoStore, rows: AsyncCollection[Document]
) -> None:
    """It is handed out with a flaw, of which it dies; the rows around it are read as ever."""
    await store.add([of(1), of(2), of(3)])
    row = await rows.find_one({"_id": of(2).id})
    assert row is not None
    await rows.delete_one({"_id": row["_id"]})
    event = row.pop("event") | {"document": None}
    del event["document"]
    inner = [] if changes else [element(0x03, "event", document(fields(**event), *elements))]
    await rows.insert_one(raw(fields(**row, **changes), *inner))

    one, two, three = await owed(store)

    assert (one, three) == (of(1), of(3))
    assert two.id == of(2).id
    assert two.event.flaw.startswith(flaw)
    (record,) = await store.find(Query(ids=(two.id,)), 1)
    assert (record.status, record.delivery.event.flaw) == (Status.PENDING, two.event.flaw)
    await store.settle([settlement_of(two, Dead("unreadable"))])
    assert await owed(store) == [one, three]
    assert await store.reopen(Query(ids=(two.id,))) == 1
    assert [found.id for found in await store.take_reopened(PARTITION, 10)] == [two.id]


async def test_options_of_the_uri_may_change_what_can_be_read_back(
    mongod: EmbeddedServer, store: MongoStore
) -> None:
    """A row written before somebody asked for Python's own UUIDs."""
    tagged = of(1, document={"_id": 1, "tag": Binary(b"abc", 4)})
    await store.add([tagged, of(2)])
    assert short_uuid("tag")[5:] == b"\x03\0\0\0\x04abc"
    async with connect(f"{mongod.uri}&uuidRepresentation=standard") as client:
        one, two = await owed(MongoStore(client, STATE))
    assert "cannot decode a uuid" in one.event.flaw
    assert (two, one.event.document) == (of(2), {"_id": 1})
