"""What only the store in MongoDB can promise: rows without loss, expiry, and writes that outlast faults.

The faults are the server's own fail points, limited to a client with a name of its own and always switched
off again.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    json_util,
)
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure, PyMongoError

from mtrigger.deliveries import Dead, Delivered, Outcome, Retrying, Status, Suppressed
from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import PositionError
from mtrigger.stores.base import DELIVERED_KEPT_SECONDS, Query
from mtrigger.stores.mongo import MongoStore
from mtrigger.supervision import outages
from support.fail_points import failing_commands, times_failed
from support.mongo_proxy import MongoProxy
from support.polling import eventually
from support.samples import (
    LINE,
    NOW,
    PARTITION,
    checkpoint_at,
    delivery_at,
    event_at,
    settlement_of,
    token_at,
)

Document = dict[str, Any]

STATE = "state_of_mongo_store"
FAULTY = "faulty store"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outages of these tests last a moment."""
    monkeypatch.setattr(outages, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(outages, "LONGEST_PAUSE", 0.05)


@pytest.fixture
async def admin(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[Document]]:
    """A client that no fault is meant for."""
    async with connect(mongod.uri) as client:
        yield client
        await client.drop_database(STATE)


@pytest.fixture
async def store(mongod: EmbeddedServer, admin: AsyncMongoClient[Document]) -> AsyncIterator[MongoStore]:
    """A store whose driver repeats nothing by itself, so that every fault reaches the store."""
    async with connect(
        with_options(
            mongod.uri, f"appname={quote(FAULTY)}&retryWrites=false&retryReads=false&heartbeatFrequencyMS=500"
        )
    ) as client:
        store = MongoStore(client, STATE)
        await store.open()
        yield store
        await admin.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
async def proxy(mongod: EmbeddedServer) -> AsyncIterator[MongoProxy]:
    """A wire that can be cut."""
    proxy = MongoProxy(urlsplit(mongod.uri).port or 27017)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
async def unsure(proxy: MongoProxy, admin: AsyncMongoClient[Document]) -> AsyncIterator[MongoStore]:
    """A store at the end of that wire, whose driver repeats nothing by itself."""
    async with connect(f"{proxy.uri}&retryWrites=false&retryReads=false&heartbeatFrequencyMS=500") as client:
        store = MongoStore(client, STATE)
        await store.open()
        yield store


async def fail(admin: AsyncMongoClient[Document], command: str, times: int, fault: Document) -> None:
    """Let the next `times` of `command` that the store sends fail."""
    data = {"failCommands": [command], "appName": FAULTY, **fault}
    await admin.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})


def with_options(uri: str, options: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{options}"


def deliveries(admin: AsyncMongoClient[Document]) -> AsyncCollection[Document]:
    return admin[STATE]["deliveries"]


# -- rows ----------------------------------------------------------------------------------------------------

AWKWARD: dict[str, Any] = {
    "names with a dollar": {"$set": 1, "$": 2, "a": {"$where": "no code", "$ref": "not a reference"}},
    "dotted names": {"a.b": {"c.d": 1}, ".": 2, "": 3},
    "decimal": [Decimal128("1E+3"), Decimal128("-0"), Decimal128("NaN"), Decimal128("Infinity")],
    "doubles": [float("inf"), float("-inf"), -0.0, 5e-324],
    "integers": [Int64(1), 1, Int64(2**63 - 1), -(2**31)],
    "dates out of range": [DatetimeMS(2**62), DatetimeMS(-(2**62)), DatetimeMS(253402300800000)],
    "dates": [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)],
    "binary": [b"\x00\xff", Binary(b"\x01", 5), Binary(uuid.UUID(int=7).bytes, 4), Binary(b"", 128)],
    "regex": [Regex("^a.*$", "imsx"), Regex("(unbalanced", 0)],
    "keys": [MinKey(), MaxKey()],
    "timestamp": Timestamp(1, 2),
    "code": [Code("f()"), Code("f()", {"x": 1})],
    "reference": DBRef("c", ObjectId(b"123456789012"), "d", {"e": 1}),
    "nested": [[[[{"a": [[]]}]]]],
    "text": ["\x00", "한국어 💌", "\ufeff", "a" * 70_000],
    "nothing": None,
}
NAMES = sorted(AWKWARD)


def exactly(value: Any) -> str:
    """A value as text that tells apart what BSON tells apart."""
    return json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)


@pytest.mark.parametrize("name", NAMES)
async def test_every_value_a_document_can_hold_comes_back_as_it_was(store: MongoStore, name: str) -> None:
    """In the document, the pre-image, the key and the changed paths: a restart must not change the mail."""
    value = AWKWARD[name]
    document = {"_id": {"k": value}, "value": value}
    event = event_at(
        1,
        operation="update",
        key={"k": value},
        document=document,
        before=document,
        updated={"a.b.0": value, "$odd": value, "": value},
        removed=("c.d", "$e"),
        truncated=("f",),
        image="look-up",
    )
    await store.add([delivery_at(1, event=event)])

    (owed,) = await store.owed(PARTITION, LINE, "", 10)

    assert exactly(owed.event.to_row()) == exactly(event.to_row())
    assert owed.event.updated.keys() == event.updated.keys()
    assert (owed.event.removed, owed.event.truncated) == (event.removed, event.truncated)
    assert owed.event.cluster_time == event.cluster_time
    assert owed.event.time == event.time


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Delivered(), True),
        (Suppressed("silence"), True),
        (Dead("550"), False),
        (Retrying("451", NOW), False),
    ],
)
async def test_what_is_done_expires_and_what_is_dead_never_does(
    store: MongoStore, admin: AsyncMongoClient[Document], outcome: Outcome, kept: bool
) -> None:
    """The TTL index looks at `expires_at` alone: a row without it stays for ever."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, outcome)])

    (row,) = await deliveries(admin).find().to_list()
    indexes = await deliveries(admin).index_information()

    assert indexes["expiry"]["key"] == [("expires_at", 1)]
    assert indexes["expiry"]["expireAfterSeconds"] == 0
    end = NOW + timedelta(seconds=0.5)
    assert row.get("expires_at") == (end + timedelta(seconds=DELIVERED_KEPT_SECONDS) if kept else None)
    assert ("expires_at" in row) is kept


async def test_a_reopened_or_open_row_never_expires_and_a_discarded_one_does(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """What is owed again has nothing left of its end."""
    delivery = delivery_at(1)
    await store.add([delivery])
    assert "expires_at" not in (await deliveries(admin).find().to_list())[0]
    await store.settle([settlement_of(delivery, Dead("no"))])
    await store.reopen(Query())
    (row,) = await deliveries(admin).find().to_list()
    assert not {"expires_at", "settled_at", "due_at"} & row.keys()

    await store.discard(Query())

    (row,) = await deliveries(admin).find().to_list()
    assert row["expires_at"] == row["settled_at"] + timedelta(seconds=DELIVERED_KEPT_SECONDS)
    assert not {"open", "reopened"} & row.keys()


@pytest.mark.parametrize(
    "damage",
    [
        {"$set": {"token": "8265"}},
        {"$set": {"token": {"_data": 5}}},
        {"$set": {"token": 7}},
        {"$unset": {"token": ""}},
        {"$unset": {"cluster_id": ""}},
        {"$set": {"cluster_time": "yesterday"}},
    ],
)
async def test_a_damaged_checkpoint_shows_the_tokens_before_it(
    store: MongoStore, admin: AsyncMongoClient[Document], damage: Document
) -> None:
    """An operator can put one of them back."""
    await store.begin(checkpoint_at(1))
    await store.advance(checkpoint_at(2))
    await store.advance(checkpoint_at(3))
    await admin[STATE]["checkpoints"].update_one({"_id": PARTITION}, damage)

    with pytest.raises(PositionError) as raised:
        await store.checkpoint(PARTITION)

    assert token_at(1) in str(raised.value)
    assert token_at(2) in str(raised.value)
    assert "mtrigger checkpoint set" in str(raised.value)


@pytest.mark.parametrize("previous", ["not a list", [7, {"_data": "82AB"}], {"a": 1}])
async def test_earlier_tokens_may_be_damaged_too(
    store: MongoStore, admin: AsyncMongoClient[Document], previous: Any
) -> None:
    """They are shown as far as they can be read, and a whole token is not given up for them."""
    await store.begin(checkpoint_at(1))
    checkpoints = admin[STATE]["checkpoints"]
    await checkpoints.update_one({"_id": PARTITION}, {"$set": {"previous": previous}})
    assert (await store.checkpoint(PARTITION)) is not None
    await checkpoints.update_one({"_id": PARTITION}, {"$set": {"token": 7}})

    with pytest.raises(PositionError, match=r"The tokens before it: (none|82AB)"):
        await store.checkpoint(PARTITION)


# -- faults --------------------------------------------------------------------------------------------------

FAULTS = [
    pytest.param({"closeConnection": True}, id="the connection breaks"),
    pytest.param({"errorCode": 10107}, id="no longer the primary"),
    pytest.param({"errorCode": 13}, id="credentials are being rotated"),
    pytest.param(
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
        id="applied, but not acknowledged",
    ),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_add_outlasts_a_fault_and_reports_every_new_id(
    store: MongoStore, admin: AsyncMongoClient[Document], fault: Document
) -> None:
    """Whether the rows were written before the fault or not: nothing raised, lost or forgotten."""
    known, first, second = (delivery_at(number) for number in (1, 2, 3))
    await store.add([known])
    await store.settle([settlement_of(known, Delivered())])
    await fail(admin, "insert", 3, fault)

    new = await store.add([known, first, second])

    assert new == {first.id, second.id}
    assert await store.owed(PARTITION, LINE, "", 10) == [first, second]


async def test_rows_whose_reply_was_lost_are_still_new(proxy: MongoProxy, unsure: MongoStore) -> None:
    """The insert was carried out, its reply never came: the ids exist now, and they are ours to run."""
    known, first, second = (delivery_at(number) for number in (1, 2, 3))
    await unsure.add([known])
    await unsure.settle([settlement_of(known, Retrying("451", NOW))])
    proxy.lose_reply("insert")

    new = await unsure.add([known, first, second])

    assert proxy.lost == 1
    assert new == {first.id, second.id}


async def test_an_outcome_whose_reply_was_lost_is_written_once(proxy: MongoProxy, unsure: MongoStore) -> None:
    """The second write finds the first."""
    delivery = delivery_at(1)
    await unsure.add([delivery])
    proxy.lose_reply("update")

    await unsure.settle([settlement_of(delivery, Retrying("451", NOW))])

    (record,) = await unsure.find(Query(), 10)
    assert proxy.lost == 1
    assert (record.delivery.attempts, len(record.log)) == (1, 1)


async def test_reopened_deliveries_whose_marking_was_lost_are_handed_out(
    proxy: MongoProxy, unsure: MongoStore
) -> None:
    """They are marked as handed out already when it is tried again, and must not be forgotten."""
    delivery = delivery_at(1)
    await unsure.add([delivery])
    await unsure.settle([settlement_of(delivery, Dead("no"))])
    await unsure.reopen(Query())
    proxy.lose_reply("update")

    assert await unsure.take_reopened(PARTITION, 10) == [replace(delivery, admitted=True)]
    assert proxy.lost == 1


async def test_the_first_position_is_ours_although_its_reply_was_lost(
    proxy: MongoProxy, unsure: MongoStore
) -> None:
    """And advancing with a lost reply makes no earlier token of the new one."""
    proxy.lose_reply("insert")
    assert await unsure.begin(checkpoint_at(1)) == checkpoint_at(1)
    proxy.lose_reply("update")
    await unsure.advance(checkpoint_at(2))

    stored = await unsure.checkpoint(PARTITION)

    assert proxy.lost == 2
    assert stored is not None
    assert (stored.position, stored.previous) == (token_at(2), ({"_data": token_at(1)},))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("outcome", [Delivered("250"), Retrying("451", NOW), Dead("550")])
async def test_settle_outlasts_a_fault_and_writes_once(
    store: MongoStore, admin: AsyncMongoClient[Document], fault: Document, outcome: Outcome
) -> None:
    """The action has run: giving up would run it twice, writing twice would lie about its history."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await fail(admin, "update", 3, fault)

    await store.settle([settlement_of(delivery, outcome)])

    (record,) = await store.find(Query(), 10)
    assert record.delivery.attempts == 1
    assert len(record.log) == 1
    assert record.status is not Status.PENDING


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_position_moves_in_spite_of_a_fault(
    store: MongoStore, admin: AsyncMongoClient[Document], fault: Document
) -> None:
    """And its earlier tokens are those it really had."""
    await fail(admin, "insert", 2, fault)
    assert await store.begin(checkpoint_at(1)) == checkpoint_at(1)
    await fail(admin, "update", 2, fault)

    await store.advance(checkpoint_at(2))

    stored = await store.checkpoint(PARTITION)
    assert stored is not None
    assert stored.position == token_at(2)
    assert stored.previous == ({"_data": token_at(1)},)


@pytest.mark.parametrize("fault", FAULTS)
async def test_reopened_deliveries_are_not_forgotten_when_the_reply_is_lost(
    store: MongoStore, admin: AsyncMongoClient[Document], fault: Document
) -> None:
    """Marking them as handed out may happen without our knowing: they are handed out all the same."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, Dead("no"))])
    await store.reopen(Query())
    await fail(admin, "update", 2, fault)

    assert await store.take_reopened(PARTITION, 10) == [replace(delivery, admitted=True)]
    assert await store.take_reopened(PARTITION, 10) == []


async def test_reading_outlasts_a_fault(store: MongoStore, admin: AsyncMongoClient[Document]) -> None:
    """What is owed is found once the server answers again."""
    delivery = delivery_at(1)
    await store.add([delivery])
    for read in (
        lambda: store.owed(PARTITION, LINE, "", 10),
        lambda: store.still_open([delivery.id]),
        lambda: store.checkpoint(PARTITION),
    ):
        await fail(admin, "find", 2, {"closeConnection": True})
        await read()
    await fail(admin, "aggregate", 2, {"errorCode": 11600})
    assert await store.lines(PARTITION) == {LINE}


async def test_a_fault_that_waiting_does_not_mend_is_raised(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """An unknown error must not be waited out in silence."""
    await fail(admin, "insert", 1, {"errorCode": 121})  # DocumentValidationFailure

    with pytest.raises(OperationFailure):
        await store.add([delivery_at(1)])


async def test_a_delivery_that_was_reopened_again_is_not_lost_to_an_earlier_owner(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """An owner has found it reopened; before it has said so to the server the stream is another's, where the
    delivery dies and is reopened once more."""
    delivery, successor = delivery_at(1), MongoStore(admin, STATE)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, Dead("550"), NOW)])
    await store.reopen(Query())
    held_up = {"blockConnection": True, "blockTimeMS": 500}
    async with failing_commands(admin, ["update"], app_name=FAULTY, mode={"times": 1}, **held_up):
        before = await times_failed(admin)
        late = asyncio.create_task(store.take_reopened(PARTITION, 10))
        await eventually(lambda: _has_failed(admin, before))
        await successor.settle([settlement_of(delivery, Dead("550"), NOW + timedelta(minutes=1))])
        assert await successor.reopen(Query()) == 1
        assert not late.done()
        assert [found.id for found in await late] == [delivery.id]

    assert [found.id for found in await successor.take_reopened(PARTITION, 10)] == [delivery.id]
    assert await successor.take_reopened(PARTITION, 10) == []


async def _has_failed(admin: AsyncMongoClient[Document], before: int) -> bool:
    return await times_failed(admin) > before


async def test_people_are_not_kept_waiting(store: MongoStore, admin: AsyncMongoClient[Document]) -> None:
    """A command at a terminal says at once that the database does not answer."""
    await fail(admin, "find", 1, {"errorCode": 11600})

    with pytest.raises(PyMongoError):
        await store.find(Query(), 10)
