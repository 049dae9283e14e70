"""Rules that keep quiet: throttled, counted, too old, outside their hours; through the installed command."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acceptance.shop import Shop
from support.polling import eventually

THROTTLED = """
name: big-order
on: {collection: SHOP.orders}
throttle: {every: 1h, per: customer.id}
do:
  - email:
      to: sales@example.com
      subject: "Big order {{ document.order_id }} ({{ held_back }} held back)"
      text: "{{ document.order_id }}"
retry: {first_delay: 50ms, max_delay: 200ms}
"""

COUNTED = """
name: big-order
on: {collection: SHOP.orders}
count: {at_least: 5, within: 1h, per: customer.id}
do:
  - email:
      to: sales@example.com
      subject: "Big order {{ document.order_id }}, {{ count }} of {{ group['customer.id'] }}"
      text: "{{ document.order_id }}"
"""


def order(number: Any, customer: str = "ann", **more: Any) -> dict[str, Any]:
    """An order of a customer."""
    return {"order_id": number, "customer": {"id": customer}, **more}


def subjects(shop: Shop) -> list[str]:
    """Those of the mails received so far."""
    return [str(mail["Subject"]) for mail in shop.messages()]


async def settled(shop: Shop, **counts: int) -> None:
    """Wait until the outbox holds so many of each status, and no others."""

    async def reached() -> bool:
        return await standing(shop) == counts

    await eventually(reached)


async def standing(shop: Shop) -> dict[str, int]:
    """How many deliveries stand where."""
    rows = await shop.deliveries.find({}, {"status": 1}).to_list()
    return dict(Counter(row["status"] for row in rows))


async def test_a_throttled_customer_is_mailed_once_and_the_next_mail_says_what_was_held_back(
    shop: Shop,
) -> None:
    """Each customer for itself. The window is put to its end in the memory: nobody waits for an hour."""
    shop.rule("big-order", THROTTLED)
    watch = shop.watch()
    for number in (1, 2, 3):
        await shop.orders.insert_one(order(number))
    await shop.orders.insert_one(order(4, "bob"))
    await settled(shop, delivered=2, suppressed=2)
    assert sorted(subjects(shop)) == ["Big order 1 (0 held back)", "Big order 4 (0 held back)"]

    assert watch.terminate() == 0
    ended = datetime.now(UTC) - timedelta(hours=2)
    await shop.state["rule_state"].update_many({}, {"$set": {"sent_at": ended}})
    shop.watch()
    await shop.orders.insert_one(order(5))

    await settled(shop, delivered=3, suppressed=2)
    assert subjects(shop)[-1] == "Big order 5 (2 held back)"


async def test_what_was_throttled_is_listed_with_its_reason(shop: Shop) -> None:
    """In a line each, as JSON, and with all there is to it."""
    shop.rule("big-order", THROTTLED)
    shop.watch()
    await shop.orders.insert_many([order(1), order(2)])
    await settled(shop, delivered=1, suppressed=1)
    reason = "throttled: one every 1h for customer.id = ann"

    listed = shop.run("deliveries", "list", "--status", "suppressed")
    assert reason in listed.stdout
    (found,) = json.loads(shop.run("deliveries", "list", "--status", "suppressed", "--json").stdout)[
        "deliveries"
    ]
    assert (found["reason"], found["error"]) == (reason, None)
    assert f"reason     {reason}" in shop.run("deliveries", "show", found["id"]).stdout
    (line,) = json.loads(shop.run("status", "--json").stdout)["lines"]
    assert line["counts"] == {"delivered": 1, "suppressed": 1}


async def test_only_a_mail_that_was_sent_throttles_the_next(shop: Shop) -> None:
    """The first one is refused for good and does not count; the second is refused once and tried again."""
    shop.rule("big-order", THROTTLED)
    shop.mail.answer_next("550 5.7.1 not today")
    shop.watch()
    await shop.orders.insert_one(order(1))
    await settled(shop, dead=1)
    shop.mail.answer_next("451 4.3.0 try again later")

    await shop.orders.insert_many([order(2), order(3)])

    await settled(shop, dead=1, delivered=1, suppressed=1)
    assert subjects(shop) == ["Big order 2 (0 held back)"]


async def test_a_window_outlives_a_crash(shop: Shop) -> None:
    """Killed within it, three times: the customer is not mailed again, and no order is forgotten or counted
    twice."""
    shop.rule("big-order", THROTTLED)
    for number in range(1, 13):
        if number % 4 == 1:
            watch = shop.watch()
        await shop.orders.insert_one(order(number))
        if number % 4 == 0:
            await settled(shop, delivered=1, suppressed=number - 1)
            watch.kill()
    (memory,) = await shop.state["rule_state"].find({}).to_list()
    assert memory["held_back"] == 11
    assert subjects(shop) == ["Big order 1 (0 held back)"]


async def test_a_rule_that_counts_mails_every_fifth(shop: Shop) -> None:
    """Of each customer; and a crash in the middle of a window neither forgets nor repeats any."""
    shop.rule("big-order", COUNTED)
    watch = shop.watch()
    for number in (1, 2, 3):
        await shop.orders.insert_one(order(number))
    await shop.orders.insert_many([order(f"b{number}", "bob") for number in range(4)])
    await settled(shop, suppressed=7)
    watch.kill()
    shop.watch()

    for number in range(4, 12):
        await shop.orders.insert_one(order(number))

    await settled(shop, suppressed=13, delivered=2)
    assert sorted(subjects(shop)) == ["Big order 10, 5 of ann", "Big order 5, 5 of ann"]
    row = await shop.delivery({"event.document": {"$exists": True}, "reason": {"$regex": "^counted: 4 of 5"}})
    assert row["status"] == "suppressed"


async def test_changes_that_grew_too_old_while_nothing_ran_are_left_out(shop: Shop) -> None:
    """The engine is stopped while they come; the age is the shortest there is, so nobody waits for a day."""
    shop.rule("big-order", THROTTLED.replace("throttle: {every: 1h, per: customer.id}", "max_age: 1h"))
    watch = shop.watch()
    await shop.orders.insert_one(order(1))
    await settled(shop, delivered=1)
    assert watch.terminate() == 0
    await shop.orders.insert_many([order(2), order(3)])
    shop.rule("big-order", THROTTLED.replace("throttle: {every: 1h, per: customer.id}", "max_age: 1ms"))

    shop.watch()

    await settled(shop, delivered=1, suppressed=2)
    listed = shop.run("deliveries", "list", "--status", "suppressed")
    assert listed.stdout.count("the change is older than 1ms (max_age)") == 2


def hours(begin: int, end: int, otherwise: str) -> str:
    """The rule with hours that begin and end so many hours from now."""
    now = datetime.now(UTC)
    first, last = (f"{now + timedelta(hours=ahead):%H:%M}" for ahead in (begin, end))
    active = f'active: {{hours: "{first}-{last}", otherwise: {otherwise}}}'
    return THROTTLED.replace("throttle: {every: 1h, per: customer.id}", active)


async def test_what_becomes_due_outside_the_hours_waits_and_goes_when_the_rule_is_changed(shop: Shop) -> None:
    """It is owed, in its place, without an attempt; hours that are opened count at once."""
    shop.rule("big-order", hours(2, 4, "hold"))
    shop.watch()
    await shop.orders.insert_many([order(1), order(2)])
    await settled(shop, pending=2)
    await shop.orders.insert_one(order(3))
    await settled(shop, pending=3)
    assert not subjects(shop)

    shop.rule("big-order", hours(-2, 2, "hold"))

    await settled(shop, delivered=3)
    rows = await shop.deliveries.find({}).to_list()
    assert [row["attempts"] for row in rows] == [1, 1, 1]


async def test_what_becomes_due_outside_the_hours_can_be_left_out(shop: Shop) -> None:
    """And says so."""
    shop.rule("big-order", hours(2, 4, "skip"))
    shop.watch()

    await shop.orders.insert_one(order(1))

    await settled(shop, suppressed=1)
    row = await shop.delivery({})
    assert row["reason"] == "outside the rule's active hours"


@pytest.mark.parametrize("rule", [THROTTLED, COUNTED], ids=["throttle", "count"])
async def test_several_partitions_refuse_what_spans_documents(shop: Shop, rule: str) -> None:
    """Before anything is begun, with ways out."""
    shop.rule("big-order", rule)

    done = shop.run("watch", "--rules", "triggers/", "--partitions", "2")

    assert done.code == 64
    assert "keeps account for each customer.id, over several documents" in done.output
    assert "--state-db of its own" in done.output


async def test_crashes_at_any_moment_lose_no_count(shop: Shop) -> None:
    """Two thousand orders of twenty customers, five kills, two rules: every tenth order of a customer fires,
    and no other; of each customer one is sent, and all others are held back, and counted."""
    log = "do:\n  - log: fired\n"
    shop.rule("counted", COUNTED.replace("at_least: 5", "at_least: 10").split("do:")[0] + log)
    shop.rule("throttled", THROTTLED.replace("big-order", "throttled").split("do:")[0] + log)
    orders = [order(number, f"c{number % 20}") for number in range(2_000)]
    for round_ in range(5):
        watch = shop.watch()
        for start in range(400 * round_, 400 * (round_ + 1), 100):
            await shop.orders.insert_many(orders[start : start + 100])
            await asyncio.sleep(0.03 * round_)  # the kills come at different points of the work
        watch.kill()
    shop.watch()

    await settled(shop, delivered=200 + 20, suppressed=1_800 + 1_980)

    fired = shop.deliveries.find({"rule": "big-order", "status": "delivered"}, {"event.document": 1})
    numbers = sorted([row["event"]["document"]["order_id"] async for row in fired])
    assert numbers == [number for number in range(2_000) if (number // 20) % 10 == 9]
    memories = await shop.state["rule_state"].find({"rule": "throttled"}).to_list()
    assert [memory["held_back"] for memory in memories] == [99] * 20


@pytest.mark.parametrize("before", ["", "throttle: {every: 1h, per: order_id}"], ids=["none", "another"])
async def test_what_was_owed_before_the_rule_got_its_throttle_is_throttled_as_well(
    shop: Shop, before: str
) -> None:
    """Rules are throttled because they have too much to say; what waits is grouped anew."""
    shop.rule("big-order", THROTTLED.replace("throttle: {every: 1h, per: customer.id}", before))
    shop.run("pause", "big-order")
    watch = shop.watch()
    await shop.orders.insert_many([order(number) for number in range(5)])
    await settled(shop, pending=5)

    shop.rule("big-order", THROTTLED)
    watch.wait_for_line("rules reloaded")
    shop.run("resume", "big-order")

    await settled(shop, delivered=1, suppressed=4)
    assert subjects(shop) == ["Big order 0 (0 held back)"]
