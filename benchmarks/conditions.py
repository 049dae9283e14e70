"""How fast conditions are, compared with the same test written by hand in Python, in the same run.

python -m benchmarks.conditions [--calls N]
"""

import argparse
import timeit
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bson.decimal128 import Decimal128

from mtrigger.conditions import parse
from mtrigger.events import ChangeEvent

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "order_id": "SO-10042",
    "status": "paid",
    "amount": 15230.5,
    "customer": {"name": "Ada", "region": "EMEA"},
    "items": [{"sku": "A-1", "price": 700}, {"sku": "B-2", "price": 30}],
    "total": Decimal128("15230.50"),
}
ROUNDS = 5


def _event(document: Mapping[str, Any]) -> ChangeEvent:
    return ChangeEvent.from_change(
        {
            "_id": {"_data": "82"},
            "operationType": "insert",
            "ns": {"db": "shop", "coll": "orders"},
            "documentKey": {"_id": 1},
            "fullDocument": document,
        }
    )


def _two_fields(event: ChangeEvent) -> bool:
    document = event.key if event.document is None else event.document
    return bool(document.get("amount", 0) > 10000 and document.get("status") == "paid")


def _nested(event: ChangeEvent) -> bool:
    document = event.key if event.document is None else event.document
    return bool(document.get("customer", {}).get("region") in {"EMEA", "APAC"})


def _elements(event: ChangeEvent) -> bool:
    document = event.key if event.document is None else event.document
    return any(item.get("price", 0) > 500 for item in document.get("items", ()))


CASES: list[tuple[str, Callable[[ChangeEvent], bool] | None]] = [
    ('amount > 10000 and status == "paid"', _two_fields),
    ('customer.region in ["EMEA", "APAC"]', _nested),
    ("items.price > 500", _elements),
    ("$.items[*].price > 500", _elements),
    ("total > 10000", None),
    ("missing > 10000", None),
    ('matches(order_id, "^SO-[0-9]+$")', None),
    ("len(items) > 1", None),
    ("amount * 2 > total", None),
]


def _microseconds(call: Callable[[], object], calls: int) -> float:
    """The best of several rounds, for one call."""
    call()
    return min(timeit.repeat(call, number=calls, repeat=ROUNDS)) / calls * 1e6


def main() -> None:
    """Print a line for each condition, and what reading one costs."""
    parser = argparse.ArgumentParser(description="How fast conditions are.")
    parser.add_argument("--calls", type=int, default=100_000, help="in each round (%(default)s)")
    calls = parser.parse_args().calls
    event = _event(ORDER)
    print(f"{'condition':45}{'µs':>8}{'by hand':>10}{'ratio':>8}")
    for text, by_hand in CASES:
        holds = parse(text).holds
        ours = _microseconds(partial(holds, event, NOW), calls)
        if by_hand is None:
            print(f"{text:45}{ours:8.2f}")
            continue
        theirs = _microseconds(partial(by_hand, event), calls)
        print(f"{text:45}{ours:8.2f}{theirs:10.2f}{ours / theirs:8.1f}")
    few = max(1, calls // 200)
    reading = _microseconds(lambda: parse(CASES[0][0]), few)
    compiling = _microseconds(lambda: parse(CASES[0][0]).holds, few)
    print(f"reading the first one takes {reading:.0f} µs, with compiling {compiling:.0f} µs")


if __name__ == "__main__":
    main()
