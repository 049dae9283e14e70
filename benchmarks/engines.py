"""Running the real engine, in this process, over a history that is there already.

The clock starts when the engine is ready to read (rules loaded, stream owned, nothing read yet) and stops
when the last delivery is settled in the outbox. Opening the stream is within, the start of the interpreter is not.
"""

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from benchmarks.calls import expect
from benchmarks.history import History
from mtrigger.engine import started
from mtrigger.settings import Settings
from mtrigger.supervision.stopping import Stop

State = AsyncMongoClient[dict[str, Any]]

_LOOK_EVERY = 0.002
"""Seconds between two looks whether the last outcomes are written."""


@contextmanager
def rules_folder(*rules: str) -> Iterator[Path]:
    """A folder of rules, one file each."""
    with tempfile.TemporaryDirectory(prefix="mtrigger-bench-") as name:
        folder = Path(name) / "triggers"
        folder.mkdir()
        for number, text in enumerate(rules):
            (folder / f"rule-{number}.yaml").write_text(text)
        yield folder


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[float]:
    """The engine, while it runs; the moment it began to (of `perf_counter`). It is stopped in good order, and
    what it ends with is raised here."""
    stop = Stop()
    async with started(settings, stop, lambda _work, _preview: None) as engine:
        assert engine is not None, "nobody else watches a database that was made for this"
        began = time.perf_counter()
        task = asyncio.create_task(engine.run(stop))
        try:
            yield began
        finally:
            stop.request()
            await task


async def finished(
    history: History, rules: Path, deliveries: int, reached: Callable[[], Awaitable[object]]
) -> float:
    """Run the engine over `history` until `reached` returns and `deliveries` outcomes are written; how many
    seconds that took."""
    state_db = f"state_{uuid.uuid4().hex[:8]}"
    settings = Settings(rules=rules, uri=history.uri, state_db=state_db, start_from=history.since.isoformat())
    async with AsyncMongoClient[dict[str, Any]](history.uri) as client:
        try:
            async with running(settings) as began:
                await reached()
                await settled(client, state_db)
                seconds = time.perf_counter() - began
            delivered = await client[state_db]["deliveries"].count_documents({"status": "delivered"})
            assert delivered == deliveries, f"{deliveries} deliveries were owed, {delivered} were made"
        finally:
            await client.drop_database(state_db)
    return seconds


async def settled(client: State, state_db: str) -> None:
    """Return once nothing is open in the outbox."""
    some = {"open": True, "partition": {"$gte": ""}}  # in the words of the index of what is open
    while await client[state_db]["deliveries"].find_one(some, {"_id": 1}):  # noqa: ASYNC110 - it is elsewhere
        await asyncio.sleep(_LOOK_EVERY)


def catch_up(history: History, rules: Path, deliveries: int) -> float:
    """Events a second, from the beginning of `history` to the last of `deliveries` calls of
    `benchmarks.calls:count` and its outcome in the outbox."""
    counter = expect(deliveries)
    seconds = asyncio.run(finished(history, rules, deliveries, counter.reached.wait))
    assert counter.count == deliveries, f"{deliveries} calls were owed, {counter.count} were made"
    return history.count / seconds
