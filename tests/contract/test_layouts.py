"""Layouts: what every store promises about the number of partitions, and about changing it."""

from mtrigger.ownership.tenure import Tenure
from mtrigger.partitions import Partition, partitions
from mtrigger.stores.base import Store
from mtrigger.stores.layouts import Layout
from mtrigger.supervision.steady_time import clock
from support.samples import checkpoint_at

LONG = 3600.0


async def took(store: Store, partition: Partition) -> Tenure | None:
    """What a new owner of `partition` holds; None if it cannot be taken."""
    seen = await store.leases.current(partition.name)
    taken = await store.leases.take(partition.name, seen, "me", LONG)
    if taken is None or taken.lease is None:
        return None
    return Tenure(store.leases, partition.name, taken.lease, clock())


async def test_the_first_layout_is_written_once(store: Store) -> None:
    """Whoever comes later is told what there is."""
    assert await store.layouts.current() is None
    assert await store.layouts.begin(4) == Layout(4)
    assert await store.layouts.begin(2) == Layout(4)
    assert await store.layouts.current() == Layout(4)


async def test_a_change_is_announced_and_completed(store: Store) -> None:
    """Completed again, after a lost reply, it is no second change; only what was announced is completed."""
    await store.layouts.begin(1)
    assert not await store.layouts.announce("mine", 2)
    assert not await store.layouts.complete("mine", 4)
    assert await store.layouts.announce("mine", 1)
    assert await store.layouts.complete("mine", 4)
    assert await store.layouts.complete("mine", 4)
    assert not await store.layouts.complete("another", 2)
    assert await store.layouts.current() == Layout(4, 1)


async def test_taking_a_partition_undoes_the_change_that_was_announced(store: Store) -> None:
    """Somebody is at work again: whoever announced it has lost the partition meanwhile."""
    await store.layouts.begin(1)
    await store.begin(checkpoint_at(1))
    assert await store.layouts.announce("mine", 1)
    assert await took(store, Partition()) is not None
    assert not await store.layouts.complete("mine", 4)
    assert await store.layouts.current() == Layout(1)


async def test_a_partition_of_another_layout_cannot_be_taken(store: Store) -> None:
    """Although its position is there, and without undoing anything."""
    await store.layouts.begin(1)
    await store.begin(checkpoint_at(1))
    for partition in partitions(2):
        await store.begin(checkpoint_at(1, partition.name))
        assert await took(store, partition) is None
    assert await store.layouts.announce("mine", 1)
    assert await took(store, Partition(0, 2)) is None
    assert await store.layouts.complete("mine", 2)
    assert await took(store, Partition()) is None
    assert await took(store, Partition(0, 2)) is not None


async def test_a_position_is_retired_by_its_last_owner_only(store: Store) -> None:
    """Not by one whose lease somebody else has taken since, nor when an operator has set it."""
    await store.begin(checkpoint_at(1))
    before, after = await took(store, Partition()), await took(store, Partition())
    assert before is not None
    assert after is not None
    await store.leases.retire("main/0", before.lease)
    assert await store.checkpoint("main/0") is not None
    await store.leases.retire("main/0", after.lease)
    assert await store.checkpoint("main/0") is None
