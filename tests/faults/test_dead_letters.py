"""Dead letters that speak: who is told of a death, once, whatever happens in between (rows 36, 37, 52 of the
catalogue of faults)."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from acceptance.shop import Shop
from mtrigger.stores.base import ATTEMPTS_LOGGED
from support.fail_points import failing_commands
from support.http_sink import Answer
from support.polling import eventually

ORDER_RULE = """
on: {collection: SHOP.orders}
do: [webhook: {url: "HOOK/orders"}]
retry: {attempts: 3, first_delay: 20ms, max_delay: 20ms}
"""

TELL_RULE = """
on: {dead_letters: true}
do:
  - webhook:
      url: "HOOK/letters"
      body:
        delivery: "{{ document.delivery }}"
        rule: "{{ document.rule }}"
        error: "{{ document.error }}"
        attempts: "{{ document.attempts }}"
        order: "{{ document.document.order_id }}"
"""

WAITED_OUT = 262
"""ExceededTimeLimit: an error that passes, and says nothing about who is primary."""

APP_NAME = "mtrigger of the dead letters"


def hook_rule(shop: Shop, name: str, text: str) -> None:
    """A rule whose HOOK is the shop's web server."""
    shop.rule(name, text.replace("HOOK", shop.web.url))


def refuse_orders(shop: Shop, status: int = 500) -> None:
    """Whatever comes to /orders is refused; everything else is taken."""
    shop.web.answer_path("/orders", Answer(status))


def letters(shop: Shop) -> list[dict[str, Any]]:
    """What /letters was told, in order."""
    return [request.json() for request in list(shop.web.requests) if request.path == "/letters"]


async def statuses(shop: Shop, rule: str) -> dict[str, int]:
    """How many deliveries of a rule stand where."""
    found: dict[str, int] = {}
    async for row in shop.deliveries.find({"rule": rule}):
        found[row["status"]] = found.get(row["status"], 0) + 1
    return found


async def test_a_death_is_told_with_everything_about_it(shop: Shop) -> None:
    """Which delivery, of which rule, why, after how many attempts, and the document it was about."""
    hook_rule(shop, "order", ORDER_RULE)
    hook_rule(shop, "tell", TELL_RULE)
    refuse_orders(shop, 500)
    shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})

    (letter,) = await eventually(lambda: letters(shop))
    row = await shop.delivery({"rule": "order", "status": "dead"})

    assert letter == {
        "delivery": row["_id"],
        "rule": "order",
        "error": row["error"],
        "attempts": 3,
        "order": "SO-1",
    }
    assert "500" in row["error"]
    assert [attempt["number"] for attempt in row["log"]] == [1, 2, 3]


async def test_only_those_are_told_whose_names_and_condition_hold(shop: Shop) -> None:
    """`rules:` and `when:` narrow it; a rule of changes hears nothing of deaths."""
    hook_rule(shop, "order", ORDER_RULE)
    hook_rule(shop, "tell", TELL_RULE)
    named = TELL_RULE.replace("true}", "true, rules: [order]}")
    hook_rule(shop, "named", named)
    hook_rule(shop, "others", TELL_RULE.replace("true}", "true, rules: [elsewhere]}"))
    hook_rule(shop, "patient", named.replace("do:", "when: attempts > 3\ndo:"))
    shop.rule("elsewhere", "on: {collection: SHOP.nothing}\ndo: [log: x]\n")
    refuse_orders(shop)
    shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})

    await eventually(lambda: len(letters(shop)) == 2)
    await shop.delivery({"rule": "tell", "status": "delivered"})
    await shop.delivery({"rule": "named", "status": "delivered"})

    assert {row["rule"] async for row in shop.deliveries.find()} == {"order", "tell", "named"}


async def test_a_dead_letter_that_dies_is_told_to_nobody(shop: Shop) -> None:
    """No loop: two rules of dead letters, both with a target that refuses, are two dead rows and no more."""
    hook_rule(shop, "order", ORDER_RULE)
    hook_rule(shop, "tell", TELL_RULE + "retry: {attempts: 1}\n")
    hook_rule(shop, "tell-too", TELL_RULE + "retry: {attempts: 1}\n")
    shop.web.answer_always(Answer(404))
    shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})
    await shop.delivery({"rule": "tell", "status": "dead"})
    await shop.delivery({"rule": "tell-too", "status": "dead"})

    await shop.orders.insert_one({"order_id": "SO-2"})
    await eventually(lambda: _count(shop, {"status": "dead"}, 6))

    assert len(letters(shop)) == 4
    assert await shop.deliveries.count_documents({}) == 6


async def _count(shop: Shop, wanted: dict[str, Any], number: int) -> bool:
    return await shop.deliveries.count_documents(wanted) == number


@pytest.fixture
def named_shop(shop: Shop) -> Shop:
    """The shop, with an engine that faults can be meant for."""
    return replace(
        shop, uri=f"{shop.uri}{'&' if '?' in shop.uri else '?'}appname={APP_NAME.replace(' ', '%20')}"
    )


async def test_killed_between_the_letter_and_the_outcome_it_is_told_once(
    named_shop: Shop, client: AsyncMongoClient[dict[str, Any]]
) -> None:
    """The letter is durable before the death is. After the crash the delivery dies once more and owes nothing
    new; the letter is told, once."""
    shop = named_shop
    hook_rule(shop, "order", ORDER_RULE.replace("attempts: 3", "attempts: 1"))
    hook_rule(shop, "tell", TELL_RULE)
    refuse_orders(shop)
    running = shop.watch()
    outbox = f"{shop.state.name}.deliveries"
    async with failing_commands(
        client, ["update"], app_name=APP_NAME, namespace=outbox, errorCode=WAITED_OUT
    ):
        await shop.orders.insert_one({"order_id": "SO-1"})
        letter = await shop.delivery({"rule": "tell"})
        row = await shop.delivery({"rule": "order"})
        running.kill()
    assert (row["status"], letter["status"]) == ("pending", "pending")

    shop.watch()
    await shop.delivery({"rule": "order", "status": "dead"})
    await shop.delivery({"_id": letter["_id"], "status": "delivered"})

    assert [told["delivery"] for told in letters(shop)] == [row["_id"]]
    assert await shop.deliveries.count_documents({}) == 2


async def test_a_death_is_not_written_down_before_its_letter(
    named_shop: Shop, client: AsyncMongoClient[dict[str, Any]]
) -> None:
    """Row 52: while the letter cannot be stored, the delivery stays owed; nothing is dropped."""
    shop = named_shop
    hook_rule(shop, "order", ORDER_RULE.replace("attempts: 3", "attempts: 1"))
    hook_rule(shop, "tell", TELL_RULE)
    shop.web.answer_path("/orders", Answer(500, delay=2.0))  # so that it dies after the fault has begun
    running = shop.watch()
    outbox = f"{shop.state.name}.deliveries"
    await shop.orders.insert_one({"order_id": "SO-1"})
    await shop.delivery({"rule": "order"})
    async with failing_commands(
        client, ["insert"], app_name=APP_NAME, namespace=outbox, errorCode=WAITED_OUT
    ):
        running.wait_for_line("dead: ")
        running.wait_for_line("The state database was interrupted")
        row = await shop.delivery({"rule": "order"})
        assert row["status"] == "pending"
    await shop.delivery({"rule": "order", "status": "dead"})
    await shop.delivery({"rule": "tell", "status": "delivered"})

    assert len(letters(shop)) == 1


async def test_a_rule_that_cannot_render_dies_at_once_and_is_told(shop: Shop) -> None:
    """Rows 36 and 37: a template that fails is dead after one attempt, and others pass."""
    shop.rule(
        "broken",
        "on: {collection: SHOP.orders}\ndo: [log: '{{ document.missing.deeper }}']\n",
    )
    shop.rule("fine", "on: {collection: SHOP.orders}\ndo: [log: 'fine {{ document.order_id }}']\n")
    hook_rule(shop, "tell", TELL_RULE.replace("true}", "true, rules: broken}"))
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})

    (letter,) = await eventually(lambda: letters(shop))
    running.wait_for_line("fine SO-1")
    await shop.delivery({"rule": "fine", "status": "delivered"})

    assert (letter["rule"], letter["attempts"]) == ("broken", 1)
    assert "missing" in letter["error"]


async def test_deaths_are_told_to_a_rule_that_came_later(shop: Shop) -> None:
    """A rule of dead letters added while it runs hears of what dies from then on, also of what is retried."""
    hook_rule(shop, "order", ORDER_RULE)
    refuse_orders(shop)
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})
    row = await shop.delivery({"rule": "order", "status": "dead"})

    hook_rule(shop, "tell", TELL_RULE)
    running.wait_for_line("rules reloaded")
    assert shop.run("deliveries", "retry", row["_id"]).code == 0

    (letter,) = await eventually(lambda: letters(shop))
    assert (letter["delivery"], letter["order"]) == (row["_id"], "SO-1")


async def test_what_is_dead_is_retried_by_a_running_watch(shop: Shop) -> None:
    """By id, by the error's text, by rule, by time: each takes up what it names, and nothing else."""
    hook_rule(shop, "order", ORDER_RULE)
    hook_rule(shop, "late", ORDER_RULE.replace("SHOP.orders", "SHOP.late"))
    refuse_orders(shop)
    shop.watch()
    await shop.orders.insert_many([{"_id": number} for number in range(4)])
    await eventually(lambda: _count(shop, {"status": "dead"}, 4))
    middle = datetime.now(UTC).isoformat()
    await shop.database["late"].insert_many([{"_id": number} for number in range(2)])
    refuse_orders(shop, 501)
    await eventually(lambda: _count(shop, {"status": "dead"}, 6))
    shop.web.answer_path("/orders", Answer(200))

    async def retried(*arguments: str) -> dict[str, int]:
        done = shop.run("deliveries", "retry", *arguments)
        assert done.code == 0, done.output
        await eventually(lambda: _count(shop, {"open": True}, 0))
        return {
            **await statuses(shop, "order"),
            **{f"late {k}": v for k, v in (await statuses(shop, "late")).items()},
        }

    row = await shop.delivery({"rule": "order", "event.key._id": 0})
    assert await retried(row["_id"][:10]) == {"delivered": 1, "dead": 3, "late dead": 2}
    row = await shop.delivery({"rule": "order", "event.key._id": 0})
    assert (row["status"], row["attempts"], len(row["log"])) == ("delivered", 1, 4)
    assert await retried("--since", middle) == {"delivered": 1, "dead": 3, "late delivered": 2}
    assert await retried("--rule", "order", "--error", "500") == {"delivered": 4, "late delivered": 2}
    assert len({request.headers["webhook-id"] for request in shop.web.requests}) == 6


async def test_a_delivery_that_waits_is_given_up_while_watch_runs(shop: Shop) -> None:
    """`discard` ends the retries of a running watch; `show` has the attempts until then (the last fifty)."""
    hook_rule(shop, "order", ORDER_RULE.replace("attempts: 3", "attempts: 1000"))
    refuse_orders(shop, 500)
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})
    row = await shop.delivery({"status": "retrying", "attempts": {"$gte": 3}})

    assert shop.run("deliveries", "discard", row["_id"], "--yes").code == 0
    shown = json.loads(shop.run("deliveries", "show", row["_id"], "--json").stdout)
    sent = len(shop.web.requests)
    shop.web.answer_path("/orders", Answer(200))
    await shop.orders.insert_one({"order_id": "SO-2"})
    await shop.delivery({"event.document.order_id": "SO-2", "status": "delivered"})

    assert shown["status"] == "discarded"
    every = range(1, shown["attempts"] + 1)
    assert [attempt["number"] for attempt in shown["log"]] == list(every[-ATTEMPTS_LOGGED:])
    assert {attempt["outcome"] for attempt in shown["log"]} == {"retrying"}
    assert all("500" in attempt["detail"] for attempt in shown["log"])
    assert len(shop.web.requests) <= sent + 2  # one attempt may have been under way
    assert running.terminate() == 0


async def test_status_counts_the_dead_and_says_how_to_see_them(shop: Shop) -> None:
    """Nobody has to know the command by heart."""
    hook_rule(shop, "order", ORDER_RULE)
    refuse_orders(shop)
    shop.watch()
    assert json.loads(shop.run("status", "--json").stdout)["dead"] == 0
    assert "dead" not in shop.run("status").stdout
    await shop.orders.insert_many([{"order_id": "SO-1"}, {"order_id": "SO-2"}])
    await eventually(lambda: _count(shop, {"status": "dead"}, 2))

    assert json.loads(shop.run("status", "--json").stdout)["dead"] == 2
    shown = shop.run("status").stdout
    assert "dead       2 deliveries; see them: mtrigger deliveries list --status dead" in shown
