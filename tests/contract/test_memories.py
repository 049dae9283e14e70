"""What rules remember and what operators wish: every store keeps the contract."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pymongo import AsyncMongoClient

from mtrigger.conditions import parse
from mtrigger.deliveries import Memory, Status, Suppressed
from mtrigger.gates import Pause, Silence, Wishes
from mtrigger.ownership.tenure import Tenure
from mtrigger.stores.base import Query, Store
from mtrigger.stores.mongo import MongoStore
from mtrigger.supervision.steady_time import clock
from support.samples import NOW, PARTITION, checkpoint_at, delivery_at, settlement_of

LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
SINCE = LATER - timedelta(hours=2)


def memory(number: int, key: str = "big-order/log/*") -> Memory:
    """What is remembered once so many were held back."""
    return Memory(key, "big-order", {"held_back": number, "times": [NOW]}, LATER)


async def owner(store: Store, name: str) -> Store:
    """The store of whoever takes the stream now."""
    seen = await store.leases.current(PARTITION)
    taken = await store.leases.take(PARTITION, seen, name, 3600.0)
    assert taken is not None
    assert taken.lease is not None
    return store.owned(Tenure(store.leases, PARTITION, taken.lease, clock()))


async def held_back(store: Store, key: str = "big-order/log/*") -> int | None:
    """How many the memory says were held back."""
    fields = (await store.memories.of([key, "another"])).get(key)
    return fields["held_back"] if fields is not None else None


# -- memories ------------------------------------------------------------------------------------------------


async def test_the_memory_that_was_kept_last_counts(store: Store) -> None:
    """Also within one batch; others are not touched."""
    await store.memories.keep([memory(1), memory(5, "other/log/*"), memory(2)])
    assert (await held_back(store), await held_back(store, "other/log/*")) == (2, 5)

    await store.memories.keep([memory(3)])

    assert (await held_back(store), await held_back(store, "other/log/*")) == (3, 5)
    assert await held_back(store, "unheard of") is None


async def test_a_memory_is_kept_with_the_outcome_that_changed_it(store: Store) -> None:
    """And the reason why a delivery was left out is told in lists, too, which have no histories."""
    delivery = delivery_at(1)
    await store.add([delivery])

    await store.settle([replace(settlement_of(delivery, Suppressed("throttled")), remembers=memory(1))])

    assert await held_back(store) == 1
    for found in (await store.find(Query(), 10), await store.summaries(Query(), 10)):
        assert [(record.status, record.reason, record.error) for record in found] == [
            (Status.SUPPRESSED, "throttled", "")
        ]


async def test_what_an_earlier_owner_remembered_late_changes_nothing(
    state_client: AsyncMongoClient[dict[str, object]],
) -> None:
    """Its write was on the way when the stream changed hands."""
    store = MongoStore(state_client, "state_of_memories")
    try:
        await store.begin(checkpoint_at(1))
        before, after = await owner(store, "before"), await owner(store, "after")
        await before.memories.keep([memory(1)])
        assert await held_back(after) == 1
        await after.memories.keep([memory(2)])

        await before.memories.keep([memory(9)])

        assert await held_back(after) == 2
    finally:
        await state_client.drop_database("state_of_memories")


async def test_epochs_that_begin_anew_keep_nobody_from_remembering(
    state_client: AsyncMongoClient[dict[str, object]],
) -> None:
    """After a reset of the position the first owner has the first epoch again."""
    store = MongoStore(state_client, "state_of_memories")
    try:
        await store.begin(checkpoint_at(1))
        for name in ("one", "two", "three"):
            last = await owner(store, name)
        await last.memories.keep([memory(1)])
        await store.reset(PARTITION)
        await store.begin(checkpoint_at(1))
        first = await owner(store, "four")
        assert await held_back(first) == 1

        await first.memories.keep([memory(2)])

        assert await held_back(first) == 2
    finally:
        await state_client.drop_database("state_of_memories")


# -- wishes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "amount < 5"])
async def test_a_silence_is_there_until_it_is_ended(store: Store, where: str) -> None:
    """With all that was said; two silences of a rule are two."""
    condition = parse(where) if where else None
    first = Silence("1", "big-order", SINCE, LATER, where, condition, "ann", "deploy")
    second, other = replace(first, id="2"), replace(first, id="3", rule="other")
    for silence in (first, second, other):
        await store.wishes.silence(silence)
    assert await store.wishes.current() == Wishes({"big-order": (first, second), "other": (other,)})

    assert await store.wishes.end_silences("big-order") == 2

    assert await store.wishes.current() == Wishes({"other": (other,)})
    assert await store.wishes.end_silences("big-order") == 0


async def test_a_silence_whose_time_has_come_is_no_wish_any_more(store: Store) -> None:
    """Whether or not it has been cleared away."""
    await store.wishes.silence(Silence("1", "big-order", SINCE, SINCE + timedelta(hours=1)))

    assert await store.wishes.current() == Wishes()


async def test_a_rule_is_paused_once_and_resumed_once(store: Store) -> None:
    """The last pause counts."""
    await store.wishes.pause(Pause("big-order", SINCE, drop=False, reason="storm", by="ann"))
    last = Pause("big-order", LATER, drop=True, reason="loop", by="")
    await store.wishes.pause(last)
    assert await store.wishes.current() == Wishes({}, {"big-order": last})

    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert await store.wishes.resume("big-order")

    wished = await store.wishes.current()
    assert (wished.pauses, list(wished.resumed)) == ({}, ["big-order"])
    assert before <= wished.resumed["big-order"] <= datetime.now(UTC)
    assert not await store.wishes.resume("big-order")

    await store.wishes.pause(last)
    assert await store.wishes.current() == Wishes({}, {"big-order": last})
