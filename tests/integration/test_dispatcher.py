"""The dispatcher on a real outbox: order, bounds, outcomes, operators, and ends of every kind."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from mtrigger import dispatcher as dispatcher_module
from mtrigger.actions.base import Work
from mtrigger.actions.breakers import Breakers
from mtrigger.deliveries import Dead, Delivery, Retrying, Status
from mtrigger.deployment.connecting import connect
from mtrigger.dispatcher import Dispatcher
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import PermanentError, RetryLater
from mtrigger.retry import RetryPolicy
from mtrigger.running.attempting import describe, storable
from mtrigger.stores.base import Query
from mtrigger.stores.mongo import MongoStore
from mtrigger.supervision.supervising import PartError
from support.polling import eventually
from support.recording import Recorder, rule_on, runners_of
from support.samples import PARTITION, delivery_at, settlement_of

STATE = "state_of_dispatcher"
QUICK = RetryPolicy(attempts=1_000, first_delay=0.001, max_delay=0.01)
RULE = rule_on("shop.orders", retry=QUICK)


@pytest.fixture
async def store(mongod: EmbeddedServer) -> AsyncIterator[MongoStore]:
    client: AsyncMongoClient[dict[str, Any]]
    async with connect(mongod.uri) as client:
        store = MongoStore(client, STATE)
        await store.open()
        yield store
        await client.drop_database(STATE)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators' wishes are looked for more often than once a second."""
    monkeypatch.setattr(dispatcher_module, "WISHES_EVERY", 0.02)


@asynccontextmanager
async def running(store: MongoStore, action: Recorder, drain: float = 30.0) -> AsyncIterator[Dispatcher]:
    """A dispatcher as the engine runs it, drained in the end."""
    dispatcher = Dispatcher(store, PARTITION, Breakers())
    await dispatcher.serve(runners_of(action, RULE))
    await dispatcher.load()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(dispatcher.run())
        yield dispatcher
        await dispatcher.drain(drain)


def owed(count: int, documents: int) -> list[Delivery]:
    """Deliveries of this moment, in turn for so many documents."""
    now = datetime.now(UTC)
    return [delivery_at(n, lane=f"document {n % documents}", created_at=now) for n in range(1, count + 1)]


async def add_and_offer(store: MongoStore, dispatcher: Dispatcher, deliveries: list[Delivery]) -> None:
    """What the planner does."""
    new = await store.add(deliveries)
    dispatcher.offer(delivery for delivery in deliveries if delivery.id in new)


async def all_settled(store: MongoStore, status: Status, count: int) -> None:
    async def settled() -> bool:
        return await store.count(Query(statuses=(status,))) == count

    await eventually(settled, patience=90)


def held_until(release: asyncio.Event) -> Callable[[Work], Awaitable[None]]:
    async def deed(work: Work) -> None:
        await release.wait()

    return deed


def per_lane(action: Recorder, deliveries: list[Delivery]) -> dict[str, list[str]]:
    """What was done for each document, in order."""
    lanes = {delivery.id: delivery.lane for delivery in deliveries}
    done: dict[str, list[str]] = {}
    for key in action.ids:
        done.setdefault(lanes[key], []).append(key)
    return done


async def test_the_changes_of_a_document_are_acted_upon_in_order_although_attempts_fail(
    store: MongoStore,
) -> None:
    """A retry holds up its own document, and nothing is done twice."""
    chance = random.Random(20260131)

    async def fails_at_random(work: Work) -> None:
        await asyncio.sleep(0)
        if chance.random() < 0.4:
            raise ConnectionError("try again")

    action = Recorder(fails_at_random)
    deliveries = owed(200, documents=7)
    async with running(store, action) as dispatcher:
        for start in range(0, 200, 20):
            await add_and_offer(store, dispatcher, deliveries[start : start + 20])
        await all_settled(store, Status.DELIVERED, 200)

    expected: dict[str, list[str]] = {}
    for delivery in deliveries:
        expected.setdefault(delivery.lane, []).append(delivery.id)
    assert per_lane(action, deliveries) == expected
    assert len(action.attempts) > 250
    records = await store.find(Query(), 500)
    for record in records:
        assert [attempt.outcome for attempt in record.log[:-1]] == ["retrying"] * (len(record.log) - 1)


async def test_what_has_no_room_in_memory_is_loaded_in_its_turn(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3,000 deliveries on 10 documents through a line that holds 50: each once, in order."""
    monkeypatch.setattr(dispatcher_module, "CAPACITY", 50)
    chance = random.Random(7)
    most = 0

    async def fails_now_and_then(work: Work) -> None:
        nonlocal most
        (line,) = dispatcher._lines.values()
        most = max(most, len(line))
        await asyncio.sleep(0)
        if chance.random() < 0.02:
            raise ConnectionError("try again")

    action = Recorder(fails_now_and_then)
    deliveries = owed(3_000, documents=10)
    async with running(store, action) as dispatcher:
        for start in range(0, 3_000, 100):
            await add_and_offer(store, dispatcher, deliveries[start : start + 100])
        await all_settled(store, Status.DELIVERED, 3_000)

    assert max(Counter(action.ids).values()) == 1
    expected: dict[str, list[str]] = {}
    for delivery in deliveries:
        expected.setdefault(delivery.lane, []).append(delivery.id)
    assert per_lane(action, deliveries) == expected
    assert most <= 60  # a few may come late, when a page overtakes their offer


async def test_lines_that_keep_up_are_given_time_to_make_room(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nothing overflows that would have to be read back."""
    monkeypatch.setattr(dispatcher_module, "CAPACITY", 50)
    action = Recorder()
    deliveries = owed(500, documents=10)
    async with running(store, action) as dispatcher:
        await eventually(lambda: dispatcher._running)
        (line,) = dispatcher._lines.values()
        for start in range(0, 500, 25):
            portion = deliveries[start : start + 25]
            await store.add(portion)
            await dispatcher.take(portion, patience=60)
            assert not line.incomplete
        await all_settled(store, Status.DELIVERED, 500)

    assert max(Counter(action.ids).values()) == 1


async def test_lines_whose_target_is_down_are_not_waited_for(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fill their own places and hold up nobody: `take` returns although it might wait for hours."""
    monkeypatch.setattr(dispatcher_module, "CAPACITY", 50)

    async def is_down(work: Work) -> None:
        raise RetryLater(3_600, "451 down")

    action = Recorder(is_down)
    deliveries = owed(60, documents=60)
    await store.add(deliveries)
    async with running(store, action) as dispatcher:
        await eventually(lambda: len(action.attempts) == 50)
        (line,) = dispatcher._lines.values()

        await dispatcher.take(deliveries[50:], patience=36_000)

        assert line.incomplete


async def test_what_was_owed_at_the_start_is_run_before_what_is_new(store: MongoStore) -> None:
    """Also what waits for a retry keeps its document's newer change waiting."""
    old, older, new = (delivery_at(number, created_at=datetime.now(UTC)) for number in (2, 1, 3))
    await store.add([old, older])
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    await store.settle([settlement_of(older, Retrying("busy", soon))])
    action = Recorder()

    async with running(store, action) as dispatcher:
        await add_and_offer(store, dispatcher, [new])
        await all_settled(store, Status.DELIVERED, 3)

    assert action.ids == [older.id, old.id, new.id]
    assert [work.attempt for work in action.attempts] == [2, 1, 1]


async def test_an_offer_that_comes_after_the_work_was_done_is_not_done_again(store: MongoStore) -> None:
    """A page of the outbox can show a row before the insert that made it is acknowledged."""
    action = Recorder()
    (delivery,) = owed(1, documents=1)
    await store.add([delivery])
    async with running(store, action) as dispatcher:
        await eventually(lambda: action.delivered)

        dispatcher.offer([delivery])
        await all_settled(store, Status.DELIVERED, 1)

    assert action.ids == [delivery.id]


async def test_draining_waits_for_what_runs_and_starts_nothing_new(store: MongoStore) -> None:
    """What was begun is finished and written; the rest stays owed."""
    release = asyncio.Event()
    action = Recorder(held_until(release))
    first, second = owed(2, documents=1)
    async with running(store, action) as dispatcher:
        await add_and_offer(store, dispatcher, [first, second])
        await eventually(lambda: action.attempts)
        draining = asyncio.create_task(dispatcher.drain(30))
        await asyncio.sleep(0)
        release.set()
        await draining

    assert action.ids == [first.id]
    assert [row.id for row in await store.owed(PARTITION, next(iter(runners_of(action, RULE))), "", 9)] == [
        second.id
    ]
    (record,) = await store.find(Query(ids=(first.id,)), 1)
    assert record.status is Status.DELIVERED


async def test_what_does_not_end_in_time_is_cancelled_and_stays_owed(store: MongoStore) -> None:
    """It is made again at the next start, with no failure on its account."""
    action = Recorder(held_until(asyncio.Event()))
    (delivery,) = owed(1, documents=1)
    async with running(store, action, drain=0.05) as dispatcher:
        await add_and_offer(store, dispatcher, [delivery])
        await eventually(lambda: action.attempts)

    (record,) = await store.find(Query(), 10)
    assert (record.status, record.delivery.attempts, record.log) == (Status.PENDING, 0, ())
    again = Recorder()
    async with running(store, again):
        await all_settled(store, Status.DELIVERED, 1)
    assert again.ids == [delivery.id]


async def test_a_dead_delivery_is_tried_again_when_an_operator_wants_it(store: MongoStore) -> None:
    """While mtrigger runs; its attempts count from nothing."""

    async def refused_at_first(work: Work) -> None:
        if len(action.attempts) == 1:
            raise PermanentError("550 no such user")

    action = Recorder(refused_at_first)
    (delivery,) = owed(1, documents=1)
    async with running(store, action) as dispatcher:
        await add_and_offer(store, dispatcher, [delivery])
        await all_settled(store, Status.DEAD, 1)

        assert await store.reopen(Query()) == 1
        await all_settled(store, Status.DELIVERED, 1)

    assert [work.attempt for work in action.attempts] == [1, 1]


async def test_a_waiting_delivery_is_tried_at_once_when_an_operator_wants_it(store: MongoStore) -> None:
    """And the one behind it follows."""

    async def busy_at_first(work: Work) -> None:
        if len(action.attempts) == 1:
            raise RetryLater(3_600, "451 busy")

    action = Recorder(busy_at_first)
    first, second = owed(2, documents=1)
    async with running(store, action) as dispatcher:
        await add_and_offer(store, dispatcher, [first, second])
        await all_settled(store, Status.RETRYING, 1)

        assert await store.reopen(Query(statuses=(Status.RETRYING,))) == 1
        await all_settled(store, Status.DELIVERED, 2)

    assert action.ids == [first.id, second.id]


async def test_a_discarded_delivery_is_not_tried_again(store: MongoStore) -> None:
    """Its turn comes, and it is left out."""

    async def fails(work: Work) -> None:
        if work.delivery_id == first.id:
            raise RetryLater(0.2)

    action = Recorder(fails)
    first, second = owed(2, documents=1)
    async with running(store, action) as dispatcher:
        await add_and_offer(store, dispatcher, [first, second])
        await all_settled(store, Status.RETRYING, 1)
        tried = len(action.attempts)

        assert await store.discard(Query(ids=(first.id,))) == 1
        await all_settled(store, Status.DELIVERED, 1)

    assert len(action.attempts) - tried <= 2  # one attempt may have been under way
    assert action.ids == [second.id]


async def test_a_delivery_that_waited_behind_another_can_be_discarded(store: MongoStore) -> None:
    """It was never attempted, but nobody wants it any more."""
    release = asyncio.Event()
    action = Recorder(held_until(release))
    first, second = owed(2, documents=1)
    second = replace(second, created_at=second.created_at - timedelta(minutes=1))  # it has waited for long
    async with running(store, action) as dispatcher:
        await add_and_offer(store, dispatcher, [first, second])
        await eventually(lambda: action.attempts)
        await store.discard(Query(ids=(second.id,)))
        release.set()
        await all_settled(store, Status.DELIVERED, 1)

    assert action.ids == [first.id]


async def test_a_rule_that_comes_back_finds_what_it_owes(store: MongoStore) -> None:
    """Rules are reloaded while mtrigger runs: nothing is forgotten, nothing is done twice."""
    action = Recorder()
    deliveries = owed(20, documents=3)
    async with running(store, action) as dispatcher:
        await add_and_offer(store, dispatcher, deliveries[:10])
        await eventually(lambda: len(action.delivered) == 10)
        await dispatcher.serve({})
        await add_and_offer(store, dispatcher, deliveries[10:])
        await dispatcher.serve(runners_of(action, RULE))
        await all_settled(store, Status.DELIVERED, 20)

    assert Counter(action.ids) == Counter(delivery.id for delivery in deliveries)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even this fails")


async def cancelled(work: Work) -> None:
    inner = asyncio.create_task(asyncio.sleep(60))
    inner.cancel()
    await inner


def raising(error: Exception) -> Callable[[Work], Awaitable[None]]:
    async def deed(work: Work) -> None:
        raise error

    return deed


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        (raising(ValueError("a\n  b")), "ValueError: a b"),
        (raising(PermanentError("550 no")), "550 no"),
        (raising(RetryLater(float("inf"))), "asked to be tried again in inf s"),
        (raising(UnspeakableError()), "UnspeakableError"),
        (raising(ValueError("half a pair: \ud83d")), "ValueError: half a pair: ?"),
        (raising(ValueError("x" * 20_000_000)), "ValueError: xxx"),
        (raising(ExceptionGroup("several", [OSError()])), "ExceptionGroup: several"),
        (cancelled, "CancelledError"),
    ],
)
async def test_whatever_an_action_does_only_its_own_delivery_suffers(
    store: MongoStore, deed: Callable[[Work], Awaitable[None]], error: str
) -> None:
    """The error is kept, in one line of bounded length; the next document's delivery is run."""
    once = replace(RULE, retry=RetryPolicy(attempts=1))
    action = Recorder()

    async def only_the_first(work: Work) -> None:
        if work.delivery_id == first.id:
            await deed(work)

    action.deed = only_the_first
    first, second = owed(2, documents=2)
    async with running(store, action) as dispatcher:
        await dispatcher.serve(runners_of(action, once))
        await add_and_offer(store, dispatcher, [first, second])
        await all_settled(store, Status.DELIVERED, 1)
        await all_settled(store, Status.DEAD, 1)

    (record,) = await store.find(Query(statuses=(Status.DEAD,)), 10)
    assert record.error.startswith(error)
    assert len(record.error) < 3_000


async def test_an_exception_in_a_loop_ends_the_dispatcher_with_it(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes on half alive; and what is offered afterwards is left in the outbox without a word."""

    class DiskError(Exception):
        pass

    async def broken(settlements: object) -> None:
        raise DiskError

    monkeypatch.setattr(store, "settle", broken)
    dispatcher = Dispatcher(store, PARTITION, Breakers())
    await dispatcher.serve(runners_of(Recorder(), RULE))
    running = asyncio.create_task(dispatcher.run())
    await asyncio.sleep(0)
    await add_and_offer(store, dispatcher, owed(5, documents=5))

    with pytest.raises(ExceptionGroup) as raised:
        await running

    assert raised.group_contains(PartError, match="writer of outcomes died: DiskError")
    await add_and_offer(store, dispatcher, owed(9, documents=5))


def test_an_account_is_one_storable_line() -> None:
    """Of whatever an action returns."""
    assert storable("  a\n\tb ") == "a b"
    assert storable("x" * 10_000) == "x" * 2_000 + "…"
    assert storable("\udc80") == "?"
    assert describe(OSError()) == "OSError"
    assert isinstance(Dead(describe(KeyError("a"))).error, str)
