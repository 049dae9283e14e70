"""Digests of a dispatcher on a real outbox: windows, attempts, and rules that change while something runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo import AsyncMongoClient

from mtrigger import dispatcher as dispatcher_module
from mtrigger.actions.base import Work
from mtrigger.actions.breakers import Breakers
from mtrigger.deliveries import Delivered, Delivery, Settlement, Status
from mtrigger.deployment.connecting import connect
from mtrigger.dispatcher import Dispatcher
from mtrigger.embedded import EmbeddedServer
from mtrigger.gates import Silence
from mtrigger.planning import lane
from mtrigger.quiet import Digest
from mtrigger.retry import RetryPolicy
from mtrigger.rules import Rule
from mtrigger.running import digests as digests_module
from mtrigger.stores.base import Query
from mtrigger.stores.mongo import MongoStore
from support.polling import eventually
from support.recording import Recorder, rule_on, runners_of
from support.samples import PARTITION, delivery_at, event_at, settlement_of

STATE = "state_of_digests_running"
HOUR = timedelta(hours=1)
QUICK = RetryPolicy(attempts=1_000, first_delay=0.001, max_delay=0.01, max_age=600.0)
PLAIN = rule_on("shop.orders", retry=QUICK)
HOURLY = Digest(3600.0, "", ZoneInfo("UTC"), per=("region",), max=3, sums=("amount",))
RULE = replace(PLAIN, digest=HOURLY)


class LateStore(MongoStore):
    """Writes what attempts came to a while later than it is told to."""

    async def settle(self, settlements: Sequence[Settlement]) -> AbstractSet[str]:
        await asyncio.sleep(0.3)
        return await super().settle(settlements)


@pytest.fixture
async def store(mongod: EmbeddedServer) -> AsyncIterator[MongoStore]:
    client: AsyncMongoClient[dict[str, Any]]
    async with connect(mongod.uri) as client:
        store = LateStore(client, STATE)
        await store.open()
        yield store
        await client.drop_database(STATE)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators' wishes are looked for more often than once a second."""
    monkeypatch.setattr(dispatcher_module, "WISHES_EVERY", 0.02)


@asynccontextmanager
async def running(store: MongoStore, action: Recorder, rule: Rule = RULE) -> AsyncIterator[Dispatcher]:
    """A dispatcher as the engine runs it, drained in the end."""
    dispatcher = Dispatcher(store, PARTITION, Breakers())
    await dispatcher.serve(runners_of(action, rule))
    await dispatcher.load()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(dispatcher.run())
        yield dispatcher
        await dispatcher.drain(30)


def owed(*numbers: int, rule: Rule = RULE, age: timedelta = HOUR, region: str = "EMEA") -> list[Delivery]:
    """Deliveries of this age: the window of an hour has just closed."""
    created_at = datetime.now(UTC) - age
    events = [event_at(n, document={"_id": n, "region": region, "amount": n}) for n in numbers]
    return [
        delivery_at(n, lane=lane(event, rule), event=event, created_at=created_at)
        for n, event in zip(numbers, events, strict=True)
    ]


async def come(store: MongoStore, dispatcher: Dispatcher, deliveries: list[Delivery]) -> None:
    """What the planner does."""
    new = await store.add(deliveries)
    await dispatcher.take([delivery for delivery in deliveries if delivery.id in new], 1.0)


async def count(store: MongoStore, status: Status) -> int:
    return await store.count(Query(statuses=(status,)))


def all_are(store: MongoStore, status: Status, number: int) -> Callable[[], Any]:
    async def settled() -> bool:
        return await count(store, status) == number

    return settled


def listed(action: Recorder) -> list[list[object]]:
    """The documents that each digest told of."""
    return [[document["_id"] for document in work.scope["documents"]] for work in action.delivered]


async def test_a_digest_tells_of_all_that_it_holds(store: MongoStore) -> None:
    """`document` is the first one, `documents` the first few in order, the numbers are of all."""
    action = Recorder()
    await store.add(owed(4, 2, 5, 1, 3))
    async with running(store, action):
        await eventually(all_are(store, Status.DELIVERED, 5))
    (work,) = action.delivered
    facts = {name: work.scope[name] for name in ("count", "more", "sums", "group")}
    assert facts == {"count": 5, "more": 2, "sums": {"amount": 15}, "group": {"region": "EMEA"}}
    assert listed(action) == [[1, 2, 3]]
    assert work.scope["document"]["_id"] == 1


async def test_a_failure_after_a_long_window_is_tried_again(store: MongoStore) -> None:
    """`max_age` counts from the moment the digest was first due, not from its first change."""

    async def fails_once(work: Work) -> None:
        if work.attempt == 1:
            raise ConnectionError("try again")

    action = Recorder(fails_once)
    await store.add(owed(1, 2))
    async with running(store, action):
        await eventually(all_are(store, Status.DELIVERED, 2))
    assert [work.attempt for work in action.attempts] == [1, 2]
    assert len({work.delivery_id for work in action.attempts}) == 1


async def test_what_comes_while_a_digest_is_sent_is_in_the_next_one(store: MongoStore) -> None:
    """Not in the one that is under way, and not forgotten."""
    release = asyncio.Event()

    async def waits(work: Work) -> None:
        await release.wait()

    action = Recorder(waits)
    await store.add(owed(1, 2))
    async with running(store, action) as dispatcher:
        await eventually(lambda: action.attempts)
        await come(store, dispatcher, owed(3))
        release.set()
        await eventually(all_are(store, Status.DELIVERED, 3))
    assert listed(action) == [[1, 2], [3]]


async def test_a_change_that_cannot_be_read_dies_by_itself(store: MongoStore) -> None:
    """It is not gathered; the others are sent."""
    action = Recorder()
    (whole,) = owed(1, age=timedelta(0))
    flawed = [replace(row, event=replace(row.event, flaw="broken")) for row in owed(2, age=timedelta(0))]
    async with running(store, action) as dispatcher:
        await come(store, dispatcher, [whole, *flawed])
        await eventually(all_are(store, Status.DEAD, 1))
        assert await count(store, Status.PENDING) == 1
    (record,) = await store.find(Query(statuses=(Status.DEAD,)), 10)
    assert record.delivery.id == flawed[0].id
    assert "cannot be read" in record.error


async def test_a_row_that_was_damaged_in_the_outbox_costs_itself_alone(
    store: MongoStore, mongod: EmbeddedServer
) -> None:
    """Also when it is the head: the digest is sent without its document."""
    action = Recorder()
    rows = owed(1, 2)
    await store.add(rows)
    client: AsyncMongoClient[dict[str, Any]]
    async with connect(mongod.uri) as client:
        await client[STATE]["deliveries"].update_one({"_id": rows[0].id}, {"$unset": {"event": ""}})
    async with running(store, action):
        await eventually(all_are(store, Status.DELIVERED, 2))
    assert listed(action) == [[2]]
    assert (action.delivered[0].scope["count"], action.delivered[0].scope["more"]) == (2, 1)


async def test_what_is_left_out_as_it_comes_is_in_no_digest_that_closes_at_once(store: MongoStore) -> None:
    """It is written before anything is sealed."""
    now = datetime.now(UTC)
    await store.wishes.silence(Silence("s", RULE.name, now, now + HOUR, where="amount >= 100"))
    action = Recorder()
    async with running(store, action) as dispatcher:
        await come(store, dispatcher, owed(1, *range(100, 160)))
        await eventually(all_are(store, Status.SUPPRESSED, 60))
        await eventually(all_are(store, Status.DELIVERED, 1))
    assert listed(action) == [[1]]


@pytest.mark.parametrize(("before", "after"), [(RULE, PLAIN), (PLAIN, RULE)], ids=["taken out", "put in"])
async def test_a_digest_that_is_changed_while_something_is_sent_sends_nothing_twice(
    store: MongoStore, before: Rule, after: Rule
) -> None:
    """What runs ends as it began; the rest goes by the new rule."""
    release = asyncio.Event()

    async def waits(work: Work) -> None:
        await release.wait()

    action = Recorder(waits)
    await store.add(owed(1, 2, rule=before))
    async with running(store, action, before) as dispatcher:
        await eventually(lambda: action.attempts)
        under_way = len(action.attempts)
        await dispatcher.serve(runners_of(action, after))
        await come(store, dispatcher, owed(3, rule=before))
        await come(store, dispatcher, owed(4, rule=after))
        await asyncio.sleep(0.1)
        assert len(action.attempts) == under_way
        release.set()
        await eventually(all_are(store, Status.DELIVERED, 4))
    assert sorted(number for numbers in listed(action) for number in numbers) == [1, 2, 3, 4]  # type: ignore[type-var]  # they are numbers


async def test_what_a_crash_left_of_a_settlement_is_not_sent_again(
    store: MongoStore, mongod: EmbeddedServer
) -> None:
    """The head was settled, one of the others was not: it is before anything is sent."""
    action = Recorder()
    rows = owed(1, 2, 3)
    await store.add(rows)
    await store.digests.seal(rows[0])
    await store.settle([settlement_of(rows[0], Delivered("250"), sealed=True)])
    client: AsyncMongoClient[dict[str, Any]]
    async with connect(mongod.uri) as client:
        left = {"open": True, "status": "pending", "attempts": 0, "log": []}
        await client[STATE]["deliveries"].update_one({"_id": rows[2].id}, {"$set": left})
    await store.add(owed(4))
    async with running(store, action):
        await eventually(all_are(store, Status.DELIVERED, 4))
    assert listed(action) == [[4]]


async def test_another_group_for_the_same_rows_moves_them(store: MongoStore) -> None:
    """`per:` was changed while they waited: they are gathered by what it says now."""
    action = Recorder()
    together = replace(RULE, digest=replace(HOURLY, per=()))
    await store.add([*owed(1, region="EMEA"), *owed(2, region="APAC")])
    async with running(store, action, together):
        await eventually(all_are(store, Status.DELIVERED, 2))
    assert listed(action) == [[1, 2]]


async def test_more_groups_than_have_room_are_all_sent(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads are loaded in their turn, and large digests wait for each other."""
    monkeypatch.setattr(dispatcher_module, "CAPACITY", 5)
    monkeypatch.setattr(digests_module, "MOST_HELD", 1_000)
    action = Recorder()
    await store.add([row for n in range(1, 61) for row in owed(n, region=f"R{n % 30}")])
    async with running(store, action) as dispatcher:
        for n in range(61, 91):
            await come(store, dispatcher, owed(n, region=f"R{n % 30}"))
        await eventually(all_are(store, Status.DELIVERED, 90))
    assert sorted(number for numbers in listed(action) for number in numbers) == list(range(1, 91))  # type: ignore[type-var]  # they are numbers


async def test_a_digest_that_is_discarded_is_not_sent(store: MongoStore) -> None:
    """All of it, before its window closes; what comes later has a window of its own."""
    action = Recorder()
    async with running(store, action) as dispatcher:
        await come(store, dispatcher, owed(1, 2, age=HOUR - timedelta(seconds=1)))
        await store.discard(Query())
        await come(store, dispatcher, owed(3))
        await eventually(all_are(store, Status.DELIVERED, 1))
    assert listed(action) == [[3]]


async def test_when_its_head_is_discarded_the_others_find_another_one(store: MongoStore) -> None:
    """In the middle of an attempt that fails: what it held is owed still, but for the head."""

    async def is_discarded_and_fails(work: Work) -> None:
        if len(action.attempts) == 1:
            await store.discard(Query(ids=(work.delivery_id,)))
            raise ConnectionError("try again")

    action = Recorder(is_discarded_and_fails)
    await store.add(owed(1, 2, 3))
    async with running(store, action):
        await eventually(all_are(store, Status.DELIVERED, 2))
    assert listed(action) == [[2, 3]]
    assert len({work.delivery_id for work in action.attempts}) == 2
