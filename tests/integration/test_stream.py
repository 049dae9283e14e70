"""The change stream on a real server: batches and the position behind each, whatever the cursor meets."""

import random
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.faults import Fault, classify
from mtrigger.matching import Matcher
from mtrigger.pushdown import plan
from mtrigger.reading import pacing
from mtrigger.reading import stream as stream_module
from mtrigger.reading.stream import Batch, ChangeStream, StreamPosition
from mtrigger.rules import Rule
from support.polling import eventually
from support.recording import rule_on
from support.samples import NOW

Document = dict[str, Any]
EVERYTHING = frozenset({"insert", "update", "replace", "delete"})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle stream answers soon."""
    monkeypatch.setattr(stream_module, "MAX_AWAIT_MS", 50)


@pytest.fixture
async def watching(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[Document]]:
    """The client that mtrigger itself would make."""
    async with connect(mongod.uri) as client:
        yield client


async def now(client: AsyncMongoClient[Document]) -> Timestamp:
    time: Timestamp = (await client.admin.command("hello"))["operationTime"]
    return time


async def open_stream(client: AsyncMongoClient[Document], *rules: Rule) -> ChangeStream:
    """A stream for `rules` that has been opened, at this moment."""
    stream = ChangeStream(
        client, plan(rules, "mtrigger"), StreamPosition(None, await now(client), ""), "test"
    )
    await stream.read()
    return stream


async def read_until(stream: ChangeStream, enough: Callable[[list[ChangeEvent]], bool]) -> list[Batch]:
    """The batches up to the one with which it is enough."""
    batches: list[Batch] = []

    async def read() -> bool:
        batches.append(await stream.read())
        return enough([event for batch in batches for event in batch.events])

    await eventually(read)
    return batches


async def events_of(stream: ChangeStream, count: int) -> list[ChangeEvent]:
    batches = await read_until(stream, lambda events: len(events) >= count)
    return [event for batch in batches for event in batch.events]


def keys(events: list[ChangeEvent]) -> list[Any]:
    return [event.key.get("_id") for event in events]


async def test_every_change_comes_once_in_order_with_the_position_behind_its_batch(
    watching: AsyncMongoClient[Document],
    database: AsyncDatabase[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No position is ahead of an event that has not come, nor behind one of its own batch."""
    monkeypatch.setattr(stream_module, "MOST", 7)
    stream = await open_stream(watching, rule_on(f"{database.name}.orders"))
    await database.orders.insert_many([{"_id": number} for number in range(50)])

    batches = await read_until(stream, lambda events: len(events) >= 50)
    await stream.close()

    assert keys([event for batch in batches for event in batch.events]) == list(range(50))
    assert max(len(batch.events) for batch in batches) <= 7
    for batch, following in pairwise(batches):
        assert batch.position.token is not None
        behind = batch.position.token["_data"]
        assert all(event.token <= behind for event in batch.events)
        assert all(event.token > behind for event in following.events)
        assert batch.position.cluster_time <= following.position.cluster_time


async def test_a_stream_of_a_busy_server_shows_every_change(
    watching: AsyncMongoClient[Document],
    database: AsyncDatabase[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not wait on the server then, and still misses nothing and goes on to the end of the history."""
    monkeypatch.setattr(pacing, "BUSY", 0)
    stream = await open_stream(watching, rule_on(f"{database.name}.orders"))
    found: list[ChangeEvent] = []
    for number in range(5):
        await database.orders.insert_one({"_id": number})
        await database.carts.insert_one({"_id": number})
        found += await events_of(stream, 1)
    written = await now(watching)

    await read_until(stream, lambda _: stream.position.cluster_time >= written)
    await stream.close()

    assert keys(found) == list(range(5))


async def test_the_position_of_an_idle_stream_moves_on(
    watching: AsyncMongoClient[Document], database: AsyncDatabase[Document]
) -> None:
    """Else a quiet rule's position would fall out of the oplog."""
    stream = await open_stream(watching, rule_on(f"{database.name}.orders"))
    first = stream.position.cluster_time
    await database.carts.insert_one({"_id": 1})
    written = await now(watching)

    async def moved() -> bool:
        assert not (await stream.read()).events
        return stream.position.cluster_time >= written

    await eventually(moved)
    await stream.close()
    assert stream.position.cluster_time > first


@pytest.mark.parametrize("end", ["cursor", "session"])
async def test_a_stream_that_was_killed_goes_on_at_its_position(
    watching: AsyncMongoClient[Document], database: AsyncDatabase[Document], end: str
) -> None:
    """The error is raised; the next read opens it again, and nothing is missed or repeated."""
    stream = await open_stream(watching, rule_on(f"{database.name}.orders"))
    await database.orders.insert_many([{"_id": number} for number in range(3)])
    before = await events_of(stream, 3)
    if end == "cursor":
        killed = await database.command({"killCursors": "$cmd.aggregate", "cursors": [stream._cursor]})
        assert killed["cursorsKilled"]
    else:
        assert stream._session is not None
        await watching.admin.command({"killSessions": [stream._session.session_id]})
    await database.orders.insert_many([{"_id": number} for number in range(3, 6)])

    with pytest.raises(OperationFailure) as raised:
        await read_until(stream, lambda events: False)
    after = await events_of(stream, 3)
    await stream.close()

    assert classify(raised.value) is Fault.PASSING
    assert keys(before) + keys(after) == list(range(6))


@pytest.mark.parametrize("over", ["database", "deployment"])
async def test_a_stream_outlives_its_collections_and_its_database(
    watching: AsyncMongoClient[Document], database: AsyncDatabase[Document], over: str
) -> None:
    """Dropped, renamed, the whole database dropped: the stream goes on with what comes after."""
    rules = [rule_on(f"{database.name}.orders")]
    if over == "deployment":
        rules.append(rule_on("another_database.orders"))
    stream = await open_stream(watching, *rules)
    orders = database.orders
    await orders.insert_one({"_id": 1})
    await orders.drop()
    await orders.insert_one({"_id": 2})
    await orders.rename("old_orders")
    await orders.insert_one({"_id": 3})
    await watching.drop_database(database.name)
    await orders.insert_one({"_id": 4})

    batches = await read_until(stream, lambda events: 4 in keys(events))
    await stream.close()

    data = [event for batch in batches for event in batch.events if event.operation == "insert"]
    assert keys(data) == [1, 2, 3, 4]


async def test_a_position_of_another_plan_is_resumed_by_its_time(
    watching: AsyncMongoClient[Document], database: AsyncDatabase[Document]
) -> None:
    """A token belongs to its pipeline: behind another match the server could not find its event. The time
    may repeat events and misses none."""
    stream = await open_stream(watching, rule_on(f"{database.name}.orders", when="amount > 5"))
    await database.orders.insert_one({"_id": 1, "amount": 9})
    await events_of(stream, 1)
    await stream.close()
    await database.orders.insert_one({"_id": 2, "amount": 99})

    other = plan([rule_on(f"{database.name}.orders", when="amount > 50")], "mtrigger")
    successor = ChangeStream(watching, other, stream.position, "test")

    assert stream.position.start(other) == {"startAtOperationTime": stream.position.cluster_time}
    assert 2 in keys(await events_of(successor, 1))
    await successor.close()


async def test_a_token_whose_event_is_filtered_out_is_a_bad_token_and_its_time_is_not(
    watching: AsyncMongoClient[Document], database: AsyncDatabase[Document]
) -> None:
    """Error 280: as after an upgrade that pushes down more than before under the same name."""
    stream = await open_stream(watching, rule_on(f"{database.name}.orders"))
    await database.orders.insert_one({"_id": 1, "amount": 1})
    (event,) = await events_of(stream, 1)
    await stream.close()
    await database.orders.insert_one({"_id": 2, "amount": 99})
    narrower = plan([rule_on(f"{database.name}.orders", when="amount > 50")], "mtrigger")
    lying = StreamPosition({"_data": event.token}, event.cluster_time, narrower.hash)
    successor = ChangeStream(watching, narrower, lying, "test")

    with pytest.raises(OperationFailure) as raised:
        await events_of(successor, 1)

    assert classify(raised.value) is Fault.BAD_TOKEN
    by_time = ChangeStream(watching, narrower, successor.position.by_time(), "test")
    assert keys(await events_of(by_time, 1)) == [2]
    await by_time.close()


CONDITIONS = (
    "",
    "amount > 10000",
    "amount > 10000 and status == 'paid'",
    "not (amount > 10000)",
    "status in ['paid']",
    "exists(note)",
    "lines.price > 5",
    "amount == null",
    "matches(status, '^p')",
    "amount + 1 > 10",
    "before.amount > 5",
    "changed(amount)",
    "event.operation == 'insert'",
    "len(lines) > 1 or amount < 3",
)


@pytest.mark.parametrize("count", [1, 4, 20])
async def test_every_change_that_a_rule_holds_for_comes_through(
    watching: AsyncMongoClient[Document], database: AsyncDatabase[Document], count: int
) -> None:
    """Random rules, random changes: what the rules' stream brings is what a stream of everything has them
    hold for."""
    chance = random.Random(count)
    names = [f"{database.name}.{name}" for name in ("orders", "carts", "old_orders", "*", "*orders")]
    rules = [
        rule_on(
            *chance.sample(names, chance.randint(1, 2)),
            name=f"rule {number}",
            when=chance.choice(CONDITIONS),
            operations=frozenset(chance.sample(sorted(EVERYTHING), chance.randint(1, 4))),
        )
        for number in range(count)
    ]
    pushed = await open_stream(watching, *rules)
    whole = await open_stream(watching, rule_on(f"{database.name}.*", operations=EVERYTHING))
    await change_at_random(database, chance)
    await database.end.insert_one({"_id": "end"})

    everything = await events_of_until_end(whole)
    end = everything[-1].cluster_time  # all that came before it has an earlier time
    got: dict[str, ChangeEvent] = {}

    async def past_the_end() -> bool:
        batch = await pushed.read()
        got.update((event.token, event) for event in batch.events)
        return batch.position.cluster_time >= end

    await eventually(past_the_end)
    await pushed.close()
    await whole.close()

    matcher = Matcher(rules)
    wanted = [event for event in everything if matcher.matches(event, NOW)]
    assert len(everything) > 100
    assert wanted
    missed = [event for event in wanted if event.token not in got]
    assert not missed
    assert all(got[event.token].document == event.document for event in wanted)


async def change_at_random(database: AsyncDatabase[Document], chance: random.Random) -> None:
    """Some hundred changes of every kind."""
    for _ in range(160):
        collection = database[chance.choice(["orders", "carts", "old_orders"])]
        key = {"_id": chance.randrange(12)}
        document = {
            "amount": chance.choice([1, 2.5, 9, 10_000, 10_001, "20000", None, [3, 20_000]]),
            "status": chance.choice(["paid", "new", None]),
            "lines": [{"price": chance.randrange(10)} for _ in range(chance.randrange(3))],
        }
        if chance.random() < 0.3:
            document["note"] = None
        match chance.randrange(3):
            case 0:
                await collection.replace_one(key, document, upsert=True)
            case 1:
                await collection.update_one(key, {"$set": {"amount": document["amount"]}}, upsert=True)
            case _:
                await collection.delete_one(key)


async def events_of_until_end(stream: ChangeStream) -> list[ChangeEvent]:
    batches = await read_until(stream, lambda events: any(event.collection == "end" for event in events))
    return [event for batch in batches for event in batch.events]
