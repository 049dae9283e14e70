"""What the guard does with what it finds."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mtrigger.deliveries import Delivery
from mtrigger.gates import Wishes
from mtrigger.quiet import LoopGuard
from mtrigger.running.loop_guarding import LoopGuards
from mtrigger.stores.wishes import MemoryWishes
from support.recording import rule_on
from support.samples import delivery_at, event_at

RULE = replace(rule_on("shop.orders"), loop_guard=LoopGuard(depth=2))
OFTEN = replace(rule_on("shop.orders"), loop_guard=LoopGuard(at_most=2))


def at_depth(depth: int, number: int = 1) -> Delivery:
    """Owed since now."""
    return replace(delivery_at(number, created_at=datetime.now(UTC)), depth=depth, through=("big-order",))


async def test_a_rule_is_paused_once_and_everything_of_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    """Also what would be fine by itself; the log says it in one line."""
    wishes = MemoryWishes()
    guards = LoopGuards(wishes)
    assert not await guards.trip(RULE, at_depth(2))
    with caplog.at_level(logging.ERROR):
        assert await guards.trip(RULE, at_depth(3))
        assert await guards.trip(RULE, at_depth(3, 2))
        assert await guards.trip(RULE, at_depth(0, 3))
    (record,) = caplog.records
    assert "mtrigger resume big-order" in record.getMessage()
    pauses = (await wishes.current()).pauses
    assert list(pauses) == ["big-order"]
    assert (pauses["big-order"].drop, pauses["big-order"].by) == (False, "loop guard")


async def test_what_was_owed_when_it_is_resumed_may_run_and_what_comes_of_it_trips_again() -> None:
    """So a mended rule catches up, and one that was not is found at its next link."""
    wishes = MemoryWishes()
    guards = LoopGuards(wishes)
    owed = at_depth(3)
    assert await guards.trip(RULE, owed)
    guards.heed(await wishes.current())
    assert await guards.trip(RULE, owed)
    await wishes.resume("big-order")
    guards.heed(await wishes.current())
    assert not await guards.trip(RULE, owed)
    later = replace(at_depth(4, 2), created_at=datetime.now(UTC) + timedelta(seconds=1))
    assert await guards.trip(RULE, later)
    assert "big-order" in (await wishes.current()).pauses


async def test_a_pause_that_is_ended_before_it_was_looked_for_is_ended() -> None:
    """The guard has seen it itself."""
    guards = LoopGuards(MemoryWishes())
    assert await guards.trip(RULE, at_depth(3))
    guards.heed(Wishes())
    assert not await guards.trip(RULE, at_depth(0))


async def test_firings_are_counted_for_each_document_and_anew_once_it_is_resumed() -> None:
    """Asking twice about one delivery is one firing."""
    guards = LoopGuards(MemoryWishes())

    def delivery(number: int, key: str) -> Delivery:
        return delivery_at(number, event=event_at(number, key=key), created_at=datetime.now(UTC))

    for number, key in ((1, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "b")):
        assert not await guards.trip(OFTEN, delivery(number, key))
    third = delivery(5, "a")
    assert await guards.trip(OFTEN, third)
    guards.heed(Wishes())
    assert not await guards.trip(OFTEN, third)


async def test_a_retry_is_not_asked_about_again() -> None:
    """It was let through before."""
    guards = LoopGuards(MemoryWishes())
    assert not await guards.trip(RULE, replace(at_depth(9), admitted=True))
