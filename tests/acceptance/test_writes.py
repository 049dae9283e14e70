"""The action `write`, through the installed command on a real deployment."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from acceptance.shop import Shop
from mtrigger.deployment.connecting import connect
from support.mongo_servers import MongoServers
from support.polling import eventually

Document = dict[str, Any]

AUDIT = """
name: audit
on: {collection: SHOP.orders}
do:
  - write:
      into: SHOP.audit
      insert:
        order: "{{ document._id }}"
        total: "{{ document.amount }}"
        lines: "{{ document.lines | default([]) }}"
        seen: {at: "{{ event.time }}", by: "rule {{ rule.name }}"}
"""

TOTALS = """
name: totals
on: {collection: SHOP.orders, operations: insert}
do:
  - write:
      into: SHOP.totals
      update:
        $inc: {orders: 1, amount: "{{ document.amount }}"}
        $push: {notes: "{{ document.note }}"}
      key: {customer: "{{ document.customer }}"}
      upsert: true
retry: {attempts: 1}
"""


async def found(collection: AsyncCollection[Document], count: int = 1) -> list[Document]:
    """All documents of `collection`, once there are so many."""

    async def documents() -> list[Document] | None:
        documents = await collection.find({}).to_list()
        return documents if len(documents) >= count else None

    rows: list[Document] = await eventually(documents)
    assert len(rows) == count
    return rows


async def counted(collection: AsyncCollection[Document], wanted: Document, count: int) -> None:
    """Wait until so many documents are as `wanted`."""

    async def reached() -> bool:
        return await collection.count_documents(wanted) == count

    await eventually(reached)


async def test_values_keep_their_types_and_the_document_its_delivery(shop: Shop) -> None:
    """What one `{{ … }}` alone stands for is written as it is in BSON; the `_id` is the delivery's id."""
    shop.rule("audit", AUDIT)
    shop.watch()
    order = ObjectId()
    lines = [{"sku": "a", "count": Int64(2**40), "at": datetime(2026, 1, 1, tzinfo=UTC)}]
    amount = Decimal128("15000.50")
    await shop.orders.insert_one({"_id": order, "amount": amount, "lines": lines})
    (written,) = await found(shop.database["audit"])
    row = await shop.delivery({"rule": "audit", "status": "delivered"})
    assert written["_id"] == row["_id"]
    assert written["order"] == order
    assert written["total"] == amount
    assert written["lines"] == lines
    assert isinstance(written["lines"][0]["count"], Int64)
    assert written["seen"]["by"] == "rule audit"
    assert isinstance(written["seen"]["at"], datetime)
    assert row["log"][-1]["detail"] == f"insert in {shop.database.name}.audit"


async def test_updates_with_operators_make_what_is_not_there_and_add_up(shop: Shop) -> None:
    """`$inc` and `$push` with `upsert`, for two customers."""
    shop.rule("totals", TOTALS)
    shop.watch()
    for number in range(6):
        customer = "ada" if number % 2 else "bob"
        amount = Decimal128(Decimal("0.10"))
        await shop.orders.insert_one({"_id": number, "customer": customer, "amount": amount, "note": number})
    await counted(shop.deliveries, {"status": "delivered"}, 6)
    totals = {total["customer"]: total async for total in shop.database["totals"].find({})}
    assert sorted(totals) == ["ada", "bob"]
    for name, notes in (("ada", [1, 3, 5]), ("bob", [0, 2, 4])):
        assert totals[name]["orders"] == 3
        assert totals[name]["amount"] == Decimal128("0.30")
        assert sorted(totals[name]["notes"]) == notes


async def test_a_copy_is_kept_up_with_replace_and_delete(shop: Shop) -> None:
    """A whole document as the value, found by its `_id`; deletes follow."""
    shop.rule(
        "copy",
        """
        name: copy
        on: {collection: SHOP.orders, operations: [insert, update]}
        do:
          - write: {into: SHOP.copies, replace: "{{ document }}", key: _id, upsert: true}
        """,
    )
    shop.rule(
        "uncopy",
        """
        name: uncopy
        on: {collection: SHOP.orders, operations: delete}
        do:
          - write: {into: SHOP.copies, delete: {_id: "{{ event.key._id }}"}}
        """,
    )
    shop.watch()
    await shop.orders.insert_one({"_id": 1, "step": 1})
    await shop.orders.insert_one({"_id": 2, "step": 1})
    await shop.orders.update_one({"_id": 1}, {"$set": {"step": 2}})
    copies = shop.database["copies"]
    await counted(copies, {"_id": 1, "step": 2}, 1)
    await counted(copies, {"_id": 2}, 1)
    await shop.orders.delete_one({"_id": 1})
    await counted(copies, {"_id": 1}, 0)
    assert await copies.find({}).to_list() == [{"_id": 2, "step": 1}]


async def test_a_document_cannot_smuggle_in_an_operator(shop: Shop) -> None:
    """Mappings with `$` keys where a key, an element and a pulled value are asked for: they are values."""
    shop.rule(
        "hostile",
        """
        name: hostile
        on: {collection: SHOP.orders, operations: insert}
        do:
          - write:
              into: SHOP.accounts
              update: {$set: {limit: 1000000}}
              key: {owner: "{{ document.owner }}"}
          - write: {into: SHOP.accounts, delete: {owner: "{{ document.owner }}"}}
          - write:
              into: SHOP.accounts
              update:
                $push: {log: "{{ document.entry }}"}
                $pull: {tags: "{{ document.tag }}"}
              key: {owner: "{{ document.name }}"}
        """,
    )
    accounts = shop.database["accounts"]
    await accounts.insert_many(
        [
            {"_id": name, "owner": name, "limit": 10, "log": [1, 2], "tags": ["a", "b"]}
            for name in ("ada", "bob")
        ]
    )
    shop.watch()
    entry = {"$each": [], "$slice": 0}
    await shop.orders.insert_one(
        {"_id": 1, "owner": {"$ne": None}, "name": "ada", "entry": entry, "tag": {"$gte": ""}}
    )
    await counted(shop.deliveries, {"status": "delivered"}, 3)
    ada, bob = await accounts.find({}).sort("_id", ASCENDING).to_list()
    assert ada == {"_id": "ada", "owner": "ada", "limit": 10, "log": [1, 2, entry], "tags": ["a", "b"]}
    assert bob == {"_id": "bob", "owner": "bob", "limit": 10, "log": [1, 2], "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"customer": None, "amount": 1, "note": 1}, "`customer` is null"),
        ({"customer": "second", "shop": "first", "amount": 1, "note": 1}, "has the same `shop_id` already"),
        ({"customer": "ada", "amount": "ten", "note": 1}, "was refused: Cannot increment with non-numeric"),
        ({"customer": "eve", "amount": -1, "note": 1}, "does not pass the validation of the collection"),
        ({"customer": {"$gt": 1}, "amount": {"$ref": 1}, "note": 1}, "was refused"),
    ],
    ids=["null key", "unique index", "not a number", "validation", "operators"],
)
async def test_what_the_server_refuses_is_dead_with_a_sentence_and_holds_up_nothing(
    shop: Shop, document: Document, said: str
) -> None:
    """The delivery dies at once; those beside it, in the same transaction at first, are made."""
    totals = await shop.database.create_collection(
        "totals", validator={"$jsonSchema": {"properties": {"amount": {"minimum": 0}}}}
    )
    await totals.create_index("shop_id", unique=True)
    await totals.insert_many(
        [{"customer": "first", "shop_id": "first"}, {"customer": "ada", "shop_id": "ada", "amount": 1}]
    )
    once = "$setOnInsert: {shop_id: '{{ document.shop }}'}"
    shop.rule("totals", TOTALS.replace("$inc:", f"{once}\n        $inc:"))
    shop.watch()
    orders = [{"_id": n, "customer": f"c{n}", "shop": n, "amount": 1, "note": 1} for n in range(20)]
    bad = {"_id": "bad", "shop": "bad", **document}
    await shop.orders.insert_many([*orders[:10], bad, *orders[10:]])
    row = await shop.delivery({"status": "dead"})
    assert said in row["error"]
    assert row["event"]["key"] == {"_id": "bad"}
    await counted(shop.deliveries, {"status": "delivered"}, 20)
    assert sorted(await totals.distinct("customer", {"orders": 1})) == sorted(f"c{n}" for n in range(20))
    assert await shop.deliveries.count_documents({}) == 21


async def test_a_collection_that_no_transaction_can_write_to_is_dead_with_a_sentence(shop: Shop) -> None:
    """A capped collection: the server says so itself."""
    await shop.database.create_collection("audit", capped=True, size=100_000)
    shop.rule("audit", AUDIT)
    shop.watch()
    await shop.orders.insert_one({"_id": 1, "amount": 1})
    row = await shop.delivery({"status": "dead"})
    assert re.search(r"insert in \S+\.audit was refused: .*capped", row["error"])


async def test_a_dry_run_shows_the_write_and_makes_none(shop: Shop) -> None:
    """The operation, the target and the value as Extended JSON."""
    shop.rule("totals", TOTALS)
    running = shop.watch("--dry-run")
    await shop.orders.insert_one({"_id": 1, "customer": "ada", "amount": Decimal128("1.5"), "note": "hi"})
    running.wait_for_line(r"numberDecimal")
    assert f"update in {shop.database.name}.totals" in running.output
    assert '{"customer": {"$eq": "ada"}}' in running.output
    running.terminate()
    assert "totals" not in await shop.database.list_collection_names()


def test_mistakes_are_told_with_their_places(shop: Shop) -> None:
    """Wildcards, unknown operators, `$where`, keys that are not there, and two operations at once."""
    shop.rule(
        "wrong",
        """\
        on: {collection: SHOP.orders}
        do:
          - write: {into: "SHOP.*", insert: {a: 1}}
          - write: {into: SHOP.a, update: {$incr: {a: 1}}, key: {b: 1}}
          - write: {into: SHOP.a, delete: {$where: "1"}}
          - write: {into: SHOP.a, update: {a: 1}, key: b}
          - write: {into: SHOP.a, insert: {a: 1}, delete: {a: 1}}
          - write: {into: "SHOP.{{ document.a }}", insert: {a: 1}}
          - write: {into: SHOP.system.users, insert: {a: 1}}
        """,
    )
    checked = shop.run("check", "--rules", "triggers/")
    assert checked.code == 1
    lines = checked.output.splitlines()
    for line, said in {
        3: "no wildcards",
        4: r"did you mean `\$inc`",
        5: r"`\$where` is not allowed",
        6: "has no field `b`",
        7: "give one of insert, update, replace and delete, not insert and delete",
        8: "no templates here",
        9: "MongoDB's own",
    }.items():
        assert any(re.search(rf"wrong\.yaml:{line}:\d+: .*{said}", found) for found in lines), (line, lines)


async def test_with_the_state_elsewhere_writes_come_first_and_that_is_said(
    shop: Shop, start_mongod: MongoServers
) -> None:
    """No transaction spans two deployments: at least once. An insert is found out by its `_id`."""
    home = start_mongod.standalone()
    async with connect(home.uri) as client:
        apart = replace(shop, state_uri=home.uri, home=client)
        apart.rule("audit", AUDIT)
        apart.rule("totals", TOTALS)
        running = apart.watch()
        running.wait_for_line("rule audit: .*at least once")
        await apart.orders.insert_one({"_id": 1, "customer": "ada", "amount": 2, "note": 1})
        await counted(apart.deliveries, {"status": "delivered"}, 2)
        await apart.orders.insert_one({"_id": 2, "customer": "ada", "amount": "two", "note": 1})
        dead = await apart.delivery({"status": "dead"})
        assert "update in" in dead["error"]
        assert sorted(await apart.database["audit"].distinct("order")) == [1, 2]
        total = await apart.database["totals"].find_one({}, {"_id": 0})
        assert total == {"customer": "ada", "orders": 1, "amount": 2, "notes": [1]}


async def test_a_state_uri_of_the_same_deployment_is_no_other_place(shop: Shop) -> None:
    """Named twice, it is still one: nothing is said, and effects leave their session there."""
    apart = replace(shop, state_uri=shop.uri)
    apart.rule("audit", AUDIT)
    running = apart.watch()
    await apart.orders.insert_one({"_id": 1, "amount": 2})
    await apart.delivery({"status": "delivered"})
    assert await apart.state["effects"].count_documents({"session": {"$exists": True}}) == 1
    assert "at least once" not in running.output


async def test_the_state_is_no_place_to_write_to(shop: Shop) -> None:
    """A rule that writes into mtrigger's own database is refused at the start."""
    shop.rule("wrong", AUDIT.replace("into: SHOP.audit", f"into: {shop.state.name}.deliveries"))
    refused = shop.run("watch", "--rules", "triggers/")
    assert refused.code == 64
    assert "is mtrigger's own database" in refused.output


async def test_gates_remember_what_was_written(shop: Shop) -> None:
    """A throttled write: the memory of the group goes with the effect, also over a restart."""
    shop.rule("audit", AUDIT + "throttle: {every: 1h}\n")
    running = shop.watch()
    await shop.orders.insert_one({"_id": 1, "amount": 1})
    await shop.delivery({"status": "delivered"})
    await shop.orders.insert_one({"_id": 2, "amount": 1})
    await shop.delivery({"status": "suppressed"})
    running.kill()
    shop.watch()
    await shop.orders.insert_one({"_id": 3, "amount": 1})
    await counted(shop.deliveries, {"status": "suppressed"}, 2)
    assert [row["order"] for row in await found(shop.database["audit"])] == [1]


def test_the_schema_knows_the_action(shop: Shop) -> None:
    """Editors complete what `write` takes."""
    schema = json.loads(shop.run("schema").stdout)
    assert "upsert" in json.dumps(schema)
