"""The sources of one process: one that another process reads ends a single reading of all, in good order."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.errors import ConnectionLostError, OwnershipError
from mtrigger.ownership.standby import owned
from mtrigger.sources.definition import Destination, Query, Source
from mtrigger.sources.places import SourcePlace, checkpoint_of, plan_of, stream_of
from mtrigger.sources.progress import LogLines
from mtrigger.sources.rejected_rows import nobody
from mtrigger.sources.worker import Databases, SourceWorker
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.mongo import MongoStore
from support.table_in_memory import TableInMemory

LEASE = 2.0


class Away(TableInMemory):
    """A database that does not answer."""

    def names(self) -> Sequence[str]:
        raise ConnectionLostError("away")


async def test_what_is_read_once_is_given_back_when_another_source_is_not_ours(
    database: AsyncDatabase[dict[str, Any]],
) -> None:
    """The one that is still being waited for goes on for nobody."""
    held = Source("held", Query("sqlite://", ("orders",)), Destination(f"{database.name}.orders"))
    waiting = replace(held, name="waiting")
    store = MongoStore(database.client, database.name)
    await store.open()

    async def place() -> Checkpoint:
        return await store.begin(checkpoint_of("held", plan_of(held.query), SourcePlace(), datetime.now(UTC)))

    async with owned(store, place, LEASE, asyncio.Event()):
        databases = Databases(database.client, database.client, database.name, store)
        worker = SourceWorker(databases, LEASE, nobody, LogLines())
        with patch("mtrigger.sources.worker.connect", lambda _: Away()), pytest.raises(OwnershipError):
            await worker.run_once([waiting, held], asyncio.Event())
        lease = await store.leases.current(stream_of("waiting"))
    assert lease is not None
    assert lease.released
