"""`fire: once`, `fire: entering` and `changed from … to …` through the installed command."""

import json
from typing import Any

import bson

from acceptance.shop import Shop
from support.http_sink import Answer
from support.polling import eventually

Document = dict[str, Any]

RETRY = "retry: {first_delay: 10ms, max_delay: 50ms, attempts: 2}\n"


def hook(shop: Shop, path: str, body: str = "{{ document._id }}") -> str:
    return f"{{webhook: {{url: '{shop.web.url}/{path}', body: '{body}'}}}}"


def told(shop: Shop, path: str = "") -> list[str]:
    """The bodies of what was told there, in the order it came."""
    requests = [request for request in list(shop.web.requests) if request.status < 300]
    return [request.body.decode() for request in requests if request.path == f"/{path}"]


async def images(shop: Shop, collection: str) -> None:
    """Let a collection keep images."""
    await shop.database.create_collection(collection, changeStreamPreAndPostImages={"enabled": True})


def once_rule(shop: Shop) -> None:
    shop.rule(
        "welcome",
        "on: {collection: SHOP.customers, operations: [insert, update]}\nwhen: orders > 0\nfire: once\n"
        + RETRY
        + f"do: [{hook(shop, 'once')}]\n",
    )
    shop.rule("mark", f"on: {{collection: SHOP.marks}}\ndo: [{hook(shop, 'mark')}]\n")


async def marked(shop: Shop, number: int) -> None:
    """Everything before this moment has been read and done."""
    await shop.database.marks.insert_one({"_id": number})
    await eventually(lambda: str(number) in told(shop, "mark"))
    await eventually(lambda: _nothing_is_open(shop))


async def _nothing_is_open(shop: Shop) -> bool:
    return await shop.deliveries.count_documents({"open": True}) == 0


async def test_once_is_once_for_each_document_and_for_ever(shop: Shop) -> None:
    """Whatever becomes of the document, and whatever becomes of the process."""
    once_rule(shop)
    running = shop.watch()
    customers = shop.database.customers
    await customers.insert_many([{"_id": 1, "orders": 1, "note": "x" * 10_000}, {"_id": 2, "orders": 0}])
    for orders in (2, 3):
        await customers.update_many({}, {"$set": {"orders": orders}})
    await customers.delete_one({"_id": 1})
    await customers.insert_one({"_id": 1, "orders": 9})
    await marked(shop, 1)
    running.kill()
    shop.watch()
    await customers.update_many({}, {"$inc": {"orders": 1}})
    await customers.insert_one({"_id": 3, "orders": 1})
    await marked(shop, 2)

    assert sorted(told(shop, "once")) == ["1", "2", "3"]

    done = shop.run("replay", "--rules", "triggers/", "--rule", "welcome", "--query", "{}", "--yes")
    assert done.code == 0, done.output
    await marked(shop, 3)
    assert sorted(told(shop, "once")) == ["1", "2", "3"]


async def test_the_memory_of_once_is_small_and_stays(shop: Shop) -> None:
    """The row has no end and no document, and can still be shown."""
    once_rule(shop)
    shop.watch()
    await shop.database.customers.insert_one({"_id": 1, "orders": 1, "note": "x" * 10_000})
    row = await shop.delivery({"rule": "welcome", "status": "delivered"})

    assert "expires_at" not in row
    assert row["event"]["key"] == {"_id": 1}
    assert "document" not in row["event"]
    assert len(bson.encode(row)) < 800
    listed = shop.run("deliveries", "list", "--rule", "welcome", "--json")
    assert listed.code == 0, listed.output
    shown = shop.run("deliveries", "show", row["_id"], "--json")
    assert shown.code == 0, shown.output
    assert json.loads(shown.stdout)


async def test_what_died_of_once_may_be_tried_again_or_given_up(shop: Shop) -> None:
    """Dead, it is whole and waits for somebody; given up, it does not come back with the next change."""
    shop.web.answer_next(Answer(400), times=2)
    once_rule(shop)
    shop.watch()
    customers = shop.database.customers
    await customers.insert_many([{"_id": 1, "orders": 1}, {"_id": 2, "orders": 1}])

    async def dead() -> bool:
        return await shop.deliveries.count_documents({"rule": "welcome", "status": "dead"}) == 2

    await eventually(dead)
    rows = {row["event"]["key"]["_id"]: row async for row in shop.deliveries.find({"rule": "welcome"})}
    assert shop.run("deliveries", "retry", rows[1]["_id"]).code == 0
    assert shop.run("deliveries", "discard", rows[2]["_id"], "--yes").code == 0
    await eventually(lambda: told(shop, "once") == ["1"])
    await customers.update_many({}, {"$set": {"orders": 5}})
    await marked(shop, 1)

    assert told(shop, "once") == ["1"]
    given_up = await shop.delivery({"status": "discarded"})
    assert "expires_at" not in given_up
    assert "document" not in given_up["event"]


async def test_entering_fires_when_the_condition_begins_to_hold(shop: Shop) -> None:
    """Not while it goes on to hold; again after it did not."""
    await images(shop, "tanks")
    shop.rule(
        "low",
        "on: {collection: SHOP.tanks}\nwhen: level < 10\nfire: entering\n"
        f"do: [{hook(shop, 'low', '{{ document._id }} {{ document.level }}')}]\n",
    )
    shop.rule("mark", f"on: {{collection: SHOP.marks}}\ndo: [{hook(shop, 'mark')}]\n")
    shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_many([{"_id": "a", "level": 50}, {"_id": "b", "level": 5}])
    for level in (9, 8, 7, 20, 6, 5):
        await tanks.update_one({"_id": "a"}, {"$set": {"level": level}})
    await tanks.replace_one({"_id": "b"}, {"level": 4})
    await tanks.replace_one({"_id": "b"}, {"level": 40})
    await tanks.replace_one({"_id": "b"}, {"level": 3})
    await tanks.delete_one({"_id": "b"})
    await marked(shop, 1)

    assert sorted(told(shop, "low")) == ["a 6", "a 9", "b 3", "b 5"]


async def test_changed_from_to_compares_both_sides(shop: Shop) -> None:
    """Each half of it, and both."""
    await images(shop, "orders")
    for name, when in (
        ("paid", 'status changed from "open" to "paid"'),
        ("left", 'status changed from "open"'),
        ("shipped", 'status changed to "shipped"'),
    ):
        shop.rule(
            name,
            f"on: {{collection: SHOP.orders, operations: update}}\nwhen: {when}\ndo: [{hook(shop, name)}]\n",
        )
    shop.rule("mark", f"on: {{collection: SHOP.marks}}\ndo: [{hook(shop, 'mark')}]\n")
    shop.watch()
    await shop.orders.insert_many([{"_id": number, "status": "open"} for number in range(3)])
    await shop.orders.update_one({"_id": 0}, {"$set": {"status": "paid"}})
    await shop.orders.update_one({"_id": 0}, {"$set": {"note": 1}})
    await shop.orders.update_one({"_id": 0}, {"$set": {"status": "shipped"}})
    await shop.orders.replace_one({"_id": 1}, {"status": "shipped"})
    await shop.orders.replace_one({"_id": 2}, {"status": "open", "note": 1})
    await shop.orders.update_one({"_id": 2}, {"$set": {"status": "paid"}})
    await marked(shop, 1)

    assert sorted(told(shop, "paid")) == ["0", "2"]
    assert sorted(told(shop, "left")) == ["0", "1", "2"]
    assert sorted(told(shop, "shipped")) == ["0", "1"]


async def test_what_needs_pre_images_is_told_and_prepared(shop: Shop) -> None:
    """`check` says which rules do, `prepare` shows the commands first, and `watch` warns without them."""
    await shop.database.create_collection("tanks")
    shop.rule("low", "on: {collection: SHOP.tanks}\nwhen: level < 10\nfire: entering\ndo: {log: x}\n")
    shop.rule("paid", "on: {collection: SHOP.later}\nwhen: s changed from 1 to 2\ndo: {log: x}\n")
    shop.rule("plain", "on: {collection: SHOP.tanks}\nwhen: s changed to 2\ndo: {log: x}\n")

    checked = shop.run("check", "--rules", "triggers/", "--json")
    assert {rule["name"]: bool(rule["needs_images"]) for rule in json.loads(checked.stdout)["rules"]} == {
        "low": True,
        "paid": True,
        "plain": False,
    }
    assert "low, paid" in shop.run("check", "--rules", "triggers/").stderr
    running = shop.watch()
    running.wait_for_line(r"rule low: .*tanks keeps no pre-images")
    assert running.terminate() == 0

    shown = shop.run("prepare", "--rules", "triggers/", "--dry-run")
    assert shown.stdout.count("changeStreamPreAndPostImages") == 2
    done = shop.run("prepare", "--rules", "triggers/", "--yes")
    assert done.code == 0, done.output
    assert "2 collections prepared" in done.stderr
    found = [entry async for entry in await shop.database.list_collections()]
    assert {entry["name"] for entry in found if "changeStreamPreAndPostImages" in entry["options"]} == {
        "tanks",
        "later",
    }
