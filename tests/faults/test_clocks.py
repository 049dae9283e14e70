"""Clocks that jump, through the installed command (row 46 of the catalogue of faults)."""

from collections import Counter
from pathlib import Path

import pytest

from acceptance.shop import Shop
from support.command import Running
from support.http_sink import Answer
from support.polling import eventually
from support.set_clock import SetClock

HOOK_RULE = """
on: {collection: SHOP.orders}
do:
  - webhook: {url: "HOOK/orders", body: {id: "{{ document._id }}"}}
retry: {attempts: 10000, first_delay: 20ms, max_delay: 200ms}
"""


def watch(shop: Shop, clock: SetClock) -> Running:
    """Start a watcher on a machine with this clock."""
    environment = {**shop.environment, **clock.environment}
    return shop.command.start("watch", "--rules", "triggers/", "--lease", "2s", env=environment)


async def all_delivered(shop: Shop, number: int) -> None:
    """Wait until so many deliveries are delivered, and none is open."""

    async def settled() -> bool:
        done = await shop.deliveries.count_documents({"status": "delivered"})
        return done == number and not await shop.deliveries.count_documents({"open": True})

    await eventually(settled, patience=60)


@pytest.fixture
def clocks(tmp_path: Path) -> tuple[SetClock, SetClock]:
    """Those of two machines."""
    return SetClock(tmp_path / "clock-1"), SetClock(tmp_path / "clock-2")


async def test_clocks_that_jump_lose_nothing_delay_nothing_and_move_no_stream(
    shop: Shop, clocks: tuple[SetClock, SetClock]
) -> None:
    """A day on, a day back, a year on, while retries wait: they are made in their time all the same, none is
    too old, and whoever stands by, with a clock that jumps the other way, goes on standing by."""
    ours, theirs = clocks
    shop.rule("order", HOOK_RULE.replace("HOOK", shop.web.url))
    active = watch(shop, ours)
    active.wait_for_line(r"watching .* from .* on")
    waiting = watch(shop, theirs)
    waiting.wait_for_line("standing by")

    async def ten_are_retried() -> bool:
        return await shop.deliveries.count_documents({"status": "retrying", "attempts": {"$gt": 2}}) == 10

    received: Counter[str] = Counter()
    for round_, (jump, other) in enumerate((("+1d", "-1d"), ("-1d", "+1y"), ("+1y", "-1y"))):
        shop.web.answer_always(Answer(500))
        await shop.orders.insert_many([{"_id": 20 * round_ + number} for number in range(10)])
        await eventually(ten_are_retried)
        shop.web.stop()  # from here on it cannot even be reached, which costs no attempts
        shop.web.requests.clear()
        shop.web.answer_always(Answer(200))
        ours.set(jump)
        theirs.set(other)
        await shop.orders.insert_many([{"_id": 20 * round_ + number} for number in range(10, 20)])
        shop.web.start()
        await all_delivered(shop, 20 * round_ + 20)
        received.update(request.headers["webhook-id"] for request in list(shop.web.requests))
        shop.web.requests.clear()

    assert len(received) == 60
    assert set(received.values()) == {1}
    assert active.code is None
    assert "taking over" not in waiting.stderr
    assert active.terminate() == 0
    waiting.wait_for_line("taking over")
    assert waiting.terminate() == 0
