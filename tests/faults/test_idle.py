"""A quiet rule beside a busy neighbour: its position moves all the same, and never falls out of the oplog."""

from collections.abc import Awaitable, Callable

import pytest

from acceptance.shop import Shop
from faults.oplogs import lose_history, make_noise, oldest, owed_for, position
from support.polling import eventually

Noise = Callable[[Shop], Awaitable[None]]


async def elsewhere(shop: Shop) -> None:
    """Changes of another collection."""
    await make_noise(shop.database.client)


async def small_orders(shop: Shop) -> None:
    """Changes of the watched collection that the rule's condition keeps out, on the server already."""
    await shop.orders.insert_many([{"amount": 5, "filler": "x" * 20_000} for _ in range(100)])


async def outlast_history(shop: Shop, noise: Noise) -> None:
    """Make noise until the oplog holds nothing from before the watch began."""
    began = (await position(shop))["cluster_time"]
    await noise(shop)
    await lose_history(shop.database.client, began)
    await noise(shop)


@pytest.mark.parametrize("noise", [elsewhere, small_orders])
async def test_an_idle_position_outlives_the_history_it_began_in(tiny: Shop, noise: Noise) -> None:
    """Fault 42: killed after a silence longer than the oplog, it goes on without a gap."""
    running = tiny.watch()
    await outlast_history(tiny, noise)
    await eventually(lambda: _is_in_the_oplog(tiny))
    running.kill()
    await tiny.orders.insert_one({"_id": "missed", "amount": 12_000})

    running = tiny.watch()

    await tiny.delivery({"event.key._id": "missed"})
    assert await owed_for(tiny) == ["missed"]
    assert await tiny.state["gaps"].count_documents({}) == 0
    assert running.terminate() == 0


async def test_a_stop_in_good_order_saves_the_idle_position(tiny: Shop) -> None:
    """Fault 42: between two idle checkpoints, too."""
    running = tiny.watch()
    await outlast_history(tiny, elsewhere)
    assert running.terminate() == 0
    assert await _is_in_the_oplog(tiny)
    await tiny.orders.insert_one({"_id": "missed", "amount": 12_000})

    tiny.watch()

    await tiny.delivery({"event.key._id": "missed"})


async def _is_in_the_oplog(shop: Shop) -> bool:
    return bool((await position(shop))["cluster_time"] > await oldest(shop.database.client))
