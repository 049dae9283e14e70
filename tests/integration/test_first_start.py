"""On the first start of all, the stream's position comes before whatever else writes."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger import engine
from mtrigger.embedded import EmbeddedServer
from mtrigger.position.starting import Starting
from mtrigger.settings import Settings
from mtrigger.stores.base import Checkpoint
from mtrigger.supervision.stopping import Stop
from support.polling import eventually

STORE = "name: store\non: {topic: ORDERS}\ndo: [{sink: {into: DB.orders}}]\n"
SEEN = """
name: seen
on: {collection: DB.orders}
do: [{write: {into: DB.seen, insert: {_id: "{{ document._id }}"}}}]
"""

LONG = 0.5
"""Seconds; without a reason to wait, a group needs a small part of that to write what it finds."""


async def test_rules_see_what_a_topic_brings_on_the_first_start(
    database: AsyncDatabase[dict[str, Any]],
    mongod: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A group whose messages are waiting writes nothing before the stream knows where it begins, however long
    that takes: else rules on what it writes would never hear of it."""
    state = database.client[f"{database.name}_state"]
    wrote, place = asyncio.Event(), Starting.place

    async def slow_place(starting: Starting, *given: Any) -> Checkpoint:
        with suppress(TimeoutError):
            await asyncio.wait_for(wrote.wait(), LONG)
        return await place(starting, *given)

    monkeypatch.setattr(Starting, "place", slow_place)
    for name, text in (("store", STORE), ("seen", SEEN)):
        (tmp_path / f"{name}.yaml").write_text(text.replace("DB", database.name))
    await state["topics.ORDERS"].insert_many([{"_id": number, "body": {}} for number in range(5)])
    settings, stop = Settings(rules=tmp_path, uri=mongod.uri, state_db=state.name), Stop()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(engine.run(settings, stop, lambda work, preview: None))
            await eventually(lambda: database["orders"].count_documents({"_id": 4}))
            wrote.set()
            await eventually(lambda: _all_seen(database))
            stop.request()
    finally:
        await database.client.drop_database(state.name)


async def _all_seen(database: AsyncDatabase[dict[str, Any]]) -> bool:
    return sorted(await database["seen"].distinct("_id")) == list(range(5))
