"""Watching a shop in several partitions, and what its web server was told of each document."""

import re
from collections import defaultdict

from acceptance.shop import Shop
from support.command import Running
from support.polling import eventually, eventually_sync

STEPS = """
on: {collection: SHOP.orders, operations: [insert, update]}
do:
  - webhook:
      url: "URL"
      body: {order: "{{ event.key._id }}", step: "{{ document.step }}"}
retry: {attempts: 1000, first_delay: 20ms, max_delay: 200ms}
"""


def steps_rule(shop: Shop) -> None:
    """A rule that tells the shop's web server of every step of every order."""
    shop.rule("steps", STEPS.replace("URL", shop.web.url))


def begin(shop: Shop, *arguments: str) -> Running:
    """Start `mtrigger watch` and return at once."""
    return shop.command.start("watch", "--rules", "triggers/", *arguments, env=shop.environment)


def until_watched(running: Running, partitions: int) -> Running:
    """Wait until it watches so many partitions."""

    def all_watched() -> bool:
        assert running.code is None, f"it ended with {running.code}"
        return len(re.findall(r" watching .* from .* on", running.output)) >= partitions

    eventually_sync(all_watched)
    return running


async def take_steps(shop: Shop, orders: range, steps: range) -> None:
    """Insert the orders at the first of the steps 1, 2, …, or let them take all `steps` together."""
    for step in steps:
        if step == 1:
            await shop.orders.insert_many([{"_id": order, "step": 1} for order in orders])
        else:
            in_range = {"_id": {"$gte": orders.start, "$lt": orders.stop}}
            await shop.orders.update_many(in_range, {"$set": {"step": step}})


def told(shop: Shop) -> dict[int, list[int]]:
    """The steps each order was said to have taken, in the order they came, repeats of a delivery left out."""
    steps: dict[int, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for request in list(shop.web.requests):
        delivery = request.headers["webhook-id"]
        if request.status == 200 and delivery not in seen:
            seen.add(delivery)
            body = request.json()
            steps[int(body["order"])].append(int(body["step"]))
    return dict(steps)


def repeated(shop: Shop) -> int:
    """How many deliveries came more than once."""
    ids = [request.headers["webhook-id"] for request in list(shop.web.requests) if request.status == 200]
    return len(ids) - len(set(ids))


async def all_told(shop: Shop, orders: int, steps: int) -> None:
    """Wait until every step of every order has come, and check that each came once and in its turn."""

    def enough() -> bool:
        return sum(map(len, told(shop).values())) >= orders * steps

    await eventually(enough)
    assert told(shop) == {order: list(range(1, steps + 1)) for order in range(orders)}
