"""Collections and databases dropped, renamed and made again while they are written to (30 to 33, 66).

Every insert that MongoDB acknowledged has to be delivered, before and after.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from pymongo.errors import OperationFailure

from acceptance.shop import Shop
from faults.receipts import first_receipts, hook_rule, receipts, twice_under_two_ids
from support.polling import eventually

PATIENCE = 60.0
DATABASE_DROP_PENDING = 215
NAMESPACE_GONE = (26, 73)  # NamespaceNotFound, InvalidNamespace: the collection was moved away this moment

Change = Callable[[Shop], Awaitable[None]]


class Load:
    """Inserts into `orders`, one after the other; `written` are those that MongoDB acknowledged."""

    def __init__(self, shop: Shop) -> None:
        self.written: list[str] = []
        self._shop = shop
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Insert until stopped."""
        number = 0
        while not self._stopping.is_set():
            number += 1
            try:
                await self._shop.orders.insert_one({"_id": f"order-{number}", "step": number})
            except OperationFailure as error:
                if error.code not in (DATABASE_DROP_PENDING, *NAMESPACE_GONE):
                    raise
            else:
                self.written.append(f"order-{number}")
            await asyncio.sleep(0)

    async def more(self, count: int = 50) -> None:
        """Return when so many more were written."""
        enough = len(self.written) + count
        await eventually(lambda: len(self.written) >= enough)

    def stop(self) -> None:
        """Insert no more."""
        self._stopping.set()


@asynccontextmanager
async def under_load(shop: Shop) -> AsyncIterator[Load]:
    """Inserts all the while."""
    load = Load(shop)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run())
        await load.more()
        try:
            yield load
            await load.more()
        finally:
            load.stop()


async def drop(shop: Shop) -> None:
    await shop.orders.drop()


async def drop_and_create_again(shop: Shop) -> None:
    await shop.orders.drop()
    with suppress(OperationFailure):  # an insert may be quicker
        await shop.database.command("create", "orders", changeStreamPreAndPostImages={"enabled": True})


async def rename_away_and_back(shop: Shop) -> None:
    await shop.orders.rename("orders_old")
    await shop.database["orders_old"].rename("orders", dropTarget=True)


async def rename_over_it(shop: Shop) -> None:
    await shop.database["other"].insert_one({})
    await shop.database["other"].rename("orders", dropTarget=True)


async def drop_the_database(shop: Shop) -> None:
    await shop.database.client.drop_database(shop.database.name)


async def index_and_modify(shop: Shop) -> None:
    await shop.orders.create_index("step")
    await shop.database.command("collMod", "orders", changeStreamPreAndPostImages={"enabled": True})
    await shop.orders.drop_index("step_1")


CHANGES: dict[str, Change] = {
    "drop": drop,
    "drop and create": drop_and_create_again,
    "rename away and back": rename_away_and_back,
    "rename over": rename_over_it,
    "drop the database": drop_the_database,
    "index and modify": index_and_modify,
}


@pytest.mark.parametrize("collections", ["SHOP.orders", "'*.orders'"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_inserts_before_and_after_are_all_delivered(
    change: Change, collections: str, shop: Shop
) -> None:
    """Three times in a row, for a stream over the database and one over the deployment."""
    hook_rule(shop, collections=collections, operations="[insert]")
    running = shop.watch()
    async with under_load(shop) as load:
        for _ in range(3):
            await change(shop)
            await load.more()

    def missing() -> set[str]:
        return set(load.written) - {receipt.key for receipt in receipts(shop)}

    await eventually(lambda: not missing(), PATIENCE)
    assert twice_under_two_ids(shop, ["key", "collection"]) == []
    assert len(receipts(shop)) == len(first_receipts(shop))
    assert running.code is None


async def test_an_engine_that_was_away_when_its_database_was_dropped_goes_on(shop: Shop) -> None:
    """Killed before the drop, started behind it; then killed again and started at the position after it."""
    hook_rule(shop, operations="[insert]")
    running = shop.watch()
    await shop.orders.insert_one({"_id": "before", "step": 1})
    await eventually(lambda: receipts(shop))
    running.kill()
    await shop.orders.insert_one({"_id": "away", "step": 2})
    await drop_the_database(shop)
    await shop.orders.insert_one({"_id": "new", "step": 3})

    running = shop.watch()
    await eventually(partial(keys_are, shop, "before", "away", "new"))
    assert running.terminate() == 0
    shop.watch()
    await shop.orders.insert_one({"_id": "last", "step": 4})
    await eventually(partial(keys_are, shop, "before", "away", "new", "last"))


def keys_are(shop: Shop, *keys: str) -> bool:
    """Whether the first deliveries are for these documents: other lanes, so in any order."""
    return sorted(receipt.key for receipt in first_receipts(shop)) == sorted(keys)


async def test_a_database_dropped_over_and_over_keeps_nothing_busy(shop: Shop) -> None:
    """Every drop ends the stream; each time it is opened behind that, at once and once."""
    hook_rule(shop, operations="[insert]")
    running = shop.watch()
    for number in range(20):
        await shop.orders.insert_one({"_id": str(number), "step": number})
        await drop_the_database(shop)
    await eventually(partial(keys_are, shop, *map(str, range(20))))
    assert running.terminate() == 0
    assert len(receipts(shop)) == 20
