"""Running the real engine, in this process, over a history that is there already.

The clock starts when the stream is the engine's own and nothing is read yet, and stops when the last delivery
is settled in the outbox. Opening the stream is within; starting Python, reading rules and the first start's
indexes, layout and lease are not.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from benchmarks.calls import expect
from benchmarks.history import History, state_database
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.engine import started
from mtrigger.settings import Settings
from mtrigger.supervision import interpreter
from mtrigger.supervision.stopping import Stop

NO_TEMPLATES: Mapping[str, str] = MappingProxyType({})

Outbox = AsyncCollection[dict[str, Any]]
Reached = Callable[[Outbox], Awaitable[None]]

LONGEST = 120.0
"""Seconds that one run may take, so that one whose deliveries fail and wait for their retries ends."""

_COUNT_EVERY = 0.05
"""Seconds between two looks whether the last delivery is stored."""

_LATE_BY = 0.01
"""How much of the time measured may pass between the last outcome and the look that finds it. Looking more
often would cost the engine, whose event loop it shares, more than it tells."""


@contextmanager
def rules_folder(*rules: str, templates: Mapping[str, str] = NO_TEMPLATES) -> Iterator[Path]:
    """A folder of rules, one file each, and beside it one of templates by their names."""
    with tempfile.TemporaryDirectory(prefix="mtrigger-bench-") as name:
        beside = Path(name) / "templates"
        beside.mkdir()
        for file, text in templates.items():
            (beside / file).write_text(text)
        folder = Path(name) / "triggers"
        folder.mkdir()
        for number, text in enumerate(rules):
            (folder / f"rule-{number}.yaml").write_text(text)
        yield folder


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[float]:
    """The engine, from when it owns its stream; that moment (of `perf_counter`). It is stopped in good order;
    what it dies of is raised here."""
    stop = Stop()
    async with (
        started(settings, lambda _work, _preview: None) as engine,
        asyncio.TaskGroup() as tasks,  # an engine that dies ends the wait for its deliveries
    ):
        tasks.create_task(engine.run(stop))
        try:
            await engine.watching.wait()
            yield time.perf_counter()
        finally:
            stop.request()


def finished(
    history: History, rules: Path, deliveries: int, reached: Reached, smtp: SmtpServer | None = None
) -> float:
    """Run the engine over `history` until `reached` returns and `deliveries` outcomes are written; how many
    seconds that took."""
    with state_database(history.uri) as state:
        settings = Settings(
            rules=rules, uri=history.uri, state_db=state.name, start_from=history.since.isoformat(), smtp=smtp
        )
        seconds = interpreter.run(_seconds(settings, reached))
        delivered = state["deliveries"].count_documents({"status": "delivered"})
        assert delivered == deliveries, f"{deliveries} deliveries were owed, {delivered} were made"
    return seconds


async def _seconds(settings: Settings, reached: Reached) -> float:
    async with AsyncMongoClient[dict[str, Any]](settings.uri) as client:
        outbox = client[settings.state_db]["deliveries"]
        async with running(settings) as began, asyncio.timeout(LONGEST):
            await reached(outbox)
            await settled(outbox, began)
            return time.perf_counter() - began


async def settled(outbox: Outbox, began: float) -> None:
    """Return once nothing is open in the outbox, a hundredth of the time since `began` late at most."""
    some = {"open": True, "partition": {"$gte": ""}}  # in the words of the index of what is open
    while await outbox.find_one(some, {"_id": 1}):  # noqa: ASYNC110 - nothing here is told of it
        await asyncio.sleep(_LATE_BY * (time.perf_counter() - began))


async def stored(outbox: Outbox, deliveries: int) -> None:
    """Return once so many deliveries are in the outbox, whatever has become of them."""
    while await outbox.estimated_document_count() < deliveries:  # noqa: ASYNC110 - as above
        await asyncio.sleep(_COUNT_EVERY)


def catch_up(history: History, rules: Path, deliveries: int) -> float:
    """Events a second, from the beginning of `history` to the last of `deliveries` calls of
    `benchmarks.calls:count` and its outcome in the outbox."""
    counter = expect(deliveries)

    async def reached(_outbox: Outbox) -> None:
        await counter.reached.wait()

    seconds = finished(history, rules, deliveries, reached)
    assert counter.count == deliveries, f"{deliveries} calls were owed, {counter.count} were made"
    return history.count / seconds


def deliver(history: History, rules: Path, smtp: SmtpServer | None = None) -> float:
    """Deliveries a second when each change of `history` owes one, until the last outcome is in the outbox."""

    async def reached(outbox: Outbox) -> None:
        await stored(outbox, history.count)

    return history.count / finished(history, rules, history.count, reached, smtp)
