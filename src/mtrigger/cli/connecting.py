"""How the operator's commands reach MongoDB: the watched deployment, the state, and one runner for both.

Keeps one promise: a deployment that does not answer, or does not let us, ends a command at once with exit
code 69 and one sentence. (The engine waits such faults out; a person should not have to.)
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from mtrigger.cli.addresses import Addresses
from mtrigger.deployment.connecting import Deployment, connect, examine, reason
from mtrigger.errors import DeploymentError
from mtrigger.redaction import redact_uri
from mtrigger.stores.mongo import MongoStore
from mtrigger.stores.mongo_positions import CHECKPOINTS

T = TypeVar("T")
Client = AsyncMongoClient[dict[str, Any]]

WRITE_SECONDS = 30.0
"""A store waits out what may pass; a command gives up after this long."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end. Raises DeploymentError for what goes wrong with MongoDB meanwhile."""
    try:
        return asyncio.run(work)
    except PyMongoError as error:
        raise DeploymentError(f"MongoDB failed: {reason(error)}") from error
    except TimeoutError as error:
        raise DeploymentError(
            f"MongoDB did not confirm the write within {WRITE_SECONDS:g} s: check that it has a primary, and "
            "that the user has the role `readWrite` on the state database."
        ) from error


@asynccontextmanager
async def watched(uri: str) -> AsyncIterator[tuple[Client, Deployment]]:
    """A client of the watched deployment, and what was found there. Raises DeploymentError."""
    async with connect(uri) as client:
        yield client, await examine(client, uri)


@asynccontextmanager
async def state(where: Addresses) -> AsyncIterator[MongoStore]:
    """The store of the state. Raises DeploymentError when it cannot be read; makes nothing."""
    async with state_database(where) as database:
        yield MongoStore(database.client, database.name)


@asynccontextmanager
async def state_database(where: Addresses) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """The database of the state. Raises DeploymentError when it cannot be read; makes nothing."""
    shown = redact_uri(where.state_uri)
    async with connect(where.state_uri) as client:
        try:
            await client[where.state_db][CHECKPOINTS].find_one({}, {"_id": 1})
        except OperationFailure as error:
            raise DeploymentError(
                f"The state database {where.state_db!r} at {shown} may not be read: {reason(error)}. Check "
                "the user and password in the URI; the role `readWrite` on that database is needed."
            ) from error
        except PyMongoError as error:
            raise DeploymentError(
                f"MongoDB at {shown} cannot be reached: {reason(error)}. Check that it runs and that the "
                "host and port are right."
            ) from error
        yield client[where.state_db]
