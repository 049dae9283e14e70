"""From an insert to its webhook, at 20 inserts a second.

The limit is a coroutine that awaits the next change of the asynchronous driver's `watch()` and posts it with
aiohttp, in the same process as the inserts, as mtrigger is. The time runs from just before the insert to the
moment the receiver, another process, has the request.

    python -m benchmarks.latency [--events N] [--rounds N] [--json] [--uri URI]
"""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
from bson import json_util
from pymongo import AsyncMongoClient

from benchmarks.command import Sizes, run
from benchmarks.engines import rules_folder, running
from benchmarks.history import COLLECTION, DATABASE, Document, mongod, orders, state_database
from benchmarks.rounds import tell
from benchmarks.sinks import Sink, sink
from benchmarks.table import Row
from benchmarks.webhooks import rule
from mtrigger.settings import Settings
from mtrigger.supervision import interpreter

EVENTS = 100
PER_SECOND = 20
MORE = 0.005
"""Seconds that the median may be above the limit's."""

TIMES = 2.0
"""How many times the limit's 99th percentile ours may be."""

_SETTLING = 1.0
"""Seconds for either side to open its stream before the first insert."""


@asynccontextmanager
async def through_mtrigger(uri: str, rules: Path) -> AsyncIterator[None]:
    """mtrigger, at work."""
    with state_database(uri) as state:
        async with running(Settings(rules=rules, uri=uri, state_db=state.name)):
            yield


@asynccontextmanager
async def by_hand(uri: str, url: str) -> AsyncIterator[None]:
    """A raw loop, at work."""

    headers = {"Content-Type": "application/json"}

    async def post_changes() -> None:
        async with (
            AsyncMongoClient[Document](uri) as client,
            aiohttp.ClientSession() as session,
            await client[DATABASE][COLLECTION].watch([{"$match": {"operationType": "insert"}}]) as stream,
        ):
            async for change in stream:
                message = {"type": "insert", "data": change["fullDocument"]}
                body = json.dumps(message, default=json_util.default)
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()

    posting = asyncio.create_task(post_changes())
    try:
        yield
    finally:
        posting.cancel()
        await asyncio.wait({posting})


async def inserting(
    uri: str, count: int, at_work: AbstractAsyncContextManager[None], sink: Sink
) -> list[float]:
    """Insert orders while somebody is at work; the seconds until each was received."""
    async with AsyncMongoClient[Document](uri) as client, at_work:
        collection = client[DATABASE][COLLECTION]
        await asyncio.sleep(_SETTLING)
        begin = time.monotonic()
        for number, order in enumerate(orders(count, 1)):
            await asyncio.sleep(begin + number / PER_SECOND - time.monotonic())
            order["sent"] = str(time.monotonic_ns())
            await collection.insert_one(order)
        latencies: list[float] = []
        while len(latencies) < count:
            await asyncio.sleep(0.05)
            latencies += sink.report().latencies
    assert len(latencies) == count, f"{count} inserts, {len(latencies)} webhooks"
    return latencies


def measure(sizes: Sizes) -> Iterator[Row]:
    """Two rows: the median and the 99th percentile."""
    count = sizes.of(EVENTS)
    with mongod(sizes.uri) as uri, sink("http") as receiver, rules_folder(rule(receiver.port)) as rules:
        sides: dict[str, Callable[[], AbstractAsyncContextManager[None]]] = {
            "mtrigger": lambda: through_mtrigger(uri, rules),
            "raw loop": lambda: by_hand(uri, f"http://127.0.0.1:{receiver.port}/orders"),
        }
        found: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(1, sizes.rounds + 1):
            for name, at_work in sides.items():
                found[name] += interpreter.run(inserting(uri, count, at_work(), receiver))
                median = statistics.median(found[name]) * 1000
                tell(f"latency, round {number} of {sizes.rounds}: {name} {median:.1f} ms so far")
    what = f"insert to webhook received, {PER_SECOND}/s"
    ours, limit = (percentiles(seconds) for seconds in found.values())
    against = "raw watch + aiohttp.post in the same process"
    yield _row(f"{what}, p50", against, ours[0], limit[0], "limit + 5 ms", reached=ours[0] <= limit[0] + MORE)
    yield _row(f"{what}, p99", against, ours[1], limit[1], "2 x at most", reached=ours[1] <= limit[1] * TIMES)


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile of all rounds together."""
    ordered = sorted(seconds)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]


def _row(benchmark: str, against: str, ours: float, limit: float, wanted: str, *, reached: bool) -> Row:
    return Row(benchmark, against, "ms", ours * 1000, limit * 1000, ours / limit, wanted, reached)


if __name__ == "__main__":
    run(measure, "From an insert to its webhook, at 20 inserts a second.")
