"""Outcomes are written in batches, none is forgotten, and those that cannot be written can be named."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mtrigger.deliveries import Dead, Delivered, Delivery, Settlement, Status
from mtrigger.running import settling
from mtrigger.running.settling import Settler
from mtrigger.stores.base import LineKey, Query
from mtrigger.stores.memory import MemoryStore
from support.samples import delivery_at, settlement_of


class Gated(MemoryStore):
    """A store that writes outcomes only while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[int] = []

    async def settle(self, settlements: Sequence[Settlement]) -> AbstractSet[str]:
        await self.gate.wait()
        self.batches.append(len(settlements))
        return await super().settle(settlements)


@asynccontextmanager
async def writing(settler: Settler) -> AsyncIterator[None]:
    """The settler runs, and has ended afterwards."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(settler.run())
        yield
        settler.close()


async def added(store: MemoryStore, number: int) -> list[Delivery]:
    """Deliveries in the store."""
    deliveries = [delivery_at(position) for position in range(1, number + 1)]
    await store.add(deliveries)
    return deliveries


def nobody(_: object) -> None:
    """Nothing is offered."""


async def test_what_collects_while_a_batch_is_written_is_the_next_batch() -> None:
    """And all of it is written before `run` returns."""
    store = Gated()
    deliveries = await added(store, 10)
    settler = Settler(store, nobody)
    store.gate.clear()
    async with writing(settler):
        for delivery in deliveries:
            await settler.put(settlement_of(delivery, Delivered()))
            await asyncio.sleep(0)
        assert len(settler.unwritten) == 10
        store.gate.set()
    assert await store.count(Query(statuses=(Status.DELIVERED,))) == 10
    assert len(store.batches) == 2
    assert settler.unwritten == []


async def test_outcomes_that_come_one_by_one_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is written at once; those that follow wait for each other, but not while somebody waits."""
    monkeypatch.setattr(settling, "GATHERED_FOR", 3_600)
    store = Gated()
    deliveries = await added(store, 6 + settling.ENOUGH)
    settler = Settler(store, nobody)
    async with writing(settler):
        for delivery in deliveries[:6]:
            await settler.put(settlement_of(delivery, Delivered()))
            await turns()
        assert store.batches == [1]
        await settler.flush()
        assert store.batches == [1, 5]
        for delivery in deliveries[6:]:
            await settler.put(settlement_of(delivery, Delivered()))
        await turns()
        assert store.batches == [1, 5, settling.ENOUGH]


async def turns() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_flush_returns_once_everything_before_it_is_written() -> None:
    """Also when nothing is unwritten."""
    store = Gated()
    (delivery,) = await added(store, 1)
    settler = Settler(store, nobody)
    async with writing(settler):
        await settler.flush()
        store.gate.clear()
        await settler.put(settlement_of(delivery, Delivered()))
        flushing = asyncio.create_task(settler.flush())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not flushing.done()
        store.gate.set()
        await flushing
        assert not await store.still_open([delivery.id])


async def test_too_many_unwritten_ones_stop_further_attempts_and_a_cancelled_wait_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The action has run: its outcome counts although whoever brought it did not wait for the end."""
    monkeypatch.setattr(settling, "MOST_UNWRITTEN", 2)
    store = Gated()
    deliveries = await added(store, 3)
    settler = Settler(store, nobody)
    store.gate.clear()
    async with writing(settler):
        for delivery in deliveries[:2]:
            await settler.put(settlement_of(delivery, Delivered()))
        waiting = asyncio.create_task(settler.put(settlement_of(deliveries[2], Delivered())))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})
        assert [item.delivery.id for item in settler.unwritten] == [item.id for item in deliveries]
        store.gate.set()
    assert await store.count(Query(statuses=(Status.DELIVERED,))) == 3


async def test_what_an_outcome_owes_is_offered_once_it_is_durable() -> None:
    """And only what is new: a letter that was there before the crash is loaded from the outbox."""
    store = Gated()
    first, second = await added(store, 2)
    letters = [delivery_at(number, line=LineKey("tell", "log")) for number in (11, 12)]
    await store.add(letters[:1])
    offered: list[Delivery] = []
    settler = Settler(store, offered.extend)
    async with writing(settler):
        for delivery, letter in zip((first, second), letters, strict=True):
            await settler.put(replace(settlement_of(delivery, Dead("no")), owes=(letter,)))
        await settler.flush()
        assert offered == letters[1:]
    assert await store.count(Query(statuses=(Status.DEAD,))) == 2
