"""The position of the stream while its outbox is slow, and when it must be found by its time alone.

The engine runs inside the test, with short intervals, so that what could go wrong has many chances to.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger import engine, watcher
from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.pushdown import StreamPlan
from mtrigger.reading import stream
from mtrigger.reading.stream import ChangeStream, StreamPosition
from mtrigger.settings import Settings
from mtrigger.supervision.stopping import Stop
from support.fail_points import failing_commands
from support.polling import eventually

Document = dict[str, Any]
Client = AsyncMongoClient[Document]

RULE = """
name: every-order
on: {collection: DATABASE.orders, operations: [insert]}
do: [{log: "order {{ document._id }}"}]
"""
APP_NAME = "slow-outbox"
SLOW_MS = 800


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions are written all the time, idle ones too, and an idle stream answers at once."""
    monkeypatch.setattr(watcher, "CHECKPOINT_EVERY", 0.02)
    monkeypatch.setattr(watcher, "IDLE_CHECKPOINT_EVERY", 0.02)
    monkeypatch.setattr(stream, "MAX_AWAIT_MS", 50)


@asynccontextmanager
async def running(uri: str, database: AsyncDatabase[Document], folder: Path) -> AsyncIterator[None]:
    """An engine with one rule, that is watching; its state is in the database `<name>_state`."""
    rule = folder / "every-order.yaml"
    rule.write_text(RULE.replace("DATABASE", database.name))
    settings = Settings(rule, uri=uri, state_db=f"{database.name}_state")
    stop = Stop()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run(settings, stop, lambda work, preview: None))
        await eventually(lambda: _state(database)["checkpoints"].find_one({"token": {"$ne": None}}))
        yield
        stop.request()


def _state(database: AsyncDatabase[Document]) -> AsyncDatabase[Document]:
    return database.client[f"{database.name}_state"]


@pytest.mark.usefixtures("restless")
async def test_the_position_never_runs_ahead_of_a_slow_outbox(
    mongod: EmbeddedServer, client: Client, database: AsyncDatabase[Document], tmp_path: Path
) -> None:
    """Fault 50 (and 1, 2, 13): every insert into the outbox takes most of a second, while the stream is read
    on, turns idle, and the position is written all the time. Whatever is stored lies behind no event whose
    delivery is not."""
    state = _state(database)

    async def look() -> None:
        while True:
            checkpoint = await state["checkpoints"].find_one() or {}
            position = (checkpoint.get("token") or {}).get("_data", "")
            stored = {
                row["event"]["key"]["_id"] async for row in state["deliveries"].find({}, {"event.key": 1})
            }
            looks.append((position, stored))
            await asyncio.sleep(0.01)

    looks: list[tuple[str, set[int]]] = []
    async with (
        running(f"{mongod.uri}&appName={APP_NAME}", database, tmp_path),
        failing_commands(client, ["insert"], app_name=APP_NAME, blockConnection=True, blockTimeMS=SLOW_MS),
        asyncio.TaskGroup() as tasks,
    ):
        looking = tasks.create_task(look())
        for number in range(6):
            await database["orders"].insert_one({"_id": number})
            if number % 2:  # two orders behind each other, then a silence in which the stream turns idle
                await eventually(partial(state["deliveries"].find_one, {"event.key._id": number}))
        looking.cancel()

    tokens = {row["event"]["key"]["_id"]: row["position"] async for row in state["deliveries"].find()}
    await client.drop_database(state.name)
    assert len(tokens) == 6
    ahead = [
        f"order {order} was passed by {position}"
        for position, stored in looks
        for order, token in tokens.items()
        if token <= position and order not in stored
    ]
    assert ahead == []
    assert len({position for position, _ in looks}) > 3, "the position did not move: nothing was tried"


async def test_going_on_by_time_brings_everything_of_that_moment_again(
    mongod: EmbeddedServer, client: Client, database: AsyncDatabase[Document]
) -> None:
    """Faults 25, 26 and 41: all changes of a transaction have one time. Opened again at the time of the first
    of them, the stream brings them all: what was not dealt with is not skipped."""
    await database.create_collection("orders")
    start = (await client.admin.command("hello"))["operationTime"]
    async with client.start_session() as session, await session.start_transaction():
        await database["orders"].insert_many([{"_id": n} for n in range(3)], session=session)
    async with connect(mongod.uri) as reading:
        first, *others = await _read(reading, database.name, StreamPosition(None, start, ""), 3)
        half_way = StreamPosition({"_data": first.token}, first.cluster_time, "plan").by_time()

        again = await _read(reading, database.name, half_way, 3)

    assert {event.cluster_time for event in others} == {first.cluster_time}
    assert [event.token for event in again] == [first.token, *(event.token for event in others)]


async def _read(client: Client, database: str, position: StreamPosition, count: int) -> list[ChangeEvent]:
    """`count` events from `position` on; fewer when the stream turns idle before."""
    plan = StreamPlan(database, {"operationType": "insert"}, "plan")
    reader = ChangeStream(client, plan, position, "test")
    events: list[ChangeEvent] = []
    idle = 0
    while len(events) < count and idle < 3:
        batch = await reader.read()
        idle += not batch.events
        events.extend(batch.events)
    await reader.close()
    return events
