"""Writes are made exactly once, whenever the process is killed.

Counters are the sharpest witness: an `$inc` that is made twice or never shows for ever.
"""

import random
import signal
from collections import Counter
from typing import Any

import pytest

from acceptance.shop import Shop
from support.command import Running
from support.polling import eventually

Document = dict[str, Any]

ORDERS = 3_000
CUSTOMERS = 7
KILLS = 6
PATIENCE = 120.0

RULE = """
name: books
on: {collection: SHOP.orders, operations: insert}
do:
  - write:
      into: SHOP.totals
      update: {$inc: {orders: 1, amount: "{{ document.amount }}"}, $push: {seen: "{{ document._id }}"}}
      key: {_id: "{{ document.customer }}"}
      upsert: true
  - write: {into: SHOP.journal, insert: {order: "{{ document._id }}"}}
  - write: {into: SHOP.latest, replace: {customer: "{{ document.customer }}"}, key: customer, upsert: true}
"""


def orders(chance: random.Random) -> list[Document]:
    """Orders of a few customers, so that many effects meet in one document."""
    return [
        {"_id": number, "customer": chance.randrange(CUSTOMERS), "amount": chance.randrange(1, 100)}
        for number in range(ORDERS)
    ]


async def settled(shop: Shop, count: int) -> bool:
    """Whether so many deliveries are done."""
    return await shop.deliveries.count_documents({"open": {"$exists": False}}) >= count


@pytest.mark.parametrize("seed", [1, 2])
async def test_kills_at_any_time_change_no_count_and_double_no_document(shop: Shop, seed: int) -> None:
    """Six kills while three writes are owed for each of three thousand orders."""
    chance = random.Random(seed)
    placed = orders(chance)
    shop.rule("books", RULE)
    running: Running = shop.watch()
    await shop.orders.insert_many(placed)
    for kill in range(1, KILLS + 1):
        done = 3 * ORDERS * kill // (KILLS + 2) + chance.randrange(50)

        async def far_enough(done: int = done) -> bool:
            return await settled(shop, done)

        await eventually(far_enough, PATIENCE)
        running.kill()
        running = shop.watch()

    async def all_settled() -> bool:
        return await settled(shop, 3 * ORDERS)

    await eventually(all_settled, PATIENCE)
    assert await shop.deliveries.distinct("status") == ["delivered"]
    counted = Counter(order["customer"] for order in placed)
    amounts = Counter[int]()
    for order in placed:
        amounts[order["customer"]] += order["amount"]
    totals = await shop.database["totals"].find({}).to_list()
    assert {total["_id"]: total["orders"] for total in totals} == counted
    assert {total["_id"]: total["amount"] for total in totals} == amounts
    seen = sorted(number for total in totals for number in total["seen"])
    assert seen == list(range(ORDERS))
    journal = await shop.database["journal"].find({}).to_list()
    assert sorted(entry["order"] for entry in journal) == list(range(ORDERS))
    assert sorted(await shop.database["latest"].distinct("customer")) == sorted(counted)


async def test_a_transaction_that_a_killed_process_left_open_holds_nothing_up(shop: Shop) -> None:
    """It would hold its documents for a minute. The next process ends it, by the session written down."""
    shop.rule("books", RULE)
    running = shop.watch()
    await shop.orders.insert_one({"_id": 0, "customer": 1, "amount": 5})

    async def noted() -> Document | None:
        return await shop.state["effects"].find_one({"session": {"$exists": True}})

    row = await eventually(noted)
    running.terminate()
    async with shop.database.client.start_session() as session:
        await session.start_transaction()
        await shop.database["totals"].update_one({"_id": 1}, {"$inc": {"orders": 100}}, session=session)
        assert session.session_id is not None
        left_behind = {
            "_id": "session left",
            "partition": row["partition"],
            "session": session.session_id["id"],
        }
        await shop.state["effects"].insert_one(left_behind)
        shop.watch()
        await shop.orders.insert_one({"_id": 1, "customer": 1, "amount": 5})

        async def done() -> bool:
            return await settled(shop, 6)

        await eventually(done)
        assert await shop.deliveries.distinct("log.number") == [1]  # none was tried twice
        total = await shop.database["totals"].find_one({"_id": 1})
        assert total is not None
        assert total["orders"] == 2
        await session.abort_transaction()


async def test_an_owner_that_was_stopped_in_the_middle_makes_nothing_twice(shop: Shop) -> None:
    """SIGSTOP while effects are on their way, another one takes over, SIGCONT."""
    shop.rule("books", RULE)
    old = shop.watch("--lease", "2s")
    placed = orders(random.Random(3))
    await shop.orders.insert_many(placed)

    async def some() -> bool:
        return await settled(shop, ORDERS)

    async def all_of_them() -> bool:
        return await settled(shop, 3 * ORDERS)

    await eventually(some, PATIENCE)
    old.send(signal.SIGSTOP)
    new = shop.command.start("watch", "--rules", "triggers/", "--lease", "2s", env=shop.environment)
    new.wait_for_line("taking over from")
    new.wait_for_line(r"watching .* from .* on")
    old.send(signal.SIGCONT)
    await eventually(all_of_them, PATIENCE)
    assert old.wait() == 75
    totals = await shop.database["totals"].find({}).to_list()
    assert sorted(number for total in totals for number in total["seen"]) == list(range(ORDERS))
    assert sum(total["orders"] for total in totals) == ORDERS
    assert await shop.database["journal"].count_documents({}) == ORDERS


async def test_others_that_write_the_same_documents_cost_no_count(shop: Shop) -> None:
    """Conflicts with somebody else's writes are tried again until both are in."""
    shop.rule("books", RULE)
    shop.watch()
    totals = shop.database["totals"]
    await totals.insert_one({"_id": 1, "orders": 0, "amount": 0})
    for number in range(300):
        await shop.orders.insert_one({"_id": number, "customer": 1, "amount": 1})
        await totals.update_one({"_id": 1}, {"$inc": {"others": 1}})

    async def done() -> bool:
        return await settled(shop, 900)

    await eventually(done, PATIENCE)
    total = await totals.find_one({"_id": 1})
    assert total is not None
    assert (total["orders"], total["others"]) == (300, 300)
