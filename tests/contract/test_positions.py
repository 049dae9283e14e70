"""Positions: what every store promises about checkpoints (`stores.base`)."""

from dataclasses import replace

import pytest
from bson.timestamp import Timestamp

from mtrigger.errors import PositionError
from mtrigger.stores.base import Rescan, Store
from mtrigger.stores.gaps import Gap
from support.samples import NOW, PARTITION, checkpoint_at, token_at


async def test_there_is_no_position_before_the_first_start(store: Store) -> None:
    """None says so."""
    assert await store.checkpoint(PARTITION) is None
    assert not await store.reset(PARTITION)


async def test_the_first_position_stays_whoever_writes_another_first_one(store: Store) -> None:
    """A crash right after the first start must not begin from a later now."""
    first, second = checkpoint_at(0), checkpoint_at(5)

    assert await store.begin(first) == first
    assert await store.begin(second) == first
    assert await store.checkpoint(PARTITION) == first


async def test_streams_have_positions_of_their_own(store: Store) -> None:
    """One partition's progress is not another's."""
    await store.begin(checkpoint_at(1))
    await store.begin(checkpoint_at(2, "main/1"))
    await store.advance(checkpoint_at(3, "main/1"))

    mine, other = await store.checkpoint(PARTITION), await store.checkpoint("main/1")

    assert mine is not None
    assert other is not None
    assert (mine.position, other.position) == (token_at(1), token_at(3))


async def test_advancing_keeps_the_last_five_earlier_tokens(store: Store) -> None:
    """The oldest go first; where there was no token yet, none is kept."""
    await store.begin(checkpoint_at(0))
    for number in range(1, 9):
        await store.advance(checkpoint_at(number))

    stored = await store.checkpoint(PARTITION)

    earlier = tuple({"_data": token_at(number)} for number in (3, 4, 5, 6, 7))
    assert stored == replace(checkpoint_at(8), previous=earlier)


async def test_advancing_twice_to_one_place_is_advancing_once(store: Store) -> None:
    """A write whose reply was lost is sent again: its own token is no earlier one."""
    await store.begin(checkpoint_at(1))
    await store.advance(checkpoint_at(2))
    await store.advance(checkpoint_at(2))

    stored = await store.checkpoint(PARTITION)

    assert stored == replace(checkpoint_at(2), previous=({"_data": token_at(1)},))


async def test_a_position_may_go_back_to_a_time_without_a_token(store: Store) -> None:
    """An operator sets a time: the token it had can still be put back."""
    await store.begin(checkpoint_at(4))
    await store.advance(checkpoint_at(0))

    stored = await store.checkpoint(PARTITION)

    assert stored == replace(checkpoint_at(0), previous=({"_data": token_at(4)},))


async def test_a_position_that_was_removed_while_in_use_is_not_silently_made_again(store: Store) -> None:
    """The operator who removed it wanted to begin afresh."""
    await store.begin(checkpoint_at(1))
    assert await store.reset(PARTITION)

    with pytest.raises(PositionError, match="was removed"):
        await store.advance(checkpoint_at(2))

    assert await store.checkpoint(PARTITION) is None


async def test_a_rescan_is_part_of_the_position(store: Store) -> None:
    """Its progress is written with the position, whatever kind of `_id` it stands at, and goes with it."""
    start = replace(checkpoint_at(0), rescan=Rescan(("shop.a", "shop.b"), gap="main/0 1.1"))
    assert await store.begin(start) == start
    for after in (None, 5, "$x", {"a": [1, None]}):
        on = replace(start, rescan=Rescan(("shop.b",), (after,), 1_000, "main/0 1.1"))
        await store.advance(on)
        assert await store.checkpoint(PARTITION) == on
    await store.advance(checkpoint_at(1))
    assert await store.checkpoint(PARTITION) == checkpoint_at(1)


async def test_starts_are_counted_until_the_position_moves_on(store: Store) -> None:
    """A first token after opening at a time is no progress; an event, a later time or a chunk read are."""
    assert await store.note_start(PARTITION) == 0
    await store.begin(checkpoint_at(0))
    assert [await store.note_start(PARTITION) for _ in range(3)] == [1, 2, 3]

    opened = replace(checkpoint_at(0), token={"_data": token_at(1)})
    await store.advance(opened)
    assert await store.note_start(PARTITION) == 4

    await store.advance(replace(opened, token={"_data": token_at(2)}))
    assert await store.note_start(PARTITION) == 1
    await store.advance(checkpoint_at(5))
    assert await store.note_start(PARTITION) == 1
    await store.advance(replace(checkpoint_at(5), rescan=Rescan(("shop.a",), (1,), 1)))
    assert await store.note_start(PARTITION) == 1

    await store.forget_starts(PARTITION)
    assert await store.note_start(PARTITION) == 1
    await store.reset(PARTITION)
    await store.begin(checkpoint_at(0))
    assert await store.note_start(PARTITION) == 1


async def test_a_gap_is_kept_once_however_often_it_is_written(store: Store) -> None:
    """It is named by where it begins: a crash before the position moved writes it again, perhaps longer."""
    gap = Gap(PARTITION, Timestamp(100, 1), Timestamp(200, 1), "history lost", "from-now", NOW)
    longer = replace(gap, until=Timestamp(300, 1), policy="rescan")
    later = replace(gap, since=Timestamp(400, 1), until=Timestamp(500, 1))

    for written in (later, gap, longer):
        await store.gaps.record(written)
    await store.gaps.mark_rescanned(longer.id)
    await store.gaps.mark_rescanned("main/0 no such gap")

    assert await store.gaps.all() == [replace(longer, rescanned=True), later]
