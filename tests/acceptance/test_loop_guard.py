"""Rules that keep themselves busy are paused, through the installed command on a real deployment."""

import re
from pathlib import Path
from typing import Any

from acceptance.shop import Shop
from support.polling import eventually

Document = dict[str, Any]

SELF = """
name: touch
on: {collection: SHOP.orders}
do:
  - write: {into: SHOP.orders, update: {$inc: {touched: 1}}, key: {_id: "{{ document._id }}"}}
loop_guard: {depth: 3}
"""

FEEDING = """
name: NAME
on: {collection: SHOP.FROM, operations: [insert, update]}
do:
  - write: {into: SHOP.TO, update: {$inc: {n: 1}}, key: {_id: "{{ document._id }}"}, upsert: true}
loop_guard: {depth: DEPTH}
"""


def feeding(name: str, source: str, target: str, depth: int = 8) -> str:
    """A rule that writes into `target` for every change in `source`."""
    names = {"NAME": name, "FROM": source, "TO": target, "DEPTH": str(depth)}
    return re.sub("NAME|FROM|TO|DEPTH", lambda match: names[match[0]], FEEDING)


async def pauses(shop: Shop) -> list[Document]:
    """The pauses there are, once there is one."""
    rows: list[Document] = await eventually(lambda: shop.state["wishes"].find({"kind": "pause"}).to_list())
    return rows


async def test_a_rule_that_writes_to_its_own_collection_is_paused_at_its_depth(shop: Shop) -> None:
    """Four writes are made, at depths 0 to 3; the fifth stays owed. The log says what to do, once."""
    shop.rule("touch", SELF)
    running = shop.watch()
    await shop.orders.insert_one({"_id": "mine", "touched": 0})
    (pause,) = await pauses(shop)
    assert pause["rule"] == "touch"
    assert "orders of _id 'mine' was caused by writes of the rule touch through 4 links" in pause["reason"]
    assert "loop_guard.depth allows 3" in pause["reason"]
    running.wait_for_line(r"mtrigger resume touch")
    row = await shop.delivery({"open": True})
    assert (row["depth"], row["through"]) == (4, ["touch"])
    assert await shop.orders.find_one() == {"_id": "mine", "touched": 4}
    await shop.orders.insert_one({"_id": "yours", "touched": 0})
    await shop.delivery({"open": True, "event.key._id": "yours"})
    assert await shop.orders.find_one({"_id": "yours"}) == {"_id": "yours", "touched": 0}
    assert len(re.findall("round in circles", running.stderr)) == 1


async def test_two_rules_that_feed_each_other_are_found_out(shop: Shop) -> None:
    """Whichever comes first is paused, which stops both; both are named."""
    shop.rule("ping", feeding("ping", "a", "b"))
    shop.rule("pong", feeding("pong", "b", "a"))
    shop.watch()
    await shop.database["a"].insert_one({"_id": 1, "n": 0})
    (pause,) = await pauses(shop)
    assert "writes of rules ping, pong through 9 links" in pause["reason"]
    totals = {name: await shop.database[name].find_one() for name in ("a", "b")}
    assert totals == {"a": {"_id": 1, "n": 4}, "b": {"_id": 1, "n": 5}}


async def test_a_chain_of_rules_is_no_loop(shop: Shop) -> None:
    """Three rules in a row, whose guards allow two links: everything runs, depths are 0, 1 and 2."""
    for name, source, target in (("one", "a", "b"), ("two", "b", "c"), ("three", "c", "d")):
        shop.rule(name, feeding(name, source, target, 2))
    shop.watch()
    for number in range(20):
        await shop.database["a"].insert_one({"_id": number})
        await shop.database["c"].insert_one({"_id": number + 100})

    async def arrived() -> bool:
        return await shop.database["d"].count_documents({"n": 1}) == 40

    await eventually(arrived)
    assert await shop.state["wishes"].count_documents({}) == 0
    depths = {
        rule: await shop.deliveries.distinct("depth", {"rule": rule}) for rule in ("one", "two", "three")
    }
    assert depths == {"one": [], "two": [1], "three": [2]}
    assert await shop.deliveries.count_documents({"rule": "three", "depth": {"$exists": False}}) == 20


async def test_a_loop_goes_on_counting_over_kills(shop: Shop) -> None:
    """What caused a change is kept with it: a process that is killed again and again finds the loop."""
    shop.rule("touch", SELF.replace("depth: 3", "depth: 40"))
    running = shop.watch()
    await shop.orders.insert_one({"_id": "mine", "touched": 0})
    for reached in (5, 15, 25):

        async def touched(reached: int = reached) -> bool:
            return await shop.orders.count_documents({"touched": {"$gte": reached}}) == 1

        await eventually(touched)
        running.kill()
        running = shop.watch()
    (pause,) = await pauses(shop)
    assert "through 41 links" in pause["reason"]
    assert await shop.orders.find_one() == {"_id": "mine", "touched": 41}


async def test_what_was_owed_runs_once_the_rule_is_mended_and_resumed(shop: Shop) -> None:
    """The loop is broken by a condition; what was held back runs, and nothing trips again."""
    shop.rule("touch", SELF)
    running = shop.watch()
    await shop.orders.insert_one({"_id": "mine", "touched": 0})
    await pauses(shop)
    running.wait_for_line(r"mtrigger resume touch")
    shop.rule("touch", SELF.replace("do:", "when: touched < 1\ndo:"))
    running.wait_for_line("rules reloaded")
    assert shop.run("resume", "touch").code == 0

    async def all_done() -> bool:
        return await shop.deliveries.count_documents({"open": True}) == 0

    await eventually(all_done)
    assert await shop.orders.find_one() == {"_id": "mine", "touched": 5}
    await shop.orders.insert_one({"_id": "yours", "touched": 0})

    async def touched() -> bool:
        return await shop.orders.count_documents({"_id": "yours", "touched": 1}) == 1

    await eventually(touched)
    assert await shop.state["wishes"].count_documents({"kind": "pause"}) == 0


async def test_a_loop_that_was_not_mended_is_found_again(shop: Shop) -> None:
    """Resumed as it is, the rule goes round once more and is paused again."""
    shop.rule("touch", SELF)
    running = shop.watch()
    await shop.orders.insert_one({"_id": "mine", "touched": 0})
    await pauses(shop)
    assert shop.run("resume", "touch").code == 0
    (pause,) = await pauses(shop)
    assert "through 5 links" in pause["reason"]
    assert await shop.orders.find_one() == {"_id": "mine", "touched": 5}
    await eventually(lambda: len(re.findall("round in circles", running.stderr)) == 2)


async def test_what_was_owed_may_be_left_out_as_it_is_resumed(shop: Shop) -> None:
    """`--drop`: the loop ends there, and changes from then on count from nothing."""
    shop.rule("touch", SELF)
    shop.watch()
    await shop.orders.insert_one({"_id": "mine", "touched": 0})
    await pauses(shop)
    await shop.delivery({"open": True, "depth": 4})
    assert "goes round in circles" in shop.run("status").output
    assert shop.run("resume", "touch", "--drop").code == 0
    await shop.delivery({"status": "discarded"})
    await shop.orders.insert_one({"_id": "yours", "touched": 0})
    (pause,) = await pauses(shop)
    assert "of _id 'yours'" in pause["reason"]
    assert await shop.orders.find_one({"_id": "mine"}) == {"_id": "mine", "touched": 4}


FUNCTION = """
import os
from pymongo import MongoClient

orders = MongoClient(os.environ["MTRIGGER_URI"])["SHOP"]["orders"]


def touch(document):
    orders.update_one({"_id": document["_id"]}, {"$inc": {"touched": 1}})
"""


def function(shop: Shop) -> None:
    """A function of the user's own that writes to the collection it is called for."""
    path: Path = shop.folder / "shop_functions.py"
    path.write_text(FUNCTION.replace("SHOP", shop.database.name))


async def test_a_function_that_changes_its_own_document_is_found_out_by_its_number(shop: Shop) -> None:
    """No depth is known of what functions write; that one document fires eleven times in a minute is."""
    function(shop)
    shop.rule(
        "touch",
        """
        name: touch
        on: {collection: SHOP.orders}
        do: [function: "shop_functions:touch"]
        loop_guard: {per_document: {at_most: 10, within: 1m}}
        """,
    )
    running = shop.watch()
    await shop.orders.insert_many([{"_id": name, "touched": 0} for name in ("a", "b")])
    (pause,) = await pauses(shop)
    assert "is number 11 that it fires for within 1m for this document" in pause["reason"]
    running.wait_for_line(r"mtrigger resume touch")
    assert await shop.orders.count_documents({"touched": {"$lte": 10}}) == 2
    assert await shop.deliveries.count_documents({"open": True}) >= 1


async def test_many_changes_of_many_documents_are_no_loop(shop: Shop) -> None:
    """The limit is for each document."""
    shop.rule(
        "log",
        """
        name: log
        on: {collection: SHOP.orders}
        do: [log: "{{ document._id }}"]
        loop_guard: {per_document: {at_most: 2, within: 1m}}
        """,
    )
    shop.watch()
    for number in range(100):
        await shop.orders.insert_one({"_id": number})
        await shop.orders.update_one({"_id": number}, {"$set": {"seen": True}})

    async def all_done() -> bool:
        return await shop.deliveries.count_documents({"status": "delivered"}) == 200

    await eventually(all_done)
    assert await shop.state["wishes"].count_documents({}) == 0
