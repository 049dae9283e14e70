"""What a product costs the customer. A pure function: it can be tested without mtrigger and MongoDB."""

from decimal import ROUND_UP, Decimal
from typing import Any

from bson.decimal128 import Decimal128

MARGIN = Decimal("0.30")


def reprice(document: dict[str, Any]) -> dict[str, Any]:
    """Cost and margin, rounded up to the cent. The cost it is made of goes with it."""
    cost = document["cost"].to_decimal()
    price = (cost * (1 + MARGIN)).quantize(Decimal("0.01"), ROUND_UP)
    return {"price": Decimal128(price), "priced_by_cost": document["cost"]}
