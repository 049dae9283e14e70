"""The second group of consumers: a program. It follows how each product's price moves.

What it knows it has read itself, so a member that takes over another one's products begins anew with them. It
finds the topic by MTRIGGER_URI and MTRIGGER_STATE_DB, as mtrigger itself does.
"""

import asyncio
from contextlib import suppress
from decimal import Decimal

import mtrigger


async def main() -> None:
    """Take one message after the other, for ever."""
    known: dict[str, Decimal] = {}
    async with (
        mtrigger.topic("PRICES") as prices,
        prices.consume(group="analytics") as messages,
    ):
        async for message in messages:
            sku, price = message.body["sku"], message.body["price"].to_decimal()
            change = f"{price - known[sku]:+}" if sku in known else "new to me"
            print(f"{sku} costs {price} ({change})", flush=True)
            known[sku] = price
            await message.ack()  # from now on the group never sees it again


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
