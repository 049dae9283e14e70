"""Every store, for one suite."""

from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.stores.base import Store
from mtrigger.stores.memory import MemoryStore
from mtrigger.stores.mongo import MongoStore


@pytest.fixture
async def state_client(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[dict[str, object]]]:
    """A client as mtrigger itself makes it."""
    async with connect(mongod.uri) as client:
        yield client


@pytest.fixture(params=["memory", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An open, empty store of each kind."""
    kept: Store
    if request.param == "memory":
        kept = MemoryStore()
        await kept.open()
        yield kept
        await kept.close()
        return
    mongod: EmbeddedServer = request.getfixturevalue("mongod")
    async with connect(mongod.uri) as client:
        kept = MongoStore(client, "state_of_contract")
        await kept.open()
        yield kept
        await kept.close()
        await client.drop_database("state_of_contract")
