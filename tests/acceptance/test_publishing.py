"""The action `publish`, through the installed command on a real deployment."""

import re
from dataclasses import replace
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from pymongo import AsyncMongoClient

from acceptance.shop import Shop
from mtrigger.deployment.connecting import connect
from mtrigger.messages import Message, collection_of
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.registry import MongoTopics
from support.mongo_servers import MongoServers
from support.polling import eventually

Document = dict[str, Any]

BIG = """
name: big
on: {collection: SHOP.orders, operations: insert}
when: amount > 10000
do:
  - publish:
      topic: BIZ-BIGORDER
      message: {order: "{{ document._id }}", total: "{{ document.amount }}"}
      key: "{{ document.customer }}"
      headers: {region: "{{ document.region | default('none') }}"}
"""


async def messages(shop: Shop, topic: str, count: int) -> list[Message]:
    """The messages of a topic as consumers see them, once there are so many."""
    log = MongoTopics(shop.state, StateOutage(None)).log(topic)
    read: list[Message] = []

    async def enough() -> bool:
        while page := await log.read(read[-1].offset if read else 0, 10_000):
            read.extend(page)
        return len(read) >= count

    await eventually(enough)
    assert len(read) == count
    return read


async def test_an_order_becomes_a_message_of_the_topic(shop: Shop) -> None:
    """Values keep their types, the id is the delivery's, and the topic is made."""
    shop.rule("big", BIG)
    shop.watch()
    amount = Decimal128("15000.50")
    await shop.orders.insert_one({"_id": 1, "amount": 1, "customer": "ada"})
    await shop.orders.insert_one({"_id": 2, "amount": amount, "customer": "ada"})
    (message,) = await messages(shop, "BIZ-BIGORDER", 1)
    row = await shop.delivery({"rule": "big", "status": "delivered"})
    assert (message.id, message.key, message.offset) == (row["_id"], "ada", 1)
    assert message.body == {"order": 2, "total": amount}
    assert message.headers == {"region": "none"}
    assert message.source["rule"] == "big"
    assert message.source["event"]["collection"] == "orders"
    assert (message.source["depth"], message.source["through"]) == (0, ["big"])
    assert message.time is not None
    assert row["log"][-1]["detail"] == "insert in topics.BIZ-BIGORDER"
    topic = await shop.state["topics"].find_one({"_id": "BIZ-BIGORDER"})
    assert topic is not None
    assert "numbers" in await shop.state[collection_of("BIZ-BIGORDER")].index_information()


async def test_messages_of_one_document_are_in_the_order_of_its_changes(shop: Shop) -> None:
    """The default key is its `_id`, the default message the document."""
    shop.rule("all", "name: all\non: {collection: SHOP.orders}\ndo: [publish: {topic: ORDERS}]\n")
    shop.watch()
    await shop.orders.insert_many([{"_id": name, "step": 0} for name in "abc"])
    for step in range(1, 20):
        for name in "abc":
            await shop.orders.replace_one({"_id": name}, {"step": step})
    found = await messages(shop, "ORDERS", 60)
    for name in "abc":
        assert [one.body["step"] for one in found if one.key == name] == list(range(20))


async def test_a_topic_may_be_named_by_the_document(shop: Shop) -> None:
    """Made when the first message comes; what is no name of a topic is dead, with the reason."""
    shop.rule(
        "by-region",
        """
        name: by-region
        on: {collection: SHOP.orders}
        do: [publish: {topic: "orders.{{ document.region }}"}]
        """,
    )
    shop.watch()
    regions = ["emea", "apac", "a/b", "emea"]
    await shop.orders.insert_many([{"_id": n, "region": region} for n, region in enumerate(regions)])
    assert [one.key for one in await messages(shop, "orders.emea", 2)] == [0, 3]
    assert [one.key for one in await messages(shop, "orders.apac", 1)] == [1]
    row = await shop.delivery({"status": "dead"})
    assert "'orders.a/b' is no name of a topic" in row["error"]


async def test_a_digest_is_one_message(shop: Shop) -> None:
    """With the documents, how many there were, and their sums."""
    shop.rule(
        "digest",
        """
        name: digest
        on: {collection: SHOP.orders, operations: insert}
        digest: {every: 1s, max: 2, sums: amount}
        do: [publish: {topic: DIGESTS}]
        """,
    )
    shop.watch()
    await shop.orders.insert_many([{"_id": number, "amount": 10} for number in range(5)])
    (message,) = await messages(shop, "DIGESTS", 1)
    assert message.body["count"] == 5
    assert len(message.body["documents"]) == 2
    assert message.body["more"] == 3
    assert message.body["sums"] == {"amount": 50}


async def test_a_dry_run_shows_the_message_and_publishes_none(shop: Shop) -> None:
    """Nothing is made, not even the topic."""
    shop.rule("big", BIG)
    running = shop.watch("--dry-run")
    await shop.orders.insert_one({"_id": 1, "amount": Decimal128("20000"), "customer": "ada"})
    running.wait_for_line(r"numberDecimal")
    assert "publish: BIZ-BIGORDER" in running.output
    running.terminate()
    assert await shop.state.list_collection_names() == []


@pytest.fixture
async def apart(shop: Shop, start_mongod: MongoServers) -> Any:
    """The shop, whose state lies in a deployment of its own."""
    home = start_mongod.replica_set()
    async with connect(home.uri) as client:
        yield replace(shop, state_uri=home.uri, home=client)


async def test_with_the_state_elsewhere_messages_lie_there_and_are_made_once(apart: Shop) -> None:
    """Killed while they are made; writes into the watched deployment go as ever, and that is said of them."""
    apart.rule("big", BIG)
    apart.rule(
        "copy",
        "name: copy\non: {collection: SHOP.orders}\ndo: [write: {into: SHOP.copies, insert: {a: 1}}]\n",
    )
    running = apart.watch()
    assert re.search("rule copy: writes into .* at least once", running.output)
    assert not re.search("rule big: .* at least once", running.output)
    orders = [{"_id": n, "amount": 20_000, "customer": n % 7} for n in range(600)]
    await apart.orders.insert_many(orders)

    async def some() -> bool:
        return await apart.deliveries.count_documents({"rule": "big", "status": "delivered"}) > 100

    await eventually(some)
    running.kill()
    apart.watch()
    found = await messages(apart, "BIZ-BIGORDER", 600)
    assert sorted(one.body["order"] for one in found) == list(range(600))
    assert "topics" not in await apart.database.client.list_database_names()


async def test_a_state_that_can_hold_no_topics_says_so(shop: Shop, start_mongod: MongoServers) -> None:
    """A server by itself has no transactions."""
    home = start_mongod.standalone()
    client: AsyncMongoClient[Document]
    async with connect(home.uri) as client:
        apart = replace(shop, state_uri=home.uri, home=client)
        apart.rule("big", BIG)
        refused = apart.run("watch", "--rules", "triggers/")
        assert refused.code == 64
        assert "rule big: " in refused.output
        assert "is not a replica set" in refused.output
