"""The example pricing while it runs: costs that rise, and a verdict on what came of them."""

import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bson.decimal128 import Decimal128
from pymongo.errors import ConnectionFailure

from acceptance.stories.enduring import by_key
from acceptance.stories.parts import Client, Parts, playing
from support.command import MtriggerCommand

Document = dict[str, Any]

COMMANDS = {
    "watch": ("watch",),
    "analytics 1": ("consumers/analytics.py",),
    "analytics 2": ("consumers/analytics.py",),
}
PRODUCTS = tuple(f"P-{number}" for number in range(5))


def price(cents: int) -> str:
    """What a product costs whose cost is so many cents: 30 % more, rounded up to the cent."""
    dear = -(-cents * 130 // 100)
    return f"{dear // 100}.{dear % 100:02d}"


class Pricing:
    """The story (`enduring.Story`), with its parts running. A price follows from the cost, and costs only
    rise, so that none comes twice."""

    def __init__(self, parts: Parts, client: Client, seed: int) -> None:
        self.parts = parts
        self._client = client
        self._chance = random.Random(seed)
        self._prices: dict[str, list[str]] = {}
        self._cents = dict.fromkeys(PRODUCTS, 1000)

    @classmethod
    @asynccontextmanager
    async def told(cls, command: MtriggerCommand, seed: int) -> AsyncIterator["Pricing"]:
        """The story from its beginning; its processes are gone in the end."""
        async with playing(command, "pricing", COMMANDS) as (parts, client):
            parts.start({})
            yield cls(parts, client, seed)

    async def happen(self) -> None:
        """The cost of a product rises; the first time it is a new product."""
        sku = self._chance.choice(PRODUCTS)
        self._cents[sku] += self._chance.randrange(1, 500)
        cents = self._cents[sku]
        cost = Decimal128(f"{cents // 100}.{cents % 100:02d}")
        while True:
            try:
                await self._client.shop.products.update_one(
                    {"_id": sku}, {"$set": {"cost": cost}}, upsert=True
                )
            except ConnectionFailure:
                continue  # MongoDB is being killed; a cost that is there already changes nothing
            break
        self._prices.setdefault(sku, []).append(price(cents))

    async def arrived(self) -> int:
        """Prices that the analysts have seen."""
        return len(set(self._analysed()))

    async def done_by(self, name: str) -> int:
        """Prices that mtrigger has published, and those that the analysts have seen."""
        if name == "watch":
            return await self._client.mtrigger["topics.PRICES"].estimated_document_count()
        return await self.arrived()

    async def complete(self) -> bool:
        """Whether every price was published and has reached both groups."""
        wanted = sum(map(len, self._prices.values()))
        last = {sku: prices[-1] for sku, prices in self._prices.items()}
        try:
            return len(set(self._analysed())) >= wanted and await self._in_the_web_shop() == last
        except ConnectionFailure:
            return False

    def kill(self, name: str) -> None:
        """Kill a part."""
        self.parts.kill(name)

    async def judge(self) -> list[str]:
        """Everything that is wrong, once it is complete."""
        messages = await self._client.mtrigger["topics.PRICES"].find().sort("offset", 1).to_list()
        published: dict[str, list[str]] = {}
        for message in messages:
            published.setdefault(message["key"], []).append(str(message["body"]["price"]))
        products = {row["_id"]: row async for row in self._client.shop.products.find()}
        analysed = self._analysed()
        wrong = []
        if published != self._prices:
            wrong.append(f"published were {published}, and the prices were {self._prices}")
        for sku, prices in self._prices.items():
            if str(products[sku]["price"]) != prices[-1]:
                wrong.append(f"{products[sku]}, and its last price was {prices[-1]}")
        if by_key(analysed) != self._prices:
            wrong.append(f"analytics has had {by_key(analysed)}, and the prices were {self._prices}")
        again = len(analysed) - len(set(analysed))
        if again > self.parts.kills:
            wrong.append(f"analytics has had {again} again")
        return wrong

    async def _in_the_web_shop(self) -> dict[str, str]:
        return {row["_id"]: str(row["price"]) async for row in self._client.webshop.prices.find()}

    def _analysed(self) -> list[tuple[str, str]]:
        """Product and price of what the analysts have seen."""
        lines = (re.match(r"(\S+) costs (\S+) ", line) for line in self.parts.seen())
        return [(match[1], match[2]) for match in lines if match]
