"""The story of the prices: what products cost the shop goes up and down, and prices have to follow."""

import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bson.decimal128 import Decimal128
from repricing import reprice
from stage import MTRIGGER, Check, Stage, Story

COSTS = {"WB-200": 99_200, "CL-310": 65_350, "DR-120": 21_460, "LS-480": 31_920, "SG-001": 7_380}
"""Products, and what they cost the shop in the beginning, in cents."""


class Pricing:
    """A story (`stage.Story`)."""

    def __init__(self, on: Stage) -> None:
        self.environment: dict[str, str] = {}
        self.parts = {
            "watch": (MTRIGGER, "watch"),
            "analytics": (sys.executable, "consumers/analytics.py"),
        }
        self._on = on
        self._products = on.client["shop"]["products"]
        self._chance = random.Random()  # noqa: S311 - play money
        self._costs = dict(COSTS)
        self._new = list(COSTS)
        self._prices: list[tuple[str, str]] = []

    async def happen(self) -> str:
        """A product comes in, or the cost of one changes."""
        if self._new:
            sku = self._new.pop()
            cost = _money(self._costs[sku])
            await self._products.insert_one({"_id": sku, "cost": cost})
            told = f"{sku} is new: it costs us {cost}"
        else:
            sku = self._chance.choice(list(COSTS))
            self._costs[sku] += self._chance.choice([-1, 1, 2, 3]) * self._costs[sku] // 50
            cost = _money(self._costs[sku])
            await self._products.update_one({"_id": sku}, {"$set": {"cost": cost}})
            told = f"{sku} costs us {cost} now"
        self._prices.append((sku, str(reprice({"cost": cost})["price"])))
        return told

    async def checks(self) -> list[Check]:
        """Each cost has had its price, and each price its message, which both groups have seen."""
        last = frozenset(dict(self._prices).items())
        every = frozenset(self._prices)
        products = [_priced(found) async for found in self._products.find()]
        published = self._on.client["mtrigger"]["topics.PRICES"].find()
        messages = [_priced({**found["body"], "_id": found["key"]}) async for found in published]
        web_shop = [_priced(found) async for found in self._on.client["webshop"]["prices"].find()]
        lines = (re.match(r"(\S+) costs ([\d.]+) ", line) for line in self._on.said.get("analytics", ()))
        analytics = Counter((match[1], match[2]) for match in lines if match)
        return [
            Check("prices in shop.products", last, Counter(products)),
            # A price that comes back is a message of its own.
            Check("messages in PRICES", every, Counter(messages), repeats=True),
            Check("group web-shop (a rule)", last, Counter(web_shop)),
            Check("group analytics (a program)", every, analytics, repeats=True),
        ]


@asynccontextmanager
async def told(on: Stage) -> AsyncIterator[Story]:
    """The story; nothing of it is left to be cleared away."""
    await on.client["shop"].create_collection("products")
    yield Pricing(on)


def _priced(product: dict[str, Any]) -> tuple[str, str]:
    return product["_id"], str(product.get("price"))


def _money(cents: int) -> Decimal128:
    return Decimal128(f"{cents // 100}.{cents % 100:02d}")
