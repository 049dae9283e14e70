"""How fast rules are found for an event, beside trying each of them, in the same run.

    python -m benchmarks.matching

Each line is one way of writing many rules and their number; events come from as many customers as there are
rules (100 at least), and their amounts are spread evenly over what the rules ask for.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mtrigger.conditions import parse
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.rules import Collections, Rule

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NUMBERS = (1, 10, 100, 1_000, 10_000)
MOST = 10_000
"""The highest amount."""

TRIED = 200_000
"""Conditions that one round of trying each evaluates, about."""

ROUNDS = 3

KINDS: dict[str, Callable[[int, int], str]] = {
    "equality and range": lambda number, _: f'customer == "C{number}" and amount > {number % 100}',
    "adjoining ranges": lambda number, of: f"{number * MOST / of} <= amount < {(number + 1) * MOST / of}",
    "1 % of the ranges": lambda number, of: f"amount > {MOST * (0.98 + 0.02 * number / of)}",
    "an equality all share": lambda number, _: f'status == "paid" and customer == "C{number}"',
    "nothing to find it by": lambda number, _: f'lower(customer) == "c{number}"',
}


def main() -> None:
    """Print a line for each kind and number."""
    print(f"{'rules':24}{'number':>8}{'found, µs':>12}{'tried, µs':>12}{'ratio':>8}{'first event, ms':>18}")
    for kind, text in KINDS.items():
        for number in NUMBERS:
            rules = [_rule(text(one, number)) for one in range(number)]
            chance = random.Random(number)
            events = [_event(number, chance) for _ in range(min(max(TRIED // number, 5), 2_000))]
            matcher = Matcher(rules)
            began = time.perf_counter()
            matcher.matches(events[0], NOW)
            first = time.perf_counter() - began
            found, tried = _in_turns((partial(_found, matcher), partial(_tried, rules)), events)
            ratio = statistics.median(one / other for one, other in zip(tried, found, strict=True))
            print(
                f"{kind:24}{number:8,}{min(found):12.2f}{min(tried):12.2f}{ratio:8.1f}{1e3 * first:18.1f}",
                flush=True,
            )


def _found(matcher: Matcher, event: ChangeEvent) -> list[Rule]:
    return matcher.matches(event, NOW)


def _tried(rules: Iterable[Rule], event: ChangeEvent) -> list[Rule]:
    return [rule for rule in rules if rule.condition is None or rule.condition.holds(event, NOW)]


def _in_turns(
    sides: tuple[Callable[[ChangeEvent], list[Rule]], ...], events: list[ChangeEvent]
) -> list[list[float]]:
    """Microseconds an event for each side, one figure a round. Raises AssertionError if they differ."""
    assert all([side(event) for event in events] == [sides[0](event) for event in events] for side in sides)
    figures: list[list[float]] = [[] for _ in sides]
    for _ in range(ROUNDS):
        for side, found in zip(sides, figures, strict=True):
            began = time.perf_counter()
            for event in events:
                side(event)
            found.append((time.perf_counter() - began) / len(events) * 1e6)
    return figures


def _rule(text: str) -> Rule:
    return Rule(text, Collections(("shop.orders",)), (), condition=parse(text))


def _event(customers: int, chance: random.Random) -> ChangeEvent:
    document: dict[str, Any] = {
        "_id": chance.random(),
        "customer": f"C{chance.randrange(max(customers, 100))}",
        "status": "paid",
        "amount": chance.random() * MOST,
        "items": [{"sku": "A-1", "price": 700}, {"sku": "B-2", "price": 30}],
    }
    return ChangeEvent.from_change(
        {
            "_id": {"_data": "82"},
            "operationType": "insert",
            "ns": {"db": "shop", "coll": "orders"},
            "documentKey": {"_id": document["_id"]},
            "fullDocument": document,
        }
    )


if __name__ == "__main__":
    main()
