"""Errors with which a server ends a stream, and cursors that vanish (faults 15 to 17)."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from pymongo import AsyncMongoClient

from faults.world import Document, World, world_at
from mtrigger.embedded import EmbeddedServer
from support.command import MtriggerCommand
from support.fail_points import failing_commands, times_failed
from support.http_sink import HttpSink
from support.polling import eventually

APP_NAME = "stream-errors"
"""The fail points are for this client alone."""

RESUMABLE = {
    "HostUnreachable": 6,
    "HostNotFound": 7,
    "CursorNotFound": 43,
    "StaleShardVersion": 63,
    "NetworkTimeout": 89,
    "ShutdownInProgress": 91,
    "FailedToSatisfyReadPreference": 133,
    "StaleEpoch": 150,
    "PrimarySteppedDown": 189,
    "ElectionInProgress": 216,
    "RetryChangeStream": 234,
    "CursorKilled": 237,
    "ExceededTimeLimit": 262,
    "SocketException": 9001,
    "NotWritablePrimary": 10107,
    "InterruptedAtShutdown": 11600,
    "InterruptedDueToReplStateChange": 11602,
    "NotPrimaryNoSecondaryOk": 13435,
    "NotPrimaryOrSecondary": 13436,
}
"""The allow-list of the drivers' change stream specification, and what else a stream may end with."""


@pytest.fixture
async def world(
    mongod: EmbeddedServer, mtrigger_command: MtriggerCommand, http_sink: HttpSink
) -> AsyncIterator[World]:
    """Documents that are watched by a client of its own name. A driver that is told by a fail point that its
    primary is gone looks again with its next heartbeat, so that must come soon."""
    engine_uri = f"{mongod.uri}&appName={APP_NAME}&heartbeatFrequencyMS=500"
    async with world_at(
        mongod.uri,
        mtrigger_command,
        http_sink,
        documents=30,
        engine_uri=engine_uri,
        name="errors",
        lease="15s",
    ) as world:
        yield world


async def test_every_resumable_error_is_resumed_also_when_resuming_fails_twice(world: World) -> None:
    """Faults 15 and 16: for each code in turn, a `getMore` of the running stream fails with it, and then the
    next two tries to open it again."""

    async def disturb() -> None:
        for code in RESUMABLE.values():
            await _fail_three_times(world.client, {"errorCode": code})
        await _fail_three_times(world.client, {"closeConnection": True})

    assert await world.endure(disturb, seconds=10, seed=15) == []


async def _fail_three_times(client: AsyncMongoClient[Document], how: Document) -> None:
    """Fail the next three commands of the stream, and wait until they have failed and it is open again."""
    known = await eventually(partial(_cursors_of_ours, client, frozenset()))
    before = await times_failed(client)
    async with failing_commands(
        client, ["getMore", "aggregate"], app_name=APP_NAME, mode={"times": 3}, **how
    ):
        await eventually(partial(_failed_since, client, before + 3))
    await eventually(partial(_cursors_of_ours, client, known))


async def _failed_since(client: AsyncMongoClient[Document], count: int) -> bool:
    return await times_failed(client) >= count


async def test_an_error_that_only_its_label_calls_resumable_is_resumed(world: World) -> None:
    """Fault 15: a server may mark a code that nobody has heard of with `ResumableChangeStreamError`."""

    async def disturb() -> None:
        for code in (50_000, 8, 96):
            how = {"errorCode": code, "errorLabels": ["ResumableChangeStreamError"]}
            await _fail_three_times(world.client, how)

    assert await world.endure(disturb, seconds=2, seed=15) == []


async def test_a_cursor_that_is_killed_is_opened_again(world: World) -> None:
    """Fault 17: an operator finds our cursor by its comment and kills it, ten times."""
    killed: set[int] = set()

    async def disturb() -> None:
        for _ in range(10):
            found = await eventually(partial(_cursors_of_ours, world.client, frozenset(killed)))
            killed.update(found)
            await world.client.admin.command({"killCursors": "$cmd.aggregate", "cursors": list(found)})

    assert await world.endure(disturb, seconds=4, seed=17) == []
    assert len(killed) >= 10


async def _cursors_of_ours(client: AsyncMongoClient[Document], but: frozenset[int]) -> frozenset[int]:
    """The cursors of the stream, idle or waiting, found as an operator would find them."""
    stages: list[Document] = [
        {"$currentOp": {"allUsers": True, "idleCursors": True}},
        {"$match": {"cursor.originatingCommand.comment": {"$regex": "^mtrigger "}}},
    ]
    found = {int(operation["cursor"]["cursorId"]) async for operation in await client.admin.aggregate(stages)}
    return frozenset(found - but)
