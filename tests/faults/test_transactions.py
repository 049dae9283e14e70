"""Transactions of a thousand operations, and kills in the middle of them (fault 41).

All operations of a transaction have one cluster time: whoever resumed at "the time behind the last one"
would lose the rest. The position is a token, and has a place for each operation.
"""

from functools import partial
from typing import Any

from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from acceptance.shop import Shop
from faults.receipts import Receipt, first_receipts, hook_rule, receipts, twice_under_two_ids
from support.polling import eventually

OPERATIONS = 1_000
COLLECTIONS = ("orders", "customers", "invoices")
PATIENCE = 90.0


async def thousand_steps_on_one_document(shop: Shop, session: AsyncClientSession) -> None:
    """One insert, then updates; among them inserts elsewhere."""
    await shop.orders.insert_one({"_id": "one", "step": 1}, session=session)
    updates = [UpdateOne({"_id": "one"}, {"$set": {"step": step}}) for step in range(2, OPERATIONS + 1)]
    await shop.orders.bulk_write(updates, ordered=True, session=session)


async def documents_in_three_collections(shop: Shop, session: AsyncClientSession) -> None:
    """One document after the other, in turn."""
    for number in range(0, OPERATIONS, 50):
        for collection in COLLECTIONS:
            await shop.database[collection].bulk_write(
                [InsertOne({"_id": step, "step": step}) for step in range(number, number + 50)],
                session=session,
            )


async def in_a_transaction(shop: Shop, work: Any) -> None:
    """Run `work` in one transaction."""
    for collection in COLLECTIONS:
        await shop.database[collection].find_one()
    async with shop.database.client.start_session() as session:
        await session.with_transaction(lambda inner: work(shop, inner))


def has_received(shop: Shop, count: int) -> bool:
    """Whether that many deliveries came, repeats not counted."""
    return len(first_receipts(shop)) >= count


def steps(found: list[Receipt]) -> list[int]:
    return [int(receipt.step) for receipt in found]


async def test_a_thousand_operations_on_one_document_are_delivered_in_order_once(shop: Shop) -> None:
    """Inserts and updates; what an update saw is what it set, not what came later."""
    hook_rule(shop)
    shop.watch()
    await in_a_transaction(shop, thousand_steps_on_one_document)
    await eventually(lambda: len(receipts(shop)) == OPERATIONS, PATIENCE)
    assert steps(receipts(shop)) == list(range(1, OPERATIONS + 1))
    times = await shop.deliveries.distinct("event.cluster_time")
    assert len(times) == 1


async def test_kills_in_the_middle_of_a_transaction_lose_nothing_and_keep_the_order(shop: Shop) -> None:
    """Killed with the first delivery and with the 500th; every repeat has its first id."""
    hook_rule(shop)
    running = shop.watch()
    await in_a_transaction(shop, thousand_steps_on_one_document)
    for count in (1, 500):
        await eventually(partial(has_received, shop, count), PATIENCE)
        running.kill()
        running = shop.watch()
    await eventually(lambda: len(first_receipts(shop)) == OPERATIONS, PATIENCE)
    assert steps(first_receipts(shop)) == list(range(1, OPERATIONS + 1))
    assert twice_under_two_ids(shop, ["key", "step"]) == []


async def test_a_transaction_over_several_collections_is_complete_in_each(shop: Shop) -> None:
    """The stream is one for all of them; a kill while it is being read, and another one."""
    hook_rule(shop, collections="[SHOP.orders, SHOP.customers, SHOP.invoices]")
    running = shop.watch()
    await in_a_transaction(shop, documents_in_three_collections)
    for _ in range(2):
        await eventually(partial(has_received, shop, len(first_receipts(shop)) + 1), PATIENCE)
        running.kill()
        running = shop.watch()
    await eventually(lambda: len(first_receipts(shop)) == 3 * OPERATIONS, PATIENCE)
    for collection in COLLECTIONS:
        found = [receipt for receipt in first_receipts(shop) if receipt.collection == collection]
        assert sorted(steps(found)) == list(range(OPERATIONS))
    assert twice_under_two_ids(shop, ["collection", "key"]) == []


async def test_an_aborted_transaction_is_never_seen(shop: Shop) -> None:
    """Only what was committed happened."""
    hook_rule(shop)
    shop.watch()
    await shop.orders.find_one()
    async with shop.database.client.start_session() as session:
        await session.start_transaction()
        await thousand_steps_on_one_document(shop, session)
        await session.abort_transaction()
    await shop.orders.insert_one({"_id": "after", "step": 0})
    await eventually(lambda: receipts(shop))
    assert [receipt.key for receipt in receipts(shop)] == ["after"]
