"""When a rule goes round in circles."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mtrigger.deliveries import Delivery
from mtrigger.gates.looping import LONGEST_KEY, Firing, caught, firings
from mtrigger.quiet import LoopGuard
from support.samples import NOW, delivery_at, event_at

GUARD = LoopGuard(depth=3, at_most=2, within=60.0)


def at(seconds: float, number: int = 1) -> Delivery:
    """A delivery for a change that happened so many seconds after NOW."""
    event = replace(event_at(number, key="it"), time=NOW + timedelta(seconds=seconds))
    return delivery_at(number, event=event)


def fired(*seconds: float) -> tuple[Firing, ...]:
    """Earlier firings."""
    return tuple(Firing(NOW + timedelta(seconds=second), f"earlier {second}") for second in seconds)


@pytest.mark.parametrize(
    ("depth", "through", "said"),
    [
        (0, (), ""),
        (1, ("a",), ""),
        (3, ("a",), ""),
        (4, ("a",), "was caused by writes of the rule a through 4 links (loop_guard.depth allows 3)"),
        (9, ("a", "b"), "was caused by writes of rules a, b through 9 links (loop_guard.depth allows 3)"),
    ],
)
def test_a_change_may_be_caused_through_so_many_links(
    depth: int, through: tuple[str, ...], said: str
) -> None:
    """And through no more; the sentence names the rules and the document."""
    reason = caught(GUARD, replace(at(0), depth=depth, through=through), ())
    assert bool(reason) == bool(said)
    assert said in reason
    assert not reason or "the insert in shop.orders of _id 'it'" in reason


@pytest.mark.parametrize(
    ("before", "now", "count"),
    [
        ((), 0, 1),
        ((0,), 1, 2),
        ((0, 1), 2, 3),
        ((0, 1), 59.9, 3),
        ((0, 1), 60, 2),  # the first one is a whole window ago
        ((0, 1), 61, 1),
        ((0, 1), 1_000, 1),
        ((0, 5), 2, 2),  # told of out of order: what is later does not count
    ],
)
def test_what_counts_lies_within_the_window_by_the_times_of_the_changes(
    before: tuple[float, ...], now: float, count: int
) -> None:
    """The window ends with the change itself."""
    delivery = at(now)
    found = firings(GUARD, fired(*before), delivery)
    assert len(found) == count
    assert found[-1] == Firing(delivery.event.time, delivery.id)
    assert bool(caught(GUARD, delivery, found)) == (count > 2)


def test_a_delivery_that_is_asked_about_again_counts_once() -> None:
    """One that a gate holds back is asked about for hours."""
    delivery = at(0)
    once = firings(GUARD, (), delivery)
    assert firings(GUARD, once, delivery) == once


def test_without_a_limit_nothing_is_too_often() -> None:
    """The default: only the depth counts."""
    assert caught(LoopGuard(), at(0), fired(*range(1_000))) == ""


def test_a_long_key_is_cut() -> None:
    """It may be megabytes."""
    event = event_at(1, key="x" * 5_000)
    reason = caught(GUARD, replace(delivery_at(1, event=event), depth=4, through=("a",)), ())
    assert len(reason) < LONGEST_KEY + 300
