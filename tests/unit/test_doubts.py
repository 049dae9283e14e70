"""Whether deliveries are still owed: one look-up for all who ask meanwhile, none older than its question."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet

import pytest

from mtrigger.running.doubts import Doubts
from mtrigger.stores.base import Query
from mtrigger.stores.memory import MemoryStore
from support.samples import delivery_at


class Slow(MemoryStore):
    """A store that answers when it may, and says what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.answers = asyncio.Semaphore(0)

    async def still_open(self, ids: Sequence[str]) -> AbstractSet[str]:
        self.asked.append(list(ids))
        await self.answers.acquire()
        return await super().still_open(ids)


@pytest.fixture
def store() -> Slow:
    return Slow()


@pytest.fixture
async def doubts(store: Slow) -> AsyncIterator[Doubts]:
    """They are answered as long as the test runs."""
    doubts = Doubts(store)
    running = asyncio.create_task(doubts.run())
    yield doubts
    running.cancel()
    await asyncio.wait({running})


async def turns() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_while_a_look_up_runs_shares_the_next_one(store: Slow, doubts: Doubts) -> None:
    """And is told what holds by then."""
    first, second, third = deliveries = [delivery_at(number) for number in (1, 2, 3)]
    await store.add(deliveries)
    asking = [asyncio.create_task(doubts.still_open(first.id))]
    await turns()
    asking += [asyncio.create_task(doubts.still_open(delivery.id)) for delivery in (second, third)]
    await turns()
    await store.discard(Query(ids=(second.id,)))
    store.answers.release()
    store.answers.release()

    assert await asyncio.gather(*asking) == [True, False, True]
    assert store.asked == [[first.id], [second.id, third.id]]


async def test_who_is_cancelled_while_it_asks_harms_nobody(store: Slow, doubts: Doubts) -> None:
    """The others get their answers."""
    first, second = deliveries = [delivery_at(number) for number in (1, 2)]
    await store.add(deliveries)
    asking = [asyncio.create_task(doubts.still_open(delivery.id)) for delivery in deliveries]
    await turns()
    asking[0].cancel()
    await turns()
    store.answers.release()

    assert await asking[1]
    assert asking[0].cancelled()
    assert store.asked == [[first.id, second.id]]
