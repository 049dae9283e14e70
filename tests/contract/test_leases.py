"""Leases: what every store promises about who owns a stream (`stores.base`), and to whoever owns it."""

import asyncio
from dataclasses import replace

import pytest

from mtrigger.deliveries import Delivered
from mtrigger.errors import OwnershipError, PositionError
from mtrigger.ownership.lease import Lease
from mtrigger.ownership.tenure import Tenure
from mtrigger.stores.base import Checkpoint, Store
from mtrigger.supervision.steady_time import clock
from support.samples import PARTITION, checkpoint_at, delivery_at, settlement_of, token_at

LONG = 3600.0


async def took(store: Store, owner: str) -> Tenure:
    """What `owner` holds after it took the stream from whoever had it."""
    seen = await store.leases.current(PARTITION)
    taken = await store.leases.take(PARTITION, seen, owner, LONG)
    assert taken is not None
    assert taken.lease is not None
    return Tenure(store.leases, PARTITION, taken.lease, clock())


async def test_the_owner_gets_the_position_as_it_is_when_it_takes_the_stream(store: Store) -> None:
    """In one step: nothing can come between."""
    await store.begin(checkpoint_at(3))

    taken = await store.leases.take(PARTITION, None, "me", 15.0)

    assert taken == replace(checkpoint_at(3), lease=Lease("me", 1, 1, 15.0))
    assert await store.checkpoint(PARTITION) == taken
    assert await store.leases.current(PARTITION) == Lease("me", 1, 1, 15.0)


async def test_a_stream_without_a_position_cannot_be_taken(store: Store) -> None:
    """The position comes first."""
    assert await store.leases.current(PARTITION) is None
    assert await store.leases.take(PARTITION, None, "me", 15.0) is None
    assert await store.checkpoint(PARTITION) is None


async def test_of_many_who_see_the_same_lease_one_gets_the_stream(store: Store) -> None:
    """The first time and every other time."""
    await store.begin(checkpoint_at(1))
    for epoch in (1, 2, 3):
        seen = await store.leases.current(PARTITION)
        takes = [store.leases.take(PARTITION, seen, f"candidate {n}", 15.0) for n in range(8)]
        taken = [found for found in await asyncio.gather(*takes) if found is not None]
        assert len(taken) == 1
        assert taken[0].lease is not None
        assert taken[0].lease.epoch == epoch


async def test_a_lease_that_has_moved_cannot_be_taken(store: Store) -> None:
    """The candidate has seen it stand still, and it was renewed in the last moment."""
    await store.begin(checkpoint_at(1))
    mine = await took(store, "me")
    assert await store.leases.renew(PARTITION, mine.lease)
    assert await store.leases.take(PARTITION, mine.lease, "other", 15.0) is None
    moved = await store.leases.current(PARTITION)
    assert moved == replace(mine.lease, counter=mine.lease.counter + 1)


async def test_who_was_deposed_renews_and_gives_back_nothing(store: Store) -> None:
    """Not even when its owner's text is the same: the epoch counts."""
    await store.begin(checkpoint_at(1))
    before = await took(store, "me")
    after = await took(store, "me")
    assert not await store.leases.renew(PARTITION, before.lease)
    await store.leases.release(PARTITION, before.lease)
    assert await store.leases.current(PARTITION) == after.lease


async def test_a_lease_that_was_given_back_is_taken_in_a_new_epoch(store: Store) -> None:
    """It stays readable who had it."""
    await store.begin(checkpoint_at(1))
    before = await took(store, "me")
    await store.leases.release(PARTITION, before.lease)
    assert await store.leases.current(PARTITION) == replace(before.lease, released=True)
    after = await took(store, "other")
    assert (after.lease.epoch, after.lease.released) == (2, False)


async def test_the_fence_an_earlier_owner_cannot_move_the_position(store: Store) -> None:
    """It is decided on the server together with the write, whatever the earlier owner believes."""
    await store.begin(checkpoint_at(1))
    before = store.owned(await took(store, "before"))
    await before.advance(checkpoint_at(2))
    after = store.owned(await took(store, "after"))

    with pytest.raises(OwnershipError, match="owned by after now"):
        await before.advance(checkpoint_at(9))
    await after.advance(checkpoint_at(3))

    stored = await store.checkpoint(PARTITION)
    assert stored is not None
    assert stored.position == token_at(3)
    assert stored.lease is not None
    assert stored.lease.owner == "after"


async def test_a_position_that_was_removed_is_not_the_owners_any_more(store: Store) -> None:
    """And not one of an unknown owner, either."""
    await store.begin(checkpoint_at(1))
    mine = store.owned(await took(store, "me"))
    await store.reset(PARTITION)
    with pytest.raises(PositionError, match="was removed"):
        await mine.advance(checkpoint_at(2))


async def test_what_an_earlier_owner_stored_late_is_dispatched_by_the_new_one(store: Store) -> None:
    """Its insert was on the way when the stream changed hands: the new owner has loaded what was owed before
    that, and would take the row for one that is known already. Each of its own it still gets once."""
    late, done, mine = delivery_at(1), delivery_at(2), delivery_at(3)
    await store.begin(checkpoint_at(0))
    before = store.owned(await took(store, "before"))
    after = store.owned(await took(store, "after"))
    await before.add([late, done])
    await before.settle([settlement_of(done, Delivered("250 OK"))])
    assert await after.add([mine]) == {mine.id}

    assert await after.add([late, done, mine]) == {late.id}


async def test_an_operator_takes_the_stream_from_its_owner(store: Store) -> None:
    """`checkpoint set`: the owner's own position can never be written over the operator's."""
    await store.begin(checkpoint_at(5))
    owner = await took(store, "me")

    stored = await store.put(checkpoint_at(2))

    assert (stored.position, stored.previous) == (token_at(2), ({"_data": token_at(5)},))
    with pytest.raises(OwnershipError):
        await store.owned(owner).advance(checkpoint_at(6))
    assert not await store.leases.renew(PARTITION, owner.lease)
    assert (await took(store, "next")).lease.epoch == 3


async def test_an_operator_may_set_the_first_position(store: Store) -> None:
    """Whoever comes first takes it from there."""
    stored = await store.put(checkpoint_at(2))
    assert stored.position == token_at(2)
    taken: Checkpoint | None = await store.leases.take(PARTITION, stored.lease, "me", 15.0)
    assert taken is not None
    assert taken.position == token_at(2)


async def test_how_long_ago_a_lease_was_renewed_is_there_for_people(store: Store) -> None:
    """By the database's own clock."""
    assert await store.leases.renewed_ago(PARTITION) is None
    await store.begin(checkpoint_at(1))
    assert await store.leases.renewed_ago(PARTITION) is None
    await took(store, "me")
    ago = await store.leases.renewed_ago(PARTITION)
    assert ago is not None
    assert 0 <= ago < 30


async def test_a_holder_is_told_who_asks_and_the_next_one_is_not(store: Store) -> None:
    """Asking changes nothing else; asking who holds it no longer changes nothing at all."""
    await store.begin(checkpoint_at(1))
    mine = await took(store, "me")
    await store.leases.ask(PARTITION, mine.lease, "another")
    seen = await store.leases.current(PARTITION)
    assert seen == replace(mine.lease, asked_by="another")
    assert await store.leases.renew(PARTITION, mine.lease)
    after = await took(store, "another")
    await store.leases.ask(PARTITION, mine.lease, "a third")
    assert await store.leases.current(PARTITION) == after.lease
