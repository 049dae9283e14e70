"""Changing the number of partitions on a real state database: killed at every step, overtaken, adopted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import chain, count
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deliveries import Dead, Delivered, Delivery
from mtrigger.errors import PositionError
from mtrigger.ownership.tenure import Tenure
from mtrigger.partitions import partitions
from mtrigger.position.repartitioning import divided
from mtrigger.pushdown import plan
from mtrigger.reading.narrowing import narrowed
from mtrigger.reading.stream import ChangeStream, StreamPosition
from mtrigger.stores.base import Rescan
from mtrigger.stores.layouts import Layout
from mtrigger.stores.mongo import MongoStore
from mtrigger.supervision.steady_time import clock
from support.polling import eventually
from support.recording import rule_on
from support.samples import checkpoint_at, delivery_at, event_at, settlement_of

LEASE = 5.0

Client = AsyncMongoClient[dict[str, Any]]


@pytest.fixture
async def store(client: Client, database: AsyncDatabase[dict[str, Any]]) -> MongoStore:
    """An empty state database."""
    kept = MongoStore(client, database.name)
    await kept.open()
    return kept


def about(number: int, partition: str = "main/0") -> Delivery:
    """A delivery for a change of the document `number`."""
    return delivery_at(number, partition=partition, event=replace(event_at(number), key={"_id": number}))


async def positions(store: MongoStore, count: int) -> list[Timestamp]:
    """The times at which the partitions of a layout stand."""
    found = [await store.checkpoint(partition.name) for partition in partitions(count)]
    return [checkpoint.cluster_time for checkpoint in found if checkpoint is not None]


async def layout_of(store: MongoStore, count: int, lease: float = LEASE) -> Layout | None:
    """Divide the stream, without anybody who stops it."""
    return await divided(store, count, lease, asyncio.Event())


async def test_the_new_partitions_begin_where_the_earliest_of_the_old_ones_stood(store: MongoStore) -> None:
    """And the positions of the old ones are gone; again and back."""
    for number in (5, 3, 4):
        await store.begin(checkpoint_at(number, f"main/{number - 3}-of-3"))
    await store.layouts.begin(3)

    assert await layout_of(store, 2) == Layout(2, 1)
    assert await positions(store, 2) == [checkpoint_at(3).cluster_time] * 2
    assert await positions(store, 3) == []
    assert await layout_of(store, 2) == Layout(2, 1)
    assert await layout_of(store, 3) == Layout(3, 2)
    assert await positions(store, 3) == [checkpoint_at(3).cluster_time] * 3


async def test_a_stream_from_before_there_were_layouts_is_undivided(store: MongoStore) -> None:
    """Its position is the one of the undivided stream."""
    await store.begin(checkpoint_at(3))
    assert await layout_of(store, 4) == Layout(4, 1)
    assert await positions(store, 4) == [checkpoint_at(3).cluster_time] * 4


class KilledError(Exception):
    """The process is gone."""


def mortal_for(store: MongoStore, step: int) -> MongoStore:
    """The same store for a process that is killed at its `step`-th call."""
    steps = count(1)

    def mortal(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def dying(*arguments: Any) -> Any:
            if next(steps) >= step:
                raise KilledError
            return await call(*arguments)

        return dying

    mine = MongoStore(store._client, store._database)
    for part, names in (
        (mine, ("checkpoint", "begin", "put")),
        (mine.layouts, ("current", "begin", "announce", "complete")),
        (mine.leases, ("current", "take", "renew", "release", "retire")),
    ):
        for name in names:
            setattr(part, name, mortal(getattr(part, name)))
    return mine


async def test_a_change_that_is_killed_at_any_step_leaves_one_layout_and_no_gap(store: MongoStore) -> None:
    """Whatever the next start wants: it finds the positions of the layout that is in force, none of them
    behind the earliest that there was."""
    earliest = checkpoint_at(3).cluster_time
    for number in (5, 3):
        await store.begin(checkpoint_at(number, f"main/{(number - 3) // 2}-of-2"))
    await store.layouts.begin(2)
    finished = False
    for step in count(1):
        old = await store.layouts.current()
        assert old is not None
        try:
            await layout_of(mortal_for(store, step), 5 - old.partitions, lease=0.05)
            finished = True
        except KilledError:
            pass
        now = await store.layouts.current()
        assert now is not None
        there = await positions(store, now.partitions)
        assert len(there) == now.partitions, f"after step {step}"
        assert min(there) == earliest, f"after step {step}"
        if finished:
            break


async def test_who_has_lost_a_partition_meanwhile_changes_nothing(store: MongoStore) -> None:
    """Stopped for longer than its lease, just before it would have said so: another one is at work."""
    await store.begin(checkpoint_at(3))
    await store.layouts.begin(1)
    late, arrived, go_on = mortal_for(store, 1_000), asyncio.Event(), asyncio.Event()
    announce = late.layouts.announce

    async def slowly(change: str, partitions: int) -> bool:
        arrived.set()
        await go_on.wait()
        return await announce(change, partitions)

    late.layouts.announce = slowly  # type: ignore[method-assign]  # a process that is stopped right here
    changing = asyncio.create_task(divided(late, 2, LEASE, stop := asyncio.Event()))
    await arrived.wait()
    seen = await store.leases.current("main/0")
    taken = await store.leases.take("main/0", seen, "another", 3600.0)
    assert taken is not None
    go_on.set()
    stop.set()
    assert await changing is None
    assert await store.layouts.current() == Layout(1)
    assert await store.leases.current("main/0") == taken.lease


async def test_of_several_who_change_it_together_all_end_with_one_layout(store: MongoStore) -> None:
    """One does it, the others find it done."""
    for partition in partitions(3):
        await store.begin(checkpoint_at(3, partition.name))
    await store.layouts.begin(3)
    assert await asyncio.gather(*(layout_of(store, 2) for _ in range(4))) == [Layout(2, 1)] * 4


async def test_a_rescan_comes_first(store: MongoStore) -> None:
    """78, and everything stays; a finished one is no obstacle."""
    await store.begin(replace(checkpoint_at(3), rescan=Rescan(("shop.orders",))))
    with pytest.raises(PositionError, match="A rescan is under way"):
        await layout_of(store, 2)
    assert await store.layouts.current() == Layout(1)
    await store.put(replace(checkpoint_at(3), rescan=Rescan(())))
    assert await layout_of(store, 2) == Layout(2, 1)


async def test_what_is_open_or_dead_is_adopted_by_the_partition_of_its_document(store: MongoStore) -> None:
    """Each once, by exactly one; what is settled, or another stream's, stays where it was."""
    rows = [about(number) for number in range(60)]
    await store.add([*rows, about(90, "other/0")])
    await store.settle([settlement_of(rows[0], Delivered()), settlement_of(rows[1], Dead("no"))])

    adopted = [await store.layouts.adopt(partition) for partition in partitions(3)]

    assert sum(adopted) == 59
    assert all(adopted)
    assert await store.lines("main/0") == frozenset()
    assert [await store.layouts.adopt(partition) for partition in partitions(3)] == [0, 0, 0]
    assert len(await store.lines("other/0")) == 1


async def test_what_was_stored_before_a_change_is_dispatched_when_it_is_read_again(store: MongoStore) -> None:
    """Also what arrives late, and where the new owner's epoch is the same number as the old one's."""

    async def owner(name: str) -> MongoStore:
        await store.begin(checkpoint_at(1, name))
        taken = await store.leases.take(name, None, "me", 3600.0)
        assert taken is not None
        assert taken.lease is not None
        return store.owned(Tenure(store.leases, name, taken.lease, clock()))

    before, after = await owner("main/0"), await owner("main/0-of-2")
    late = about(2)
    assert await before.add([late]) == {late.id}
    assert await before.add([late]) == set()
    assert await after.add([replace(late, partition="main/0-of-2")]) == {late.id}


IDS = [1, Int64(2), 3.5, Decimal128("4"), "five", ObjectId(), {"a": 1, "b": [2]}, Binary(b"six"), True]


async def test_every_document_is_in_one_partition_for_the_stream_and_for_a_find(
    client: Client, database: AsyncDatabase[dict[str, Any]]
) -> None:
    """With `_id`s of every kind, inserted, changed and deleted."""
    orders = database["orders"]
    since = (await client.admin.command("hello"))["operationTime"]
    await orders.insert_many([{"_id": _id} for _id in (*IDS, *range(10, 100))])
    shares = [
        [str(found["_id"]) async for found in orders.find(partition.holds("_id"))]
        for partition in partitions(5)
    ]
    assert sorted(chain.from_iterable(shares)) == sorted(str(_id) for _id in (*IDS, *range(10, 100)))
    await orders.update_many({}, {"$set": {"changed": True}})
    await orders.delete_many({})

    rule = rule_on(f"{database.name}.orders", operations=frozenset({"insert", "update", "delete"}))
    for partition, share in zip(partitions(5), shares, strict=True):
        seen = await _seen(client, narrowed(plan([rule], "mtrigger"), partition), since, 3 * len(share))
        assert sorted(seen) == sorted(3 * share)


async def _seen(client: Client, its_plan: Any, since: Timestamp, enough: int) -> list[str]:
    """The `_id`s of the changes that a stream with this plan shows."""
    stream = ChangeStream(client, its_plan, StreamPosition(None, since, ""), "test")
    found: list[str] = []

    async def all_there() -> bool:
        batch = await stream.read()
        found.extend(str(event.key["_id"]) for event in batch.events)
        return len(found) >= enough and not batch.events

    await eventually(all_there)
    await stream.close()
    return found
