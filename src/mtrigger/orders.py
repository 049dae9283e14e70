"""Orders as a small shop would take them: what `mtrigger demo` feeds the rules with."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.decimal128 import Decimal128

BIG = 10_000
"""Every BIG_EVERY-th order is above this amount, so that a mail never lets one wait long."""

BIG_EVERY = 4

_CUSTOMERS = (
    ("C-1007", "Hansen & Sons", "purchasing@hansen.example", "EMEA"),
    ("C-1042", "Blue Harbor Logistics", "orders@blueharbor.example", "AMER"),
    ("C-1066", "Seoul Precision Works", "buyer@seoulprecision.example", "APAC"),
    ("C-1101", "Officina Rossi", "acquisti@rossi.example", "EMEA"),
    ("C-1120", "Granite Peak Outfitters", "supply@granitepeak.example", "AMER"),
)


@dataclass(frozen=True, slots=True)
class _Product:
    sku: str
    name: str
    cents: int


_PRODUCTS = (
    _Product("WB-200", "Workbench, oak, 2 m", 129_000),
    _Product("CL-310", "Compressor, 50 l", 84_950),
    _Product("DR-120", "Cordless drill set", 27_900),
    _Product("LS-480", "Laser level", 41_500),
    _Product("TB-055", "Tool box, 5 drawers", 18_990),
    _Product("SG-001", "Safety goggles, box of 20", 9_600),
)


def orders(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Orders without end, numbered from SO-10001; amounts are exact to the cent."""
    number = 10_000
    while True:
        number += 1
        yield _order(number, chance, big=number % BIG_EVERY == 2)


def _order(number: int, chance: random.Random, *, big: bool) -> dict[str, Any]:
    customer_id, name, email, region = chance.choice(_CUSTOMERS)
    items = [(product, chance.randint(1, 3)) for product in chance.sample(_PRODUCTS, k=chance.randint(1, 3))]
    total = sum(product.cents * quantity for product, quantity in items)
    while big and total <= BIG * 100:
        items = [(product, quantity + chance.randint(2, 6)) for product, quantity in items]
        total = sum(product.cents * quantity for product, quantity in items)
    return {
        "order_id": f"SO-{number}",
        "customer": {"id": customer_id, "name": name, "email": email},
        "region": region,
        "status": "open",
        "amount": _money(total),
        "currency": "USD",
        "items": [
            {"sku": product.sku, "name": product.name, "qty": quantity, "price": _money(product.cents)}
            for product, quantity in items
        ],
        "created_at": datetime.now(UTC),
    }


def _money(cents: int) -> Decimal128:
    return Decimal128(f"{cents // 100}.{cents % 100:02d}")
