"""`mtrigger replay`: rules held against the past, beside a watch that runs and without one."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acceptance.shop import Shop
from faults.oplogs import BIG_ORDERS, owed_for
from mtrigger.stores.base import DELIVERED_KEPT_SECONDS
from support.polling import eventually


@pytest.fixture
def started_at() -> str:
    """A moment before anything in the test."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def replayed(shop: Shop, *arguments: str) -> Any:
    """The document that `replay` prints."""
    done = shop.run("replay", "--rules", "triggers/", *arguments, "--json")
    assert done.code == 0, done.output
    return json.loads(done.stdout)


async def delivered(shop: Shop, count: int) -> None:
    """Wait until so many deliveries are done."""

    async def enough() -> bool:
        return await shop.deliveries.count_documents({"status": "delivered"}) == count

    await eventually(enough)


async def test_what_was_read_live_has_the_same_ids_when_it_is_replayed(shop: Shop, started_at: str) -> None:
    """Inserts, updates and replacements, read through another pipeline: nothing is owed twice."""
    shop.rule("big-orders", BIG_ORDERS)
    shop.rule("elsewhere", "on: {collection: OTHER.things}\ndo: [{log: x}]\n".replace("OTHER", "other_db"))
    shop.watch()
    for number in range(5):
        await shop.orders.insert_one({"_id": number, "amount": 10_999 + number})
        await shop.orders.update_one({"_id": number}, {"$set": {"amount": 20_000}})
    await shop.orders.replace_one({"_id": 0}, {"amount": 30_000})
    await delivered(shop, 11)

    whole = replayed(shop, "--from", started_at)
    one_rule = replayed(shop, "--from", started_at, "--rule", "big-orders")

    for found in (whole, one_rule):
        assert found["lines"] == [{"rule": "big-orders", "action": "log", "new": 0, "known": 11}]
    assert await shop.deliveries.count_documents({}) == 11


async def test_a_running_watch_does_what_a_replay_finds_for_a_new_rule(shop: Shop, started_at: str) -> None:
    """A rule that was not there at the time: the past is owed once, in the bounds that were given."""
    shop.rule("big-orders", BIG_ORDERS)
    running = shop.watch()
    await shop.orders.insert_many([{"_id": number, "amount": 9_000 + number} for number in range(10)])
    await shop.orders.insert_one({"_id": "big", "amount": 11_000})
    await delivered(shop, 1)
    shop.rule("all-orders", "on: {collection: SHOP.orders}\nwhen: amount < 9005\ndo: [{log: x}]\n")
    running.wait_for_line("rules reloaded")

    shown = replayed(shop, "--from", started_at, "--rule", "all-orders", "--dry-run")
    assert await shop.deliveries.count_documents({}) == 1
    first = replayed(shop, "--from", started_at, "--rule", "all-orders")
    await delivered(shop, 6)
    second = replayed(shop, "--from", started_at)

    assert [entry["key"]["_id"] for entry in shown["deliveries"]] == [0, 1, 2, 3, 4]
    assert {entry["new"] for entry in shown["deliveries"]} == {True}
    assert first["lines"] == [{"rule": "all-orders", "action": "log", "new": 5, "known": 0}]
    assert [(line["rule"], line["new"], line["known"]) for line in second["lines"]] == [
        ("all-orders", 0, 5),
        ("big-orders", 0, 1),
    ]
    assert running.terminate() == 0
    assert running.output.count("delivered: insert") == 6


async def test_without_a_watch_what_is_replayed_waits_for_the_next_one(shop: Shop, started_at: str) -> None:
    """No engine is needed, and nobody's position is touched."""
    shop.rule("big-orders", BIG_ORDERS)
    await shop.orders.insert_many([{"_id": number, "amount": 11_000} for number in range(3)])

    found = replayed(shop, "--from", started_at)

    assert found["lines"] == [{"rule": "big-orders", "action": "log", "new": 3, "known": 0}]
    assert await shop.state["checkpoints"].count_documents({}) == 0
    shop.run("checkpoint", "set", "--time", "now")
    shop.watch()
    await delivered(shop, 3)


async def test_documents_that_a_query_finds_are_held_against_the_rules(shop: Shop) -> None:
    """As they are now, whoever changed them and when; repeating it with its time owes nothing new."""
    shop.rule("big-orders", BIG_ORDERS)
    shop.rule("changes", "on: {collection: SHOP.orders}\nwhen: changed(amount)\ndo: [{log: x}]\n")
    shop.rule("deletes", "on: {collection: SHOP.orders, operations: [delete]}\ndo: [{log: x}]\n")
    orders = [{"_id": n, "amount": 10_000 + n, "region": "eu" if n % 2 else "us"} for n in range(10)]
    await shop.orders.insert_many(orders)
    await shop.database["others"].insert_one({"_id": "other", "amount": 99_999})

    done = shop.run("replay", "--rules", "triggers/", "--query", '{"region": "eu"}')

    assert "5 deliveries are newly owed" in done.output
    assert await owed_for(shop) == [1, 3, 5, 7, 9]
    moment = done.stderr.split("add --from ")[1].strip()
    again = replayed(shop, "--query", "{}", "--from", moment)
    assert again["lines"] == [{"rule": "big-orders", "action": "log", "new": 4, "known": 5}]
    assert replayed(shop, "--query", "{}", "--collection", "nothing.here")["lines"] == []


async def test_replaying_what_is_forgotten_asks_first(shop: Shop) -> None:
    """Beyond the memory of what was delivered, an alert could come twice: nobody there to ask is a no."""
    shop.rule("big-orders", BIG_ORDERS)
    long_ago = datetime.now(UTC) - timedelta(seconds=DELIVERED_KEPT_SECONDS + 60)

    done = shop.run("replay", "--rules", "triggers/", "--from", long_ago.isoformat())

    assert done.code == 2, done.output
    assert "more than 7 days ago is forgotten" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--from"),
        (("--query", "{"), "is no JSON"),
        (("--query", "5"), "in braces"),
        (("--query", "{}", "--to", "1h"), "--to goes with changes"),
        (("--from", "1h", "--rule", "big-order"), "did you mean 'big-orders'"),
        (("--from", "1h", "--to", "2h"), "--from lies behind --to"),
        (("--from", "1h", "--collection", "orders"), "database.collection"),
    ],
)
async def test_what_makes_no_sense_is_said_at_once(
    shop: Shop, arguments: tuple[str, ...], complaint: str
) -> None:
    """A usage error, exit 2."""
    shop.rule("big-orders", BIG_ORDERS)
    done = shop.run("replay", "--rules", "triggers/", *arguments)
    assert (done.code, complaint in done.stderr) == (2, True), done.output
