"""Fixtures for every test: real servers, one database a test, nothing left behind.

`start_mongod.standalone()` and friends make servers with arguments of their own; `mongod` is shared by all
tests of a worker and must not be reconfigured.
"""

import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.embedded import EmbeddedServer
from support.mongo_servers import MongoServers, mongod_or_skip

Document = dict[str, Any]


@pytest.fixture(scope="session")
def mongod() -> Iterator[EmbeddedServer]:
    """A one-member replica set, one for each pytest worker. `mongod.uri` is its address."""
    mongod_or_skip()
    servers = MongoServers(Path(tempfile.mkdtemp(prefix="mtrigger-mongod-")))
    try:
        yield servers.replica_set()
    finally:
        servers.stop_all()


@pytest.fixture
def start_mongod() -> Iterator[MongoServers]:
    """Starts servers of the test's own: `.replica_set(*arguments)`, `.standalone()`, `.with_users()`."""
    mongod_or_skip()
    servers = MongoServers(Path(tempfile.mkdtemp(prefix="mtrigger-mongod-")))
    try:
        yield servers
    finally:
        servers.stop_all()


@pytest.fixture
async def client(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[Document]]:
    """A client of `mongod` on the test's own event loop."""
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongod.uri, tz_aware=True)
    async with client:
        yield client


@pytest.fixture
async def database(client: AsyncMongoClient[Document]) -> AsyncIterator[AsyncDatabase[Document]]:
    """An empty database with a name of its own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield client[name]
    await client.drop_database(name)
