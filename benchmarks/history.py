"""A MongoDB of the benchmark's own, and a history of orders in it that every side reads from one place."""

import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.database import Database

from mtrigger.embedded import EmbeddedServer

Document = dict[str, Any]

DATABASE, COLLECTION = f"mtrigger_bench_{os.getpid()}", "orders"
BIG = 10_000
"""Orders above this amount are the ones a rule wants."""

_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class History:
    """Changes in the collection of the server at `uri`: `count` of them since `since` (aware), of which `big`
    are about big orders. The last one is."""

    uri: str
    since: datetime
    count: int
    big: int

    @property
    def start(self) -> Timestamp:
        """`since` as a position of a change stream."""
        return Timestamp(int(self.since.timestamp()), 1)


@contextmanager
def mongod(uri: str) -> Iterator[str]:
    """The address of a replica set: `uri`, or where that is empty one like that of `mtrigger demo`."""
    if uri:
        try:
            yield uri
        finally:
            with MongoClient[Document](uri) as client:
                client.drop_database(DATABASE)
        return
    with (
        tempfile.TemporaryDirectory(prefix="mtrigger-bench-") as folder,
        EmbeddedServer.start(Path(folder) / "data") as server,
    ):
        yield server.uri


@contextmanager
def state_database(uri: str) -> Iterator[Database[Document]]:
    """An empty database for the state of an engine, dropped afterwards."""
    with MongoClient[Document](uri, tz_aware=True) as client:
        state = client[f"{DATABASE}_state_{uuid.uuid4().hex[:8]}"]
        try:
            yield state
        finally:
            client.drop_database(state)


def big_ones(count: int, share: float) -> int:
    """How many of `count` orders are big when it is the given share of them."""
    return max(1, round(count * share))


def orders(count: int, share: float, customers: int = 1_000) -> Iterator[Document]:
    """`count` orders (of about 350 bytes) by so many customers; the big ones lie evenly among them, the last
    order is one of them."""
    chance = random.Random(0)
    big = big_ones(count, share)
    for number in range(count):
        is_big = (number + 1) * big // count > number * big // count
        yield _order(number, chance, BIG + 10_000 if is_big else chance.randrange(BIG), customers)


def _order(number: int, chance: random.Random, amount: int, customers: int) -> Document:
    customer = chance.randrange(customers)
    return {
        "order_id": f"SO-{number}",
        "customer": {"id": f"C-{customer}", "name": "Hansen & Sons", "email": "purchasing@hansen.example"},
        "region": chance.choice(("EMEA", "AMER", "APAC")),
        "status": "open",
        "amount": amount + 0.5,
        "currency": "USD",
        "items": [{"sku": "WB-200", "name": "Workbench, oak, 2 m", "qty": 1, "price": 1290.0}],
    }


def beginning() -> datetime:
    """A moment that no change so far has reached: the next full second, waited for. Positions are found by
    time, and times of changes are whole seconds."""
    begin = int(time.time()) + 1
    time.sleep(begin - time.time())
    return datetime.fromtimestamp(begin, UTC)


def write_orders(uri: str, count: int, share: float, customers: int = 1_000) -> History:
    """Insert orders into an emptied collection, and remember where they begin in the history."""
    with MongoClient[Document](uri) as client:
        collection = client[DATABASE][COLLECTION]
        collection.drop()
        client[DATABASE].create_collection(COLLECTION)
        since = beginning()
        portion: list[Document] = []
        for order in orders(count, share, customers):
            portion.append(order)
            if len(portion) == _AT_ONCE:
                collection.insert_many(portion, ordered=False)
                portion = []
        if portion:
            collection.insert_many(portion, ordered=False)
    return History(uri, since, count, big_ones(count, share))
