"""The action `sink`, and rules that feed each other over topics, through the installed command."""

import json
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from pymongo.asynchronous.collection import AsyncCollection

from acceptance.shop import Shop
from mtrigger.messages import Message, collection_of
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.registry import MongoTopics
from support.polling import eventually

Document = dict[str, Any]

STORE = """
name: store
on: {topic: SOE-ORDERS}
do:
  - sink:
      into: SHOP.orders
      key: order_id
      schema: order.json
"""

SCHEMA = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "number", "minimum": 0}, "items": {"items": {"required": ["sku"]}}},
}


async def publish(shop: Shop, *bodies: Any, topic: str = "SOE-ORDERS", **fields: Any) -> None:
    """As any other program does: an ordinary insert."""
    log = MongoTopics(shop.state, StateOutage(None)).log(topic)
    first = await shop.state[collection_of(topic)].count_documents({})
    numbered = enumerate(bodies, first)
    await log.publish([Message(id=f"m-{number}", body=body, **fields) for number, body in numbered])


async def stored(collection: AsyncCollection[Document], count: int) -> list[Document]:
    """The documents, by their ids, once there are so many."""

    async def reached() -> bool:
        return await collection.count_documents({}) >= count

    await eventually(reached)
    return sorted(await collection.find({}).to_list(), key=lambda document: str(document["_id"]))


async def settled(shop: Shop, count: int) -> None:
    """Wait until so many deliveries are done, and none is owed."""

    async def reached() -> bool:
        done = await shop.deliveries.count_documents({"open": {"$exists": False}})
        return done >= count and await shop.deliveries.count_documents({"open": True}) == 0

    await eventually(reached)


def store_rule(shop: Shop) -> None:
    """The sink with its schema beside it."""
    shop.rule("store", STORE)
    (shop.folder / "triggers" / "order.json").write_text(json.dumps(SCHEMA))


async def test_messages_become_documents_and_what_does_not_fit_a_dead_letter(shop: Shop) -> None:
    """With the path in the body; once the schema is mended, the same message is stored."""
    store_rule(shop)
    running = shop.watch()
    fitting = {"order_id": 1, "amount": Decimal128("15000.50"), "items": [{"sku": "a"}]}
    bad = {"order_id": 2, "amount": 5, "items": [{"sku": "a"}, {"n": 1}]}
    await publish(shop, fitting, bad, "a text", {"amount": 3})
    await settled(shop, 4)
    assert await stored(shop.orders, 1) == [{"_id": 1, **fitting}]
    dead = {
        row["event"]["key"]["_id"]: row["error"] async for row in shop.deliveries.find({"status": "dead"})
    }
    assert dead["m-1"].endswith("$.items[1]: 'sku' is a required property")
    assert "the message's body is a text" in dead["m-2"]
    assert "the message's body has no field `order_id`" in dead["m-3"]
    (shop.folder / "triggers" / "order.json").write_text('{"type": "object"}')
    running.wait_for_line("rules reloaded")
    row = await shop.delivery({"status": "dead", "event.key._id": "m-1"})
    assert shop.run("deliveries", "retry", row["_id"]).code == 0
    assert await stored(shop.orders, 2) == [{"_id": 1, **fitting}, {"_id": 2, **bad}]


async def test_the_last_message_of_a_key_stays_and_what_is_gone_goes(shop: Shop) -> None:
    """Over kills: an older message never overwrites a newer one."""
    shop.rule("store", "name: store\non: {topic: SOE-ORDERS}\ndo: [sink: {into: SHOP.orders}]")
    running = shop.watch()
    for step in range(30):
        for key in range(10):
            await publish(shop, {"step": step}, key=key)
        if step % 10 == 5:
            running.kill()
            running = shop.watch()
    await publish(shop, None, key=3, headers={"deleted": True})
    await settled(shop, 301)
    left = [{"_id": key, "step": 29} for key in range(10) if key != 3]
    assert await shop.orders.find({}).sort("_id").to_list() == left
    assert await shop.deliveries.distinct("status") == ["delivered"]


async def test_a_journal_keeps_every_message_once(shop: Shop) -> None:
    """`mode: insert`, with the fields that are asked for, killed in the middle of it."""
    shop.rule(
        "journal",
        """
        name: journal
        on: {topic: SOE-ORDERS}
        do:
          - sink:
              into: SHOP.journal
              mode: insert
              fields: {order: $.n, skus: "$.items[*].sku", none: $.missing}
        """,
    )
    running = shop.watch()
    bodies = [{"n": n, "items": [{"sku": n}, {"sku": -n}], "more": "x"} for n in range(1_000)]
    await publish(shop, *bodies, key="one key for all")
    await stored(shop.database["journal"], 200)
    running.kill()
    shop.watch()
    await settled(shop, 1_000)
    found = await stored(shop.database["journal"], 1_000)
    assert len(found) == 1_000
    by_order = {document["order"]: document for document in found}
    assert by_order == {n: {"_id": f"m-{n}", "order": n, "skus": [n, -n]} for n in range(1_000)}


async def test_an_insert_that_is_there_already_is_a_dead_letter(shop: Shop) -> None:
    """The document stays what it was."""
    shop.rule(
        "new", "name: new\non: {topic: T}\ndo: [sink: {into: SHOP.orders, mode: insert, key: order_id}]"
    )
    shop.watch()
    await publish(shop, {"order_id": 1, "n": 1}, {"order_id": 1, "n": 2}, topic="T", key=1)
    row = await shop.delivery({"status": "dead"})
    assert "another document has the same `_id` already" in row["error"]
    assert "`mode: upsert`" in row["error"]
    assert await shop.orders.find({}).to_list() == [{"_id": 1, "order_id": 1, "n": 1}]


@pytest.mark.parametrize("into", ["topic", "collection and topic"])
async def test_rules_that_feed_each_other_over_topics_are_found_out(shop: Shop, into: str) -> None:
    """As over collections: the messages tell what caused them, and through how many links."""
    if into == "topic":
        shop.rule("echo", "name: echo\non: {topic: T}\ndo: [publish: {topic: T}]\nloop_guard: {depth: 3}")
        rules, links = "the rule echo", 4
    else:
        shop.rule("tell", "name: tell\non: {collection: SHOP.orders}\ndo: [publish: {topic: T}]")
        change = 'update: {$inc: {told: 1}}, key: {_id: "{{ message.key }}"}'
        note = f"name: note\non: {{topic: T}}\ndo: [write: {{into: SHOP.orders, {change}}}]"
        shop.rule("note", f"{note}\nloop_guard: {{depth: 4}}")
        rules, links = "rules tell, note", 5
    shop.watch()
    if into == "topic":
        await publish(shop, {"n": 1}, topic="T", key=1)
    else:
        await shop.orders.insert_one({"_id": 1})
    rows = await eventually(lambda: shop.state["wishes"].find({"kind": "pause"}).to_list())
    assert f"was caused by writes of {rules} through {links} links" in rows[0]["reason"]
    if into == "topic":
        assert await shop.state[collection_of("T")].count_documents({}) == 1 + links


async def test_a_chain_over_a_topic_is_no_loop(shop: Shop) -> None:
    """An order becomes a message, the message a document, that one a message again: each once."""
    shop.rule("one", "name: one\non: {collection: SHOP.orders}\ndo: [publish: {topic: A}]")
    shop.rule("two", "name: two\non: {topic: A}\ndo: [sink: {into: SHOP.copies}]")
    shop.rule(
        "three",
        "name: three\non: {collection: SHOP.copies}\ndo: [publish: {topic: B, message: '{{ document.n }}'}]",
    )
    shop.watch()
    await shop.orders.insert_many([{"_id": n, "n": -n} for n in range(50)])
    rows = await stored(shop.state[collection_of("B")], 50)
    assert sorted((row["key"], row["body"]) for row in rows) == [(n, -n) for n in range(50)]
    assert rows[0]["source"]["depth"] == 2
    assert rows[0]["source"]["through"] == ["one", "two", "three"]
    await settled(shop, 150)
    assert await shop.state["wishes"].count_documents({}) == 0
