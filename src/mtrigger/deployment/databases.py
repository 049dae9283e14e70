"""The databases an engine works with: the one it watches, and the one that keeps its state.

Promise: a state database that cannot be used is one sentence that names the role it takes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, PyMongoError

from mtrigger.deployment.connecting import connect, reason, same_deployment
from mtrigger.embedded import EmbeddedServer, default_data_folder
from mtrigger.errors import DeploymentError
from mtrigger.redaction import redact_uri
from mtrigger.settings import Settings
from mtrigger.stores.base import Store
from mtrigger.stores.effects import MakeTopic
from mtrigger.stores.memory import MemoryStore
from mtrigger.stores.mongo import MongoStore
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.registry import MongoTopics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """Where positions, the outbox and the topics are kept: `database` of what `client` reaches.
    For a dry run `store` is in memory, and the topics are the real ones. `holds_topics`: it can."""

    store: Store
    topics: MongoTopics
    client: AsyncMongoClient[dict[str, Any]]
    database: str
    holds_topics: bool


@asynccontextmanager
async def watched_client(settings: Settings) -> AsyncIterator[tuple[AsyncMongoClient[dict[str, Any]], str]]:
    """A client of the deployment to watch; of an embedded server where none is named."""
    async with address(settings) as uri, connect(uri) as client:
        yield client, uri


@asynccontextmanager
async def address(settings: Settings) -> AsyncIterator[str]:
    """The address of the deployment to watch: where none is named, of an embedded server that runs
    meanwhile."""
    if settings.uri:
        yield settings.uri
        return
    data = default_data_folder(settings.environ)
    server = await asyncio.to_thread(EmbeddedServer.start, data)
    log.info("no --uri given: using an embedded MongoDB at %s, its data in %s", server.uri, data)
    try:
        yield server.uri
    finally:
        await asyncio.to_thread(server.stop)


def _at(settings: Settings) -> str:
    return f", {redact_uri(settings.state_uri)}," if settings.state_uri else ""


@asynccontextmanager
async def state_of(settings: Settings, client: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[State]:
    """The state: in the watched deployment or where --state-uri says; for a dry run in memory, but for the
    topics."""
    async with connect(settings.state_uri) if settings.state_uri else _shared(client) as home:
        topics = MongoTopics(home[settings.state_db], StateOutage(None))
        if settings.dry_run:
            yield State(MemoryStore(), topics, home, settings.state_db, holds_topics=True)
            return
        try:
            elsewhere = None if home is client or await same_deployment(client, home) else client
            holds_topics = await _holds_topics(home)
            store = MongoStore(home, settings.state_db, elsewhere=elsewhere, make_topic=topic_maker(topics))
            await store.open()
        except ConnectionFailure as error:
            raise DeploymentError(
                f"The MongoDB of the state{_at(settings)} cannot be reached: {reason(error)}. Check that it "
                "runs and that the host and port are right."
            ) from error
        except PyMongoError as error:
            raise DeploymentError(
                f"The state database {settings.state_db!r} cannot be used (the role `readWrite` on it is "
                f"needed): {redact_uri(str(error))}"
            ) from error
        yield State(store, topics, home, settings.state_db, holds_topics)


def topic_maker(topics: MongoTopics) -> MakeTopic:
    """What makes topics among these."""

    async def make(topic: str) -> None:
        await topics.log(topic).open()

    return make


async def _holds_topics(home: AsyncMongoClient[dict[str, Any]]) -> bool:
    """Whether it is a replica set, or several: a server by itself has no transactions and no streams."""
    hello = await home.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


@asynccontextmanager
async def _shared(
    client: AsyncMongoClient[dict[str, Any]],
) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    yield client
