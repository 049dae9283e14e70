"""Messages are published once and stored once, whenever the process is killed.

From the orders through a topic into a collection, with a counter on the way: one that is counted twice or
never shows for ever.
"""

import random
from typing import Any

from acceptance.shop import Shop
from mtrigger.messages import collection_of
from support.command import Running
from support.polling import eventually

Document = dict[str, Any]

ORDERS = 1_000
CUSTOMERS = 7
KILLS = 5
PATIENCE = 120.0

RULES = """
name: tell
on: {collection: SHOP.orders, operations: insert}
do:
  - publish: {topic: ORDERS, key: "{{ document.customer }}", message: "{{ document }}"}
---
name: store
on: {topic: ORDERS}
do:
  - sink: {into: SHOP.copies, key: _id}
  - sink: {into: SHOP.journal, mode: insert}
---
name: count
on: {topic: ORDERS, group: books}
do:
  - write:
      into: SHOP.totals
      update: {$inc: {orders: 1}, $push: {seen: "{{ message.body._id }}"}}
      key: {_id: "{{ message.key }}"}
      upsert: true
"""

DELIVERIES = 4 * ORDERS


async def test_kills_at_any_time_double_no_message_and_lose_none(shop: Shop) -> None:
    """Five kills while orders are published, stored and counted; the order of each customer is kept."""
    chance = random.Random(6)
    orders = [{"_id": number, "customer": chance.randrange(CUSTOMERS)} for number in range(ORDERS)]
    shop.rule("rules", RULES)
    running: Running = shop.watch()
    await shop.orders.insert_many(orders)
    for kill in range(1, KILLS + 1):
        done = DELIVERIES * kill // (KILLS + 2) + chance.randrange(50)

        async def far_enough(done: int = done) -> bool:
            return await shop.deliveries.count_documents({"open": {"$exists": False}}) >= done

        await eventually(far_enough, PATIENCE)
        running.kill()
        running = shop.watch()

    async def all_settled() -> bool:
        return await shop.deliveries.count_documents({"open": {"$exists": False}}) >= DELIVERIES

    await eventually(all_settled, PATIENCE)
    assert await shop.deliveries.count_documents({}) == DELIVERIES
    assert await shop.deliveries.distinct("status") == ["delivered"]
    messages = await shop.state[collection_of("ORDERS")].find({}).sort("offset").to_list()
    assert sorted(message["body"]["_id"] for message in messages) == list(range(ORDERS))
    assert [message["offset"] for message in messages] == list(range(1, ORDERS + 1))
    assert await shop.database["copies"].find({}).sort("_id").to_list() == orders
    journal = await shop.database["journal"].find({}).to_list()
    assert {entry["_id"] for entry in journal} == {message["_id"] for message in messages}
    totals = await shop.database["totals"].find({}).to_list()
    for total in totals:
        of_customer = [m["body"]["_id"] for m in messages if m["key"] == total["_id"]]
        assert total["seen"] == of_customer
        assert total["orders"] == len(of_customer)
