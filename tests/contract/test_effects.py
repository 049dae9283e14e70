"""Effects and their outcomes are one, on faulty ways to the server too."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson.regex import Regex
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

from mtrigger.deliveries import Delivered, Delivery, Memory, Settlement, Status
from mtrigger.deployment.connecting import connect
from mtrigger.deployment.databases import topic_maker
from mtrigger.effects import STATE as STATE_DATABASE
from mtrigger.effects import Cause, Effect
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import PermanentError
from mtrigger.events import ChangeEvent
from mtrigger.messages import Message, collection_of, fields_of
from mtrigger.stores.base import Query
from mtrigger.stores.effects import CarriedOutBeforeError, ContendedError
from mtrigger.stores.mongo import MongoStore
from mtrigger.stores.mongo_effects import EffectsElsewhere
from mtrigger.stores.steadiness import StateOutage
from mtrigger.supervision import outages
from mtrigger.topics.registry import MongoTopics
from support.fail_points import failing_commands
from support.samples import NOW, PARTITION, delivery_at

Document = dict[str, Any]

STATE, SHOP = "state_of_effects", "shop_of_effects"
FAULTY = "faulty effects"


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
        await client.drop_database(SHOP)


@pytest.fixture
async def store(mongod: EmbeddedServer, admin: AsyncMongoClient[Document]) -> AsyncIterator[MongoStore]:
    """A store whose faults are its own."""
    separator = "&" if "?" in mongod.uri else "/?"
    async with connect(f"{mongod.uri}{separator}appname=faulty%20effects&heartbeatFrequencyMS=500") as client:
        store = MongoStore(client, STATE)
        await store.open()
        yield store


def counting(key: Any = "all") -> Effect:
    """One more."""
    return Effect(SHOP, "counts", "update", {"_id": {"$eq": key}}, {"$inc": {"n": 1}}, upsert=True)


def success(delivery: Delivery, effect: Effect) -> Settlement:
    """A success with its effect."""
    return Settlement(delivery, Delivered(effect.account), NOW, 0.0, effect=effect)


async def counts(admin: AsyncMongoClient[Document]) -> dict[Any, int]:
    """What was counted."""
    return {row["_id"]: row["n"] async for row in admin[SHOP]["counts"].find({})}


async def test_an_effect_and_its_outcome_are_written_once(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """Asked again, the store finds nothing to do."""
    delivery = delivery_at(1)
    await store.add([delivery])
    settlement = success(delivery, counting())
    assert await store.effects.carry_out([settlement], None) == "written"
    assert await store.effects.carry_out([settlement], None) == "settled before"
    assert await counts(admin) == {"all": 1}
    (record,) = await store.find(Query(), 10)
    assert (record.status, [line.detail for line in record.log]) == (
        Status.DELIVERED,
        [f"update in {SHOP}.counts"],
    )


async def test_what_was_discarded_meanwhile_is_not_written(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """Nor is what was to go with it: then each is tried alone."""
    deliveries = [delivery_at(number) for number in (1, 2)]
    await store.add(deliveries)
    await store.discard(Query(ids=(deliveries[0].id,)))
    assert (
        await store.effects.carry_out([success(one, counting()) for one in deliveries], None)
        == "settled before"
    )
    assert await counts(admin) == {}
    assert await store.effects.carry_out([success(deliveries[1], counting())], None) == "written"
    assert await counts(admin) == {"all": 1}


async def test_one_refused_effect_leaves_all_undone(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """Neither rows nor other effects of the transaction."""
    deliveries = [delivery_at(number) for number in (1, 2)]
    await store.add(deliveries)
    bad = Effect(SHOP, "counts", "update", {"_id": {"$eq": "all"}}, {"$inc": {"n": "text"}}, upsert=True)
    with pytest.raises(PermanentError, match=r"update in shop_of_effects\.counts was refused"):
        await store.effects.carry_out(
            [success(deliveries[0], counting(1)), success(deliveries[1], bad)], None
        )
    assert await counts(admin) == {}
    assert await store.still_open([one.id for one in deliveries]) == {one.id for one in deliveries}


@pytest.mark.parametrize(
    "fault",
    [
        {"closeConnection": True},
        {"errorCode": 91, "errorLabels": ["TransientTransactionError"]},
        {"errorCode": 10107},
        {"errorCode": 112, "errorLabels": ["TransientTransactionError"]},
    ],
    ids=["closed", "shutting down", "not primary", "conflict"],
)
@pytest.mark.parametrize("command", ["update", "insert", "commitTransaction"])
async def test_a_fault_at_any_command_counts_once(
    store: MongoStore, admin: AsyncMongoClient[Document], command: str, fault: Document
) -> None:
    """The transaction is made again, or its commit asked for again."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.effects.carry_out([success(delivery, counting("first"))], None)
    again = delivery_at(2)
    await store.add([again])
    async with failing_commands(admin, [command], app_name=FAULTY, mode={"times": 3}, **fault):
        assert (
            await store.effects.carry_out([success(again, counting())], Cause("rule", 0, ("rule",)))
            == "written"
        )
    assert await counts(admin) == {"first": 1, "all": 1}
    assert await store.still_open([again.id]) == set()


async def test_a_commit_whose_answer_is_lost_counts_once(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """The server has committed and says that it does not know for certain."""
    delivery = delivery_at(1)
    await store.add([delivery])
    unknown = {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}
    async with failing_commands(admin, ["commitTransaction"], app_name=FAULTY, mode={"times": 3}, **unknown):
        assert await store.effects.carry_out([success(delivery, counting())], None) == "written"
    assert await counts(admin) == {"all": 1}


async def test_a_document_that_others_keep_writing_ends_the_attempt(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """Somebody's open transaction holds it: the attempt fails, and is made again by the rule's policy."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await admin[SHOP]["counts"].insert_one({"_id": "all", "n": 0})
    async with admin.start_session() as session:
        await session.start_transaction()
        await admin[SHOP]["counts"].update_one({"_id": "all"}, {"$inc": {"n": 10}}, session=session)
        with pytest.raises(ContendedError, match=r"shop_of_effects\.counts"):
            await store.effects.carry_out([success(delivery, counting())], None)
        await session.commit_transaction()
    assert await store.effects.carry_out([success(delivery, counting())], None) == "written"
    assert await counts(admin) == {"all": 11}


async def test_an_insert_with_an_id_of_its_own_tells_that_it_was_made_before(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """The row was lost, the document is there: nothing is doubled, and it is no failure. Of what was to go
    with it, nothing was done."""
    delivery, another = delivery_at(1), delivery_at(2)
    await store.add([delivery, another])
    await admin[SHOP]["log"].insert_one({"_id": delivery.id})
    own = Effect(SHOP, "log", "insert", value={"_id": delivery.id}, own_id=True)
    with pytest.raises(CarriedOutBeforeError):
        await store.effects.carry_out([success(delivery, own), success(another, counting())], None)
    assert await store.effects.carry_out([success(delivery, own)], None) == "unwritten"
    assert await counts(admin) == {}
    assert await store.still_open([delivery.id, another.id]) == {delivery.id, another.id}
    theirs = replace(own, own_id=False)
    with pytest.raises(PermanentError, match="another document has the same `_id` already"):
        await store.effects.carry_out([success(delivery, theirs)], None)


async def test_elsewhere_effects_are_carried_out_and_their_outcomes_are_not(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """So they may be made again; an insert with an id of its own is made once."""
    delivery, another = delivery_at(1), delivery_at(2)
    await store.add([delivery, another])
    own = Effect(SHOP, "log", "insert", value={"_id": delivery.id}, own_id=True)
    effects = EffectsElsewhere(admin, store.effects)
    for _ in range(2):
        both = [success(delivery, own), success(another, counting())]
        assert await effects.carry_out(both, None) == "unwritten"
    assert await admin[SHOP]["log"].count_documents({}) == 1
    assert await counts(admin) == {"all": 2}
    assert await store.still_open([delivery.id, another.id]) == {delivery.id, another.id}


def message(delivery: Delivery, topic: str = "BIG", body: Any = 1) -> Effect:
    """A message with the delivery's id."""
    stored = fields_of(Message(id=delivery.id, body=body, key="k"))
    return Effect(STATE_DATABASE, collection_of(topic), "insert", value=stored, own_id=True)


async def topic(admin: AsyncMongoClient[Document], name: str = "BIG") -> list[Any]:
    """The ids of its messages, as they lie there."""
    return [row["_id"] async for row in admin[STATE][collection_of(name)].find({})]


async def test_a_message_and_its_outcome_are_written_once(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """Into the database of the state; it has the server's time and no number."""
    delivery = delivery_at(1)
    await store.add([delivery])
    settlement = success(delivery, message(delivery))
    assert await store.effects.carry_out([settlement], None) == "written"
    assert await store.effects.carry_out([settlement], None) == "settled before"
    (row,) = await admin[STATE][collection_of("BIG")].find({}).to_list()
    assert (row["_id"], row["body"], row["key"], "offset" in row) == (delivery.id, 1, "k", False)
    assert row["inserted"].time > 0
    assert await store.still_open([delivery.id]) == set()


async def test_a_message_and_a_write_go_together(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """Of two deliveries: all of it or nothing."""
    deliveries = [delivery_at(number) for number in (1, 2)]
    await store.add(deliveries)
    bad = Effect(SHOP, "counts", "update", {"_id": {"$eq": "all"}}, {"$inc": {"n": "text"}}, upsert=True)
    for effect, came in ((bad, []), (counting(), [deliveries[0].id])):
        both = [success(deliveries[0], message(deliveries[0])), success(deliveries[1], effect)]
        if effect is bad:
            with pytest.raises(PermanentError):
                await store.effects.carry_out(both, None)
        else:
            assert await store.effects.carry_out(both, None) == "written"
        assert await topic(admin) == came
    assert await counts(admin) == {"all": 1}


async def test_elsewhere_messages_are_one_with_their_outcomes_all_the_same(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """They lie with the state, not in the deployment that is watched."""
    delivery = delivery_at(1)
    await store.add([delivery])
    effects = EffectsElsewhere(admin, store.effects)
    settlement = success(delivery, message(delivery))
    assert effects.is_together(message(delivery))
    assert not effects.is_together(counting())
    assert await effects.carry_out([settlement], None) == "written"
    assert await effects.carry_out([settlement], None) == "settled before"
    assert await topic(admin) == [delivery.id]


async def test_a_topic_is_made_once_and_before_its_first_message(
    mongod: EmbeddedServer, admin: AsyncMongoClient[Document]
) -> None:
    """With its index and its row; what comes into one that was deleted meanwhile is stored, too."""
    made: list[str] = []

    async def make(name: str) -> None:
        made.append(name)
        await topic_maker(MongoTopics(admin[STATE], StateOutage(None)))(name)

    async with connect(mongod.uri) as client:
        store = MongoStore(client, STATE, make_topic=make)
        await store.open()
        deliveries = [delivery_at(number) for number in range(1, 5)]
        await store.add(deliveries)
        for delivery, name in zip(deliveries, ("BIG", "SMALL", "BIG", "BIG"), strict=True):
            if delivery is deliveries[3]:
                assert await MongoTopics(admin[STATE], StateOutage(None)).delete("BIG")
            settlement = success(delivery, message(delivery, name))
            assert await store.effects.carry_out([settlement], None) == "written"
    assert made == ["BIG", "SMALL"]
    assert await topic(admin) == [deliveries[3].id]
    assert await topic(admin, "SMALL") == [deliveries[1].id]
    assert await admin[STATE]["topics"].count_documents({"_id": "SMALL"}) == 1
    log = MongoTopics(admin[STATE], StateOutage(None)).log("BIG")
    assert [one.id for one in await log.read(0, 10)] == [deliveries[3].id]


async def test_a_message_that_is_there_already_is_a_success_to_be_written(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """The delivery was lost and is owed again: the topic holds it once."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await admin[STATE][collection_of("BIG")].insert_one({"_id": delivery.id})
    assert await store.effects.carry_out([success(delivery, message(delivery))], None) == "unwritten"
    assert await topic(admin) == [delivery.id]


async def left_open(admin: AsyncMongoClient[Document], session: AsyncClientSession) -> None:
    """A transaction of a process that is gone: it holds the document that is counted in."""
    await admin[SHOP]["counts"].insert_one({"_id": "all", "n": 0})
    own = session.session_id["id"]
    await admin[STATE]["effects"].insert_one({"_id": "left", "partition": PARTITION, "session": own})
    await session.start_transaction()
    await admin[SHOP]["counts"].update_one({"_id": "all"}, {"$inc": {"n": 10}}, session=session)


@pytest.mark.parametrize(
    "fault", [{"closeConnection": True}, {"errorCode": 91}], ids=["closed", "shutting down"]
)
async def test_ending_what_an_earlier_owner_left_open_is_tried_until_it_is_done(
    store: MongoStore, admin: AsyncMongoClient[Document], fault: Document
) -> None:
    """Else it would hold its documents for a minute."""
    delivery = delivery_at(1)
    await store.add([delivery])
    async with admin.start_session() as session:
        await left_open(admin, session)
        async with failing_commands(admin, ["killSessions"], app_name=FAULTY, mode={"times": 1}, **fault):
            assert await store.effects.carry_out([success(delivery, counting())], None) == "written"
    assert await counts(admin) == {"all": 1}


async def test_what_an_earlier_owner_left_open_and_may_not_be_ended_is_told(
    store: MongoStore, admin: AsyncMongoClient[Document], caplog: pytest.LogCaptureFixture
) -> None:
    """It ends by itself: what it does not hold is written."""
    delivery = delivery_at(1)
    await store.add([delivery])
    async with admin.start_session() as session:
        await left_open(admin, session)
        async with failing_commands(admin, ["killSessions"], app_name=FAULTY, errorCode=13):
            came_of = await store.effects.carry_out([success(delivery, counting("other"))], None)
    assert came_of == "written"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(
        "The transactions of the process that had this partition before could not be ended"
    )


async def test_the_memory_goes_with_it_and_a_later_owner_knows_more(
    store: MongoStore, admin: AsyncMongoClient[Document]
) -> None:
    """As for memories that are kept by themselves."""
    expires_at = NOW + timedelta(days=36_500)
    deliveries = [delivery_at(number) for number in (1, 2)]
    await store.add(deliveries)
    await admin[STATE]["rule_state"].insert_one(
        {"_id": "later", "epoch": 5, "rule": "r", "n": 9, "expires_at": expires_at}
    )
    for delivery, name in zip(deliveries, ("mine", "later"), strict=True):
        memory = Memory(name, "r", {"n": 1, "text": "$n"}, expires_at)
        settlement = replace(success(delivery, counting(name)), remembers=memory)
        assert await store.effects.carry_out([settlement], None) == "written"
    rows = {row["_id"]: row async for row in admin[STATE]["rule_state"].find({})}
    assert rows["mine"]["n"] == 1
    assert rows["mine"]["text"] == "$n"
    assert rows["later"]["n"] == 9
    assert await counts(admin) == {"mine": 1, "later": 1}


async def test_a_change_tells_what_caused_it(store: MongoStore, admin: AsyncMongoClient[Document]) -> None:
    """By the name of its transaction; a change outside of one has none."""
    delivery = delivery_at(1)
    await store.add([delivery])
    cause = Cause("ping", 3, ("pong", "ping"))
    async with await admin[SHOP].watch() as stream:
        assert await store.effects.carry_out([success(delivery, counting())], cause) == "written"
        await admin[SHOP]["counts"].update_one({"_id": "all"}, {"$inc": {"n": 1}})
        caused, other = [ChangeEvent.from_change(await stream.next()) for _ in range(2)]
    assert ChangeEvent.from_row(caused.to_row()) == caused
    assert other.transaction == ""
    assert await store.effects.causes([caused.transaction, "0:1"]) == {caused.transaction: cause}


@pytest.mark.parametrize(
    "value",
    [{"a": {"$gt": 1}}, {"a": Regex("^x")}, {"a": [{"$in": [1]}]}, {"a": {"$ne": None, "$exists": True}}],
    ids=["operator", "pattern", "in an array", "several"],
)
async def test_a_key_is_compared_as_a_whole(
    store: MongoStore, admin: AsyncMongoClient[Document], value: Document
) -> None:
    """Whatever a document holds."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await admin[SHOP]["log"].insert_many([{"_id": 1, "a": "xyz"}, {"_id": 2, "a": 5}, {"_id": 3}])
    effect = Effect(SHOP, "log", "delete", {name: {"$eq": one} for name, one in value.items()})
    assert await store.effects.carry_out([success(delivery, effect)], None) == "written"
    assert await admin[SHOP]["log"].count_documents({}) == 3
