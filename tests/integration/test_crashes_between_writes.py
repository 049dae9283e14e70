"""A crash just between the memory of a group and the outcomes that changed it, on a real outbox."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from mtrigger.actions.base import Work
from mtrigger.actions.breakers import Breakers
from mtrigger.deliveries import Delivery, Status
from mtrigger.deployment.connecting import connect
from mtrigger.dispatcher import Dispatcher
from mtrigger.effects import Effect
from mtrigger.embedded import EmbeddedServer
from mtrigger.quiet import Count, Throttle
from mtrigger.rules import Rule
from mtrigger.stores.base import Query
from mtrigger.stores.mongo import MongoStore
from support.polling import eventually
from support.recording import Recorder, rule_on, runners_of
from support.samples import PARTITION, delivery_at, event_at

STATE = "state_of_crashes"
THROTTLED = replace(rule_on("shop.orders"), throttle=Throttle(3600.0))
COUNTED = replace(rule_on("shop.orders"), count=Count(5, 3600.0))


class CrashError(Exception):
    """The process ends here, as far as the outbox can tell."""


@pytest.fixture
async def client(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    async with connect(mongod.uri) as client:
        await MongoStore(client, STATE).open()
        yield client
        await client.drop_database(STATE)


def owed(first: int, last: int) -> list[Delivery]:
    """What is owed for the changes from `first` to `last`, all of one group."""
    now = datetime.now(UTC)
    events = (replace(event_at(number), time=now) for number in range(first, last + 1))
    return [
        delivery_at(number, lane="*", event=event, created_at=now)
        for number, event in enumerate(events, first)
    ]


async def run(store: MongoStore, action: Recorder, rule: Rule, new: list[Delivery]) -> None:
    """Do what is open and what is new, until nothing is left."""
    dispatcher = Dispatcher(store, PARTITION, Breakers())
    await dispatcher.serve(runners_of(action, rule))
    await dispatcher.load()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(dispatcher.run())
        await store.add(new)
        dispatcher.offer(new)

        async def done() -> bool:
            return not await store.lines(PARTITION)

        await eventually(done)
        await dispatcher.drain(30.0)


async def crash(
    client: AsyncMongoClient[dict[str, Any]], action: Recorder, rule: Rule, new: list[Delivery]
) -> None:
    """The same, but the first outcomes are not written any more; what they changed of the memory is."""
    store = MongoStore(client, STATE)

    async def crashing(updates: object) -> None:
        raise CrashError

    store._settle = crashing  # type: ignore[method-assign]  # between the two writes there is no other way in
    with pytest.raises(ExceptionGroup) as raised:
        await run(store, action, rule, new)
    assert "CrashError" in repr(raised.value.exceptions)


async def became(client: AsyncMongoClient[dict[str, Any]]) -> dict[Status, list[int]]:
    """The numbers of the documents by what became of their deliveries."""
    found: dict[Status, list[int]] = {}
    for record in await MongoStore(client, STATE).find(Query(), 100):
        document = record.delivery.event.document or {}
        found.setdefault(record.status, []).append(document["_id"])
    return {status: sorted(numbers) for status, numbers in found.items()}


async def test_a_send_whose_outcome_was_lost_is_repeated_and_begins_no_second_window(
    client: AsyncMongoClient[dict[str, Any]],
) -> None:
    """With the same id; nothing behind it was decided before it was durable, so nothing is counted twice."""
    action = Recorder()
    await crash(client, action, THROTTLED, owed(1, 4))
    assert [work.scope["document"]["_id"] for work in action.attempts] == [1]

    await run(MongoStore(client, STATE), action, THROTTLED, owed(5, 6))

    assert [work.scope["document"]["_id"] for work in action.attempts] == [1, 1]
    assert action.ids[0] == action.ids[1]
    assert await became(client) == {Status.DELIVERED: [1], Status.SUPPRESSED: [2, 3, 4, 5, 6]}
    (memory,) = await client[STATE]["rule_state"].find({}).to_list()
    assert memory["held_back"] == 5


async def test_what_was_held_back_when_its_outcome_was_lost_is_counted_once(
    client: AsyncMongoClient[dict[str, Any]],
) -> None:
    """The memory has them; asked about again, they are left out again."""
    action = Recorder()
    await run(MongoStore(client, STATE), action, THROTTLED, owed(1, 1))
    await crash(client, action, THROTTLED, owed(2, 4))
    (memory,) = await client[STATE]["rule_state"].find({}).to_list()
    assert 1 <= memory["held_back"] <= 3

    await run(MongoStore(client, STATE), action, THROTTLED, owed(5, 5))

    assert len(action.attempts) == 1
    assert await became(client) == {Status.DELIVERED: [1], Status.SUPPRESSED: [2, 3, 4, 5]}
    (memory,) = await client[STATE]["rule_state"].find({}).to_list()
    assert memory["held_back"] == 4


async def test_what_was_let_through_is_written_before_the_next_is_asked_about(
    client: AsyncMongoClient[dict[str, Any]],
) -> None:
    """A memory knows one delivery that was let through: the group waits for its outcome, others do not."""
    rule = replace(THROTTLED, throttle=Throttle(1e-6, ("group",)))  # every one is let through
    store, action, written = MongoStore(client, STATE), Recorder(), asyncio.Event()
    settle = store._settle

    async def in_its_time(updates: Any) -> None:
        await written.wait()
        await settle(updates)

    store._settle = in_its_time  # type: ignore[method-assign]  # see above
    (fourth,) = owed(4, 4)
    other = replace(fourth, event=replace(fourth.event, document={"_id": 4, "group": "other"}))
    running = asyncio.create_task(run(store, action, rule, [*owed(1, 3), other]))

    await eventually(lambda: len(action.attempts) >= 2)
    for _ in range(1_000):  # whoever could go on would, by now
        await asyncio.sleep(0)
    assert sorted(work.scope["document"]["_id"] for work in action.attempts) == [1, 4]
    written.set()
    await running

    assert await became(client) == {Status.DELIVERED: [1, 2, 3, 4]}


@pytest.mark.parametrize("lost", [1, 3, 4, 5, 7, 12])
async def test_a_count_is_the_same_wherever_outcomes_are_lost(
    client: AsyncMongoClient[dict[str, Any]], lost: int
) -> None:
    """Every fifth fires, and no other."""
    action = Recorder()
    await crash(client, action, COUNTED, owed(1, lost))

    await run(MongoStore(client, STATE), action, COUNTED, owed(lost + 1, 12))

    assert await became(client) == {
        Status.DELIVERED: [5, 10],
        Status.SUPPRESSED: [1, 2, 3, 4, 6, 7, 8, 9, 11, 12],
    }


@dataclass
class Discarded(Recorder):
    """An action that writes; an operator gives its first delivery up while it runs."""

    store: MongoStore | None = None

    async def run(self, work: Work) -> Effect:  # type: ignore[override]  # it writes, the others do not
        if not self.attempts and self.store is not None:
            await self.store.discard(Query(ids=(work.delivery_id,)))
        self.attempts.append(work)
        return Effect(STATE, "written", "insert", value={"_id": work.scope["document"]["_id"]})


async def test_a_write_that_was_given_up_meanwhile_throttles_nothing(
    client: AsyncMongoClient[dict[str, Any]],
) -> None:
    """Nothing was written, so no window has begun: not in the memory at hand either."""
    store = MongoStore(client, STATE)

    await run(store, Discarded(store=store), THROTTLED, owed(1, 3))

    assert await became(client) == {
        Status.DISCARDED: [1],
        Status.DELIVERED: [2],
        Status.SUPPRESSED: [3],
    }
    assert [row["_id"] async for row in client[STATE]["written"].find({})] == [2]
