"""Topics on a real server: what is published is read, once, in one order that never changes for anybody."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId, Timestamp
from bson.int64 import Int64
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import PermanentError, PositionError, SettingsError
from mtrigger.messages import Message, collection_of, fields_of
from mtrigger.stores.steadiness import StateOutage
from mtrigger.supervision import interpreter
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.topics.log import After, Extent, RefusedError
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.numbering import (
    INDEX,
    LARGEST_NUMBERED,
    TOO_LARGE,
    advancing,
    claiming,
    completing,
)
from support import raw_bson

State = AsyncDatabase[dict[str, Any]]

NAME = "BIZ-BIGORDER"
MAJORITY = ReadConcern("majority")

ON_A_SERVER: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
}
"""Each example takes a second there: one that fails is told as it is, not made smaller for minutes."""


@pytest.fixture
async def state(mongod: EmbeddedServer) -> AsyncIterator[State]:
    """A state database as mtrigger itself opens it."""
    async with connect(mongod.uri) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield client[name]
        await client.drop_database(name)


@pytest.fixture
async def log(state: State) -> MongoLog:
    """An empty topic."""
    topic = log_of(state)
    await topic.open()
    return topic


def log_of(state: State) -> MongoLog:
    """The topic as one more process has it."""
    return MongoLog(state, NAME, StateOutage(None))


def numbers(count: int, first: int = 0) -> list[Message]:
    return [Message(number, {"number": number}) for number in range(first, first + count)]


async def everything(log: MongoLog, behind: int = 0, limit: int = 1_000) -> list[Message]:
    """All there is behind an offset, page by page."""
    found: list[Message] = []
    while page := await log.read(found[-1].offset if found else behind, limit):
        assert len(page) <= limit
        found += page
    return found


def ids(messages: list[Message]) -> list[Any]:
    return [message.id for message in messages]


async def test_what_is_published_is_read_as_it_was_in_its_order(log: MongoLog) -> None:
    """Every field; the time where none was given is the server's, the offset is the topic's."""
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    full = Message("a", {"amount": 1}, "key", at, {"trace": "x"}, {"rule": "big"})
    bare = Message("b", [1, "two"])
    assert await log.publish([full, bare]) == 2

    first, second = await everything(log)

    assert first == Message("a", {"amount": 1}, "key", at, {"trace": "x"}, {"rule": "big"}, offset=1)
    assert (second.body, second.key, second.offset) == ([1, "two"], None, 2)
    assert second.time is not None
    assert abs(second.time - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_message_that_is_numbered_late_has_the_time_of_its_insert(
    log: MongoLog, state: State
) -> None:
    """As far as the server has noted it, in seconds; a message without that note has the time of now."""
    noted = Timestamp(1_700_000_000, 1)
    await state[collection_of(NAME)].insert_many([{"_id": 1, "inserted": noted}, {"_id": 2}])
    late, unknown = await everything(log)
    assert late.time == noted.as_datetime() + timedelta(milliseconds=999)
    assert unknown.time is not None
    assert abs(unknown.time - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_copy_of_a_topic_has_the_numbers_of_the_first(log: MongoLog, state: State) -> None:
    """Copied by any means, that is without its row: all of it is read, what comes next lies behind it. The
    same where somebody has deleted the row."""
    await log.publish(numbers(3))
    await everything(log)
    await (await state[collection_of(NAME)].aggregate([{"$out": collection_of("COPY")}])).to_list()
    await state["topics"].delete_one({"_id": NAME})
    for topic in (log, MongoLog(state, "COPY", StateOutage(None))):
        await topic.publish(numbers(1, first=3))
        assert [(one.id, one.offset) for one in await everything(topic)] == [(0, 1), (1, 2), (2, 3), (3, 4)]


async def test_a_page_holds_no_more_than_was_asked_for(log: MongoLog) -> None:
    """And going on behind the last one misses nothing."""
    await log.publish(numbers(25))
    assert ids(await log.read(0, 10)) == list(range(10))
    assert ids(await everything(log, limit=10)) == list(range(25))
    await log.publish(numbers(500, first=25))
    assert len(await log.read(25, 500)) == 500, "MongoDB's own first reply is a small one"
    assert await log.read(525, 10) == []


async def test_a_page_holds_no_more_than_memory_bears(log: MongoLog) -> None:
    """A reply of MongoDB, 16 MB, however many were asked for."""
    await log.publish([Message(number, b"x" * 5_000_000) for number in range(7)])
    assert len(await log.read(0, 1_000)) == 3
    assert ids(await everything(log)) == list(range(7))


async def test_an_id_that_is_there_adds_nothing(log: MongoLog) -> None:
    """Neither when it comes again, nor twice in one call; what comes between is new all the same."""
    assert await log.publish(numbers(10)) == 10
    again = [*numbers(20, first=5), Message(7, "another"), Message(100, "new"), Message(100, "again")]
    assert await log.publish(again) == 16
    found = await everything(log)
    assert ids(found) == [*range(25), 100]
    assert found[7].body == {"number": 7}


async def test_a_message_that_cannot_be_stored_costs_itself(log: MongoLog) -> None:
    """It is named with the reason; those around it are durable, in their order."""
    messages = [
        *numbers(3),
        Message("odd", object()),
        Message("large", b"x" * 15_000_001),
        *numbers(3, first=3),
        Message("deep", raw_bson.nested(190)),
        *numbers(3, first=6),
        Message("deeper", raw_bson.nested(250)),
    ]
    with pytest.raises(RefusedError) as raised:
        await log.publish(messages)
    assert isinstance(raised.value, PermanentError)
    assert raised.value.published == 9
    reasons = dict(raised.value.refused)
    assert reasons.keys() == {"odd", "large", "deep", "deeper"}
    assert "15,000,000 is the most" in reasons["large"]
    assert all("nest" in reasons[name] for name in ("deep", "deeper"))
    assert ids(await everything(log)) == list(range(9))


async def test_any_program_may_publish_by_an_insert(state: State) -> None:
    """Into a topic that nobody has made, with as little as a body; then it is a topic."""
    inserted = await state[collection_of(NAME)].insert_one({"body": 1})
    (message,) = await everything(log_of(state))
    assert (message.id, message.body, message.headers, message.offset) == (inserted.inserted_id, 1, {}, 1)


async def test_a_topic_that_nobody_has_made_is_empty(state: State) -> None:
    """Asking for it does not make it."""
    assert await log_of(state).read(0, 10) == []
    assert await log_of(state).extent() == Extent(1, 1, 0, 0, None)
    assert await state.list_collection_names() == []


async def test_a_topic_is_made_once_by_many(state: State) -> None:
    """At the same time, and by one that finds it there."""
    await asyncio.gather(*(log_of(state).open() for _ in range(8)))
    await log_of(state).publish(numbers(3))
    await everything(log_of(state))
    await log_of(state).open()
    assert ids(await everything(log_of(state), behind=1)) == [1, 2]


@pytest.mark.parametrize("name", ["", "a b", ".a", "a.", "a..b", "ä", "a$b", "x" * 101, "a\n"])
def test_what_no_topic_can_be_named_is_said_at_once(name: str) -> None:
    """Whoever names it."""
    with pytest.raises(SettingsError, match="no name of a topic"):
        MongoLog(AsyncMongoClient[dict[str, Any]](connect=False)["state"], name, StateOutage(None))


async def test_a_transaction_that_commits_late_comes_later_and_is_not_missed(
    state: State, log: MongoLog
) -> None:
    """A reader has passed what was published after it; what commits then stands behind that, not before."""
    async with state.client.start_session() as session, await session.start_transaction():
        await state[collection_of(NAME)].insert_one(fields_of(Message("early", 1)), session=session)
        await log.publish([Message("late", 2)])
        passed = await everything(log)
    assert ids(passed) == ["late"]
    assert ids(await everything(log, behind=passed[-1].offset)) == ["early"]
    assert ids(await everything(log)) == ["late", "early"]


async def test_what_is_being_numbered_is_read_once_all_below_it_is(state: State, log: MongoLog) -> None:
    """Somebody has numbered the last of three and died: a reader does not go on behind that one."""
    await log.publish(numbers(2))
    behind = (await everything(log))[-1].offset
    await log.publish(numbers(3, first=2))
    claim, topic = ObjectId(), state[collection_of(NAME)]
    await (await topic.aggregate(claiming(NAME, behind + 1, claim, 3), hint=INDEX)).to_list()
    match, unwind, *rest = completing(NAME, topic.name, claim)
    await (await state["topics"].aggregate([match, unwind, {"$skip": 2}, *rest])).to_list()
    assert ids(await log.read(0, 10)) == [0, 1]
    assert ids(await everything(log, behind)) == [2, 3, 4]


async def test_what_has_no_number_is_in_the_order_of_the_inserts(state: State, log: MongoLog) -> None:
    """Of programs that write as little as a body, and of mtrigger, one after the other."""
    topic = state[collection_of(NAME)]
    for number in range(0, 8, 2):
        await log.publish([Message(number, None)])
        await topic.insert_one({"_id": number + 1})
    assert ids(await everything(log)) == list(range(8))


async def test_a_member_that_stored_them_in_another_order_knows_the_right_one(
    state: State, log: MongoLog
) -> None:
    """Members of a replica set apply what they copy in parallel. The server's time of the insert tells."""
    stored = [{"_id": number, "inserted": Timestamp(1_000, 9 - number)} for number in range(9)]
    await state[collection_of(NAME)].insert_many(stored)
    assert ids(await everything(log)) == list(reversed(range(9)))


async def test_publishing_notes_the_servers_time_of_the_insert(state: State, log: MongoLog) -> None:
    """In the order of the messages."""
    await log.publish(numbers(5))
    times = [document["inserted"] async for document in state[collection_of(NAME)].find(sort=[("_id", 1)])]
    assert times == sorted(set(times))
    assert times[0].time > 0


ODD_IDS: dict[str, Any] = {
    "null": None,
    "document": {"b": 1, "a": {"x": 2}},
    "dollar": "$next",
    "long": Int64(5),
    "date": datetime(2026, 1, 1, tzinfo=UTC),
    "nan": float("nan"),
    "object id": ObjectId("6b035add577e1d9f4b4b9f59"),
    "large": "x" * 100_000,
}


async def test_an_id_may_be_anything(log: MongoLog) -> None:
    """Numbering never takes it for something else."""
    await log.publish([Message(message_id, name) for name, message_id in ODD_IDS.items()])
    found = await everything(log)
    assert [message.body for message in found] == list(ODD_IDS)
    assert [message.offset for message in found] == list(range(1, len(ODD_IDS) + 1))


async def test_ids_too_large_to_be_numbered_together_are_numbered(log: MongoLog) -> None:
    """Forty of them would not fit into one row."""
    large = [f"{number}{'x' * 500_000}" for number in range(40)]
    await log.publish([Message(message_id, None) for message_id in large])
    assert ids(await everything(log)) == large


async def test_what_python_cannot_hold_has_a_flaw_and_the_rest_is_whole(state: State, log: MongoLog) -> None:
    """In a body, or in the id itself: it is numbered like any other and tells what is wrong with it."""
    topic = state[collection_of(NAME)]
    await log.publish([Message(1, "before")])
    await topic.insert_one(raw_bson.raw(raw_bson.fields(_id=2, key="k"), raw_bson.old_binary("body")))
    await topic.insert_one(raw_bson.raw(raw_bson.old_binary("_id"), raw_bson.fields(body=3)))
    await topic.insert_one(raw_bson.raw(raw_bson.element(2, "_id", raw_bson.string(b"\xff\xfe"))))
    await log.publish([Message(5, "after")])

    before, body, odd_id, bad_text, after = await everything(log)

    assert (before.body, after.body) == ("before", "after")
    assert (body.id, body.key, body.body) == (2, "k", None)
    assert body.flaw.startswith("body: ")
    assert b"abc" in body.raw
    assert (odd_id.id, odd_id.body) == ("the unreadable id of offset 3", 3)
    assert odd_id.flaw.startswith("_id: ")
    assert bad_text.offset == 4


async def test_a_message_with_no_room_for_a_number_does_not_block_the_topic(
    state: State, log: MongoLog
) -> None:
    """A program may insert 16 MB to the last byte. Its id is kept, and it says why the rest is not."""
    await log.publish([Message("before", 1)])
    fits = LARGEST_NUMBERED - len(raw_bson.document(raw_bson.fields(_id="fits", body="")))
    await state[collection_of(NAME)].insert_one({"_id": "fits", "body": "x" * fits})
    whole = 16 * 1024 * 1024 - len(raw_bson.document(raw_bson.fields(_id="large", body="")))
    await state[collection_of(NAME)].insert_one({"_id": "large", "body": "x" * whole})
    await log.publish([Message("after", 2)])

    found = await everything(log)

    assert ids(found) == ["before", "fits", "large", "after"]
    assert (found[1].flaw, len(found[1].body)) == ("", fits)
    assert (found[2].flaw, found[2].body) == (TOO_LARGE, None)


async def test_a_collection_that_was_dropped_by_hand_goes_on(state: State, log: MongoLog) -> None:
    """Its numbers too: nothing comes before where readers stand."""
    await log.publish(numbers(3))
    await everything(log)
    await state[collection_of(NAME)].drop()
    await state[collection_of(NAME)].insert_one({"_id": "new"})
    (message,) = await everything(log, behind=3)
    assert (message.id, message.offset) == ("new", 4)


async def test_where_to_begin(state: State, log: MongoLog) -> None:
    """At every kind of place, also where messages have no numbers yet."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=hours) for hours in (0, 1, 5, 3, 9)]  # a producer's clock went wrong
    await log.publish([Message(number, None, time=time) for number, time in enumerate(times)])

    assert await log.position("beginning") == 0
    assert await log.position("now") == 5
    assert await log.position(After(1)) == 2
    assert await log.position(4) == 3
    assert await log.position(6) == 5
    assert await log.position(start - timedelta(days=1)) == 0
    assert await log.position(times[3]) == 2, "message 2 is from a later moment, and would be missed"
    assert await log.position(times[4]) == 4
    assert await log.position(start + timedelta(days=1)) == 5
    await state[collection_of(NAME)].insert_one({"_id": "unnumbered"})
    assert await log.position(After("unnumbered")) == 6
    with pytest.raises(PositionError, match="holds no message with the id 'x'"):
        await log.position(After("x"))
    with pytest.raises(PositionError, match="has no offset 8 yet: the next message gets 7"):
        await log.position(8)


async def test_what_a_topic_holds(log: MongoLog) -> None:
    """How many, of how many bytes, from where to where."""
    assert await log.extent() == Extent(1, 1, 0, 0, None)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await log.publish([Message(1, "x" * 1_000), Message(2, "x" * 1_000, time=at)])
    await everything(log)
    extent = await log.extent()
    assert (extent.first, extent.next, extent.messages, extent.newest) == (1, 3, 2, at)
    assert 2_000 < extent.size < 4_000


async def test_three_producers_and_three_readers_agree(state: State, log: MongoLog) -> None:
    """Programs that know nothing of mtrigger insert, one by one, many at once and in transactions; each
    reader sees the same sequence, without a hole, while it comes and afterwards."""
    wanted = 3 * 120
    topic = state[collection_of(NAME)]

    async def produce(producer: int) -> None:
        chance = random.Random(producer)
        number = 0
        while number < 120:
            count = min(chance.choice((1, 1, 7, 30)), 120 - number)
            some = [{"key": producer, "body": number + place} for place in range(count)]
            if chance.random() < 0.3:
                async with state.client.start_session() as session, await session.start_transaction():
                    await topic.insert_many(some, session=session)
                    await asyncio.sleep(0.005)
            else:
                await topic.insert_many(some)
            number += count

    async def consume(limit: int) -> list[Message]:
        reader, found = log_of(state), list[Message]()
        while len(found) < wanted:
            found += await reader.read(found[-1].offset if found else 0, limit)
        return found

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for producer in range(3):
            tasks.create_task(produce(producer))
        reading = [tasks.create_task(consume(limit)) for limit in (5, 50, 500)]
    first, *others = (task.result() for task in reading)

    assert [message.offset for message in first] == list(range(1, wanted + 1))
    assert all(other == first for other in others)
    assert await everything(log) == first
    for producer in range(3):
        assert [message.body for message in first if message.key == producer] == list(range(120))


@settings(max_examples=10, **ON_A_SERVER)
@given(seed=st.integers(0, 2**32), kills=st.lists(st.integers(0, 40), max_size=12))
def test_numberers_that_die_anywhere_lose_and_repeat_nothing(
    mongod: EmbeddedServer, seed: int, kills: list[int]
) -> None:
    """Several number at once, and some are ended between any two of their commands, or in the midst of one.
    Whoever reads on behind what it has seen sees what is there in the end, in one order."""
    interpreter.run(_number_and_die(mongod.uri, seed, kills))


async def _number_and_die(uri: str, seed: int, kills: list[int]) -> None:
    chance, count = random.Random(seed), 40
    name = f"test_{uuid.uuid4().hex[:12]}"
    async with connect(uri) as client:
        state = client[name]
        await log_of(state).open()
        seen: list[Message] = []
        read = asyncio.Lock()

        async def follow() -> None:
            """Read on; what a page holds is seen once it has come, whoever dies then."""
            while True:
                heed_cancellation()
                async with read:
                    seen.extend(await log_of(state).read(seen[-1].offset if seen else 0, 7))

        async def number() -> None:
            while True:
                heed_cancellation()
                await log_of(state).read(chance.randrange(count), 3)
                await log_of(state).position("now")

        async def insert() -> None:
            for message in range(count):
                await state[collection_of(NAME)].insert_one({"_id": message})

        inserting = asyncio.create_task(insert())
        helpers = [asyncio.create_task(work()) for work in (follow, number, number)]
        for kill in kills:
            await asyncio.sleep(kill / 1_000)  # where it is then, chance and the server decide
            victim = chance.randrange(3)
            helpers[victim].cancel()
            helpers[victim] = asyncio.create_task((follow, number, number)[victim]())
        await inserting
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        seen += await everything(log_of(state), behind=seen[-1].offset if seen else 0, limit=3)
        stored = await everything(log_of(state))
        await client.drop_database(name)
    assert sorted(ids(seen)) == list(range(count))
    assert [message.offset for message in seen] == list(range(1, count + 1)), "a number was given for nothing"
    assert seen == stored


class _Helper:
    """One who numbers, a command at a time, and may be stopped for as long as it takes between any two."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._steps = self._round()

    async def step(self) -> None:
        await anext(self._steps)

    async def _round(self) -> AsyncIterator[None]:
        rows, topic = self._state["topics"], self._state[collection_of(NAME)]
        while True:
            row = await row_of(self._state)
            yield
            if row["claim"] is None:
                pipeline = claiming(NAME, row["next"], ObjectId(), 4)
                await (await topic.aggregate(pipeline, hint=INDEX)).to_list()
                yield
                row = await row_of(self._state)
                yield
            if (claim := row["claim"]) is not None:
                await (await rows.aggregate(completing(NAME, topic.name, claim))).to_list()
                yield
                await rows.update_one(*advancing(NAME, claim))
                yield

    async def die_while_completing(self, done: int) -> None:
        """It has numbered so many, of whatever is claimed just then."""
        row = await row_of(self._state)
        if row["claim"] is not None:
            match, unwind, *rest = completing(NAME, collection_of(NAME), row["claim"])
            some = [match, unwind, {"$limit": done}, *rest]
            await (await self._state["topics"].aggregate(some)).to_list()
        self._steps = self._round()


async def row_of(state: State) -> dict[str, Any]:
    row = await state["topics"].find_one({"_id": NAME})
    assert row is not None
    return row


_STEPS = [("step", helper) for helper in range(3)]
MOVES = st.sampled_from(
    [*5 * _STEPS, ("die", 1), ("die", 3), ("insert", 1), ("insert", 6), ("begin", 0), ("commit", 0)]
)
"""Mostly steps: a helper's round takes up to five of them."""


@settings(max_examples=12, **ON_A_SERVER)
@given(moves=st.lists(MOVES, min_size=40, max_size=60))
def test_whatever_three_helpers_do_in_whatever_order(
    mongod: EmbeddedServer, moves: list[tuple[str, int]]
) -> None:
    """After every command, a reader who goes on behind what it has seen finds the next messages without a
    hole, and in the end it has seen what is there."""
    interpreter.run(_number_in_turns(mongod.uri, moves))


async def _number_in_turns(uri: str, moves: list[tuple[str, int]]) -> None:
    name = f"test_{uuid.uuid4().hex[:12]}"
    async with connect(uri) as client:
        state = client.get_database(name, read_concern=MAJORITY, write_concern=WriteConcern("majority"))
        await log_of(state).open()
        topic, helpers = state[collection_of(NAME)], [_Helper(state) for _ in range(3)]
        seen: list[Any] = []
        inserted = 0
        session = client.start_session()
        for move, number in moves:
            if move == "step":
                await helpers[number].step()
            elif move == "die":
                await helpers[0].die_while_completing(number)
            elif move == "insert":
                await topic.insert_many([{"_id": inserted + more} for more in range(number)])
                inserted += number
            elif move == "begin" and not session.in_transaction:
                await session.start_transaction()
                await topic.insert_one({"_id": inserted}, session=session)
                inserted += 1
            elif move == "commit" and session.in_transaction:
                await session.commit_transaction()
            following = (await row_of(state))["next"]
            visible = {"offset": {"$gt": len(seen), "$lt": following}}
            seen += [message["_id"] async for message in topic.find(visible, sort=[("offset", 1)])]
            assert len(seen) == following - 1
        if session.in_transaction:
            await session.commit_transaction()
        await session.end_session()
        seen += ids(await everything(log_of(state), behind=len(seen)))
        assert seen == ids(await everything(log_of(state)))
        assert sorted(seen) == list(range(inserted))
        await client.drop_database(name)
