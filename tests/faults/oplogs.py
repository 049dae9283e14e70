"""A deployment whose oplog holds next to nothing, so that history is really lost, and in seconds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from acceptance.shop import Shop
from support.command import MtriggerCommand
from support.http_sink import HttpSink
from support.mongo_servers import MongoServers
from support.smtp_sink import SmtpSink

Document = dict[str, Any]

TINY = ("--oplogSize", "1", "--syncdelay", "1")
"""One megabyte, and the server looks every second whether there is more."""

BIG_ORDERS = """
name: big-orders
on: {collection: SHOP.orders}
when: amount > 10000
do: [{log: "big order {{ document._id }}"}]
"""


@pytest.fixture
async def tiny(
    start_mongod: MongoServers, mtrigger_command: MtriggerCommand, smtp_sink: SmtpSink, http_sink: HttpSink
) -> AsyncIterator[Shop]:
    """A shop on a deployment of its own with a tiny oplog, and the rule BIG_ORDERS."""
    server = start_mongod.replica_set(*TINY)
    client: AsyncMongoClient[Document] = AsyncMongoClient(server.uri, tz_aware=True)
    async with client:
        shop = Shop(mtrigger_command, client["shop"], server.uri, smtp_sink, http_sink)
        shop.rule("big-orders", BIG_ORDERS)
        yield shop
        mtrigger_command.end_all()


async def oldest(client: AsyncMongoClient[Document]) -> Timestamp:
    """The time of the first change in the oplog."""
    entry = await client["local"]["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", 1)])
    assert entry is not None
    time: Timestamp = entry["ts"]
    return time


async def make_noise(client: AsyncMongoClient[Document]) -> None:
    """Some two megabytes of changes that no rule wants."""
    await client["noise"]["noise"].insert_many([{"filler": "x" * 20_000} for _ in range(100)])


async def lose_history(client: AsyncMongoClient[Document], before: Timestamp) -> None:
    """Write until the oplog begins after `before`."""
    async with asyncio.timeout(60):
        while await oldest(client) <= before:
            await make_noise(client)


async def position(shop: Shop) -> Document:
    """The checkpoint as it is stored."""
    row = await shop.state["checkpoints"].find_one()
    assert row is not None
    return row


async def owed_for(shop: Shop) -> list[Any]:
    """The ids of the orders that deliveries were made for, each as often as there are, sorted."""
    rows = await shop.deliveries.find({}, {"event.key": 1}).to_list()
    return sorted(row["event"]["key"]["_id"] for row in rows)
