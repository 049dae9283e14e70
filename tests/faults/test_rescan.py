"""Rescans: what is there is held against the rules, once, whatever interrupts it."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from bson import Decimal128, ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from acceptance.shop import Shop
from faults.oplogs import BIG_ORDERS, Document, lose_history, make_noise, owed_for, position
from mtrigger.embedded import EmbeddedServer
from support.fail_points import Mode, failing_commands
from support.polling import eventually
from support.raw_bson import document, fields, old_binary

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

MANY = 2_600
"""Documents of five chunks and a bit."""


def named(shop: Shop, mongod: EmbeddedServer, database: AsyncDatabase[Document]) -> tuple[Shop, str]:
    """The shop, watched by a client with a name of its own for the server to fail."""
    name = f"rescan-{database.name}"
    return Shop(shop.command, shop.database, f"{mongod.uri}&appName={name}", shop.mail, shop.web), name


async def test_a_first_start_can_begin_with_what_is_there(shop: Shop) -> None:
    """Ids of every kind, each rule by its condition; then the stream, from the time noted before."""
    ids: list[Any] = [None, 1, 2.5, "a", "B", {"a": 1}, {"a": [2]}, ObjectId(), b"x", True]
    await shop.orders.insert_many([{"_id": key, "amount": 11_000} for key in ids])
    await shop.orders.insert_many([{"_id": f"small-{n}", "amount": n} for n in range(5)])
    await shop.database["views"].insert_one({"_id": 1})
    shop.rule("big-orders", BIG_ORDERS)
    shop.rule("decimals", "on: {collection: 'SHOP.*'}\nwhen: exists(price)\ndo: [{log: x}]\n")
    shop.rule("changes", "on: {collection: SHOP.orders}\nwhen: changed(amount)\ndo: [{log: x}]\n")
    shop.rule("deletes", "on: {collection: SHOP.orders, operations: [delete]}\ndo: [{log: x}]\n")
    await shop.database["prices"].insert_one({"_id": "price", "price": Decimal128("1.5")})

    running = shop.watch("--start-from", "rescan")
    running.wait_for_line("rescan: done, 17 documents")
    await shop.orders.insert_one({"_id": "later", "amount": 12_000})
    await shop.delivery({"event.key._id": "later", "rule": "big-orders"})

    rows = await shop.deliveries.find({"rule": "big-orders"}, sort=[("position", 1)]).to_list()
    keys = [row["event"]["key"]["_id"] for row in rows]
    assert sorted(map(repr, keys)) == sorted(map(repr, [*ids, "later"]))
    assert keys[-1] == "later"
    others = await shop.deliveries.find({"rule": {"$ne": "big-orders"}}).to_list()
    assert sorted((row["rule"], row["event"]["operation"]) for row in others) == [
        ("changes", "insert"),
        ("decimals", "rescan"),
    ]
    assert await shop.state["gaps"].count_documents({}) == 0


async def test_killed_in_the_middle_it_goes_on_and_owes_nothing_twice(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """Fault 61: kill -9 after some chunks and between a chunk's deliveries and its progress; documents come
    and go meanwhile."""
    shop.rule("big-orders", BIG_ORDERS)
    await shop.orders.insert_many([{"_id": n, "amount": 11_000} for n in range(MANY)])
    watched, name = named(shop, mongod, database)

    async with slowly(client, "find", name):
        running = watched.watch("--start-from", "rescan")
        await eventually(lambda: _documents(shop, 1))
        running.kill()
    last = (await position(shop))["rescan"]["after"][0]
    owed = await shop.deliveries.count_documents({})
    await shop.orders.insert_one({"_id": -1, "amount": 11_000})  # behind us: the stream tells of it
    await shop.orders.insert_one({"_id": last + 700.5, "amount": 11_000})  # before us: both do
    await shop.orders.delete_one({"_id": last + 701})
    async with slowly(client, "update", name, mode={"skip": 2}):
        running = watched.watch()
        await eventually(lambda: _ahead(shop, owed))
        running.kill()
    assert json.loads(shop.run("status", "--json").stdout)["position"]["rescan"]["collections_left"] == 1

    running = shop.watch()
    running.wait_for_line(r"rescan: done, 2,\d+ documents")
    await shop.orders.insert_one({"_id": "later", "amount": 12_000})
    await shop.delivery({"event.key._id": "later"})

    rows = await shop.deliveries.find({}, {"event.key": 1, "event.operation": 1}).to_list()
    rescanned = [row["event"]["key"]["_id"] for row in rows if row["event"]["operation"] == "rescan"]
    assert len(rescanned) == len(set(rescanned))
    assert set(range(MANY)) - set(rescanned) <= {last + 701}
    streamed = {row["event"]["key"]["_id"] for row in rows if row["event"]["operation"] == "insert"}
    assert streamed == {-1, last + 700.5, "later"}
    await eventually(lambda: _moved_on(shop))


async def test_rules_may_change_while_documents_are_read(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """What is read from then on is held against the new ones; a collection only they want is streamed from
    the noted time."""
    shop.rule("big-orders", BIG_ORDERS)
    await shop.orders.insert_many([{"_id": n, "amount": 11_000} for n in range(MANY)])
    watched, name = named(shop, mongod, database)
    async with slowly(client, "find", name):
        running = watched.watch("--start-from", "rescan")
        await eventually(lambda: _documents(shop, 1))
        await shop.database["things"].insert_one({"_id": "thing"})
        shop.rule("small-orders", "on: {collection: SHOP.orders}\nwhen: amount < 5\ndo: [{log: x}]\n")
        shop.rule("things", "on: {collection: SHOP.things}\ndo: [{log: x}]\n")
        running.wait_for_line("rules reloaded")
    running.wait_for_line("rescan: done")

    await shop.delivery({"rule": "things", "event.key._id": "thing"})
    assert await shop.deliveries.count_documents({"rule": "big-orders"}) == MANY


async def test_stopped_in_the_middle_it_ends_in_good_order(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """SIGTERM: what is read is done, the progress is kept."""
    shop.rule("big-orders", BIG_ORDERS)
    await shop.orders.insert_many([{"_id": n, "amount": 11_000} for n in range(MANY)])
    watched, name = named(shop, mongod, database)
    async with slowly(client, "find", name):
        running = watched.watch("--start-from", "rescan")
        await eventually(lambda: _documents(shop, 1))
        assert running.terminate() == 0, running.output
    assert 0 < (await position(shop))["rescan"]["documents"] < MANY

    shop.watch().wait_for_line(f"rescan: done, {MANY:,} documents")
    await eventually(lambda: _owed(shop, MANY))


async def test_an_oplog_that_is_too_small_for_the_rescan_ends_it_loudly(tiny: Shop) -> None:
    """Fault 61: the noted time fell out of the oplog while documents were read: 78, and how to begin anew."""
    await tiny.orders.insert_many([{"_id": n, "amount": 11_000} for n in range(10)])
    client = tiny.database.client
    noted = (await client.admin.command("hello"))["operationTime"]
    tiny.run("checkpoint", "set", "--time", "now")
    half_way = {"namespaces": ["shop.orders"], "after": [4], "documents": 5, "gap": ""}
    await tiny.state["checkpoints"].update_one({}, {"$set": {"rescan": half_way, "cluster_time": noted}})
    await make_noise(client)
    await lose_history(client, noted)

    for policy in ("fail", "rescan"):  # rescanning again and again would be no way out
        done = tiny.run("watch", "--rules", "triggers/", "--on-history-lost", policy)
        assert done.code == 78, done.output
        assert "`--start-from rescan`" in done.stderr
    over = {**half_way, "namespaces": []}
    await tiny.state["checkpoints"].update_one({}, {"$set": {"rescan": over}})
    done = tiny.run("watch", "--rules", "triggers/", "--on-history-lost", "rescan")
    assert (done.code, "`--start-from rescan`" in done.stderr) == (78, True), done.output

    assert tiny.run("checkpoint", "reset", "--yes").code == 0
    tiny.watch("--start-from", "rescan").wait_for_line("rescan: done, 10 documents")
    await eventually(lambda: _owed(tiny, 10))
    assert await owed_for(tiny) == list(range(10))


async def test_documents_that_are_large_or_cannot_be_read_do_not_hold_it_up(shop: Shop) -> None:
    """Three that fill a reply each, one that Python cannot hold (it dies, with its bytes), one behind it."""
    shop.rule("big-orders", BIG_ORDERS)
    filler = b"x" * 9_000_000
    for key in range(3):
        await shop.orders.insert_one({"_id": key, "amount": 11_000, "filler": filler})
    raw = document(fields(_id=3, amount=11_000), old_binary("bad"))
    await shop.database["orders"].with_options(RAW).insert_one(RawBSONDocument(raw))
    await shop.orders.insert_one({"_id": 4, "amount": 11_000})

    shop.watch("--start-from", "rescan").wait_for_line("rescan: done, 5 documents")

    for key in (0, 1, 2, 4):
        await shop.delivery({"event.key._id": key, "status": "delivered"})
    dead = await shop.delivery({"event.key._id": 3, "status": "dead"})
    assert "bad" in dead["error"]
    assert dead["event"]["raw"] == raw


async def test_an_operator_who_sets_the_position_ends_a_rescan(shop: Shop) -> None:
    """`checkpoint set` is a new beginning."""
    shop.rule("big-orders", BIG_ORDERS)
    await shop.orders.insert_one({"_id": "there", "amount": 11_000})
    shop.run("checkpoint", "set", "--time", "now")
    half_way = {"namespaces": [f"{shop.database.name}.orders"], "after": [], "documents": 0, "gap": ""}
    await shop.state["checkpoints"].update_one({}, {"$set": {"rescan": half_way}})
    assert shop.run("checkpoint", "set", "--time", "now").code == 0

    shop.watch()
    await shop.orders.insert_one({"_id": "later", "amount": 12_000})
    await shop.delivery({"event.key._id": "later"})

    assert await owed_for(shop) == ["later"]


def slowly(
    client: AsyncMongoClient[Document], command: str, name: str, mode: Mode = "alwaysOn"
) -> AbstractAsyncContextManager[None]:
    """While this lasts, `command` takes most of a second."""
    return failing_commands(
        client, [command], app_name=name, mode=mode, blockConnection=True, blockTimeMS=700
    )


async def _ahead(shop: Shop, owed: int) -> bool:
    """Whether deliveries of a chunk are stored, more than `owed`, and its progress is not."""
    count = await shop.deliveries.count_documents({})
    return count > owed and await _documents(shop, 1) and not await _documents(shop, count)


async def _moved_on(shop: Shop) -> bool:
    """Whether the checkpoint speaks of no rescan any more."""
    return (await position(shop))["rescan"] is None


async def _documents(shop: Shop, count: int) -> bool:
    row = await shop.state["checkpoints"].find_one()
    return row is not None and row["rescan"] is not None and row["rescan"]["documents"] >= count


async def _owed(shop: Shop, count: int) -> bool:
    return await shop.deliveries.count_documents({}) == count
