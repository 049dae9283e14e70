"""The second group of consumers: a program. It looks into the credit of whoever places a big order.

Start it as often as you like: the members of the group share the customers, and the orders of one customer
come one after the other. It finds the topic by MTRIGGER_URI and MTRIGGER_STATE_DB, as mtrigger itself does.
"""

import asyncio
from contextlib import suppress

import mtrigger


async def main() -> None:
    """Take one message after the other, for ever."""
    async with (
        mtrigger.topic("BIZ-BIGORDER") as big_orders,
        big_orders.consume(group="credit-check") as messages,
    ):
        async for message in messages:
            order = message.body
            print(f"order {order['order_id']}: may {order['customer']} owe us {order['amount']}?", flush=True)
            await message.ack()  # from now on the group never sees it again


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
