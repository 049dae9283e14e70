"""Reading a change stream: mtrigger's batches against the driver's `watch()`, in one run.

    python benchmarks/stream.py [EVENTS]

Both read the same inserts from an embedded server, in turn, several times; what counts is the ratio.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.pushdown import StreamPlan
from mtrigger.reading.stream import ChangeStream, StreamPosition

ROUNDS = 5
Client = AsyncMongoClient[dict[str, Any]]
Reader = Callable[[Client, Timestamp, int], Awaitable[None]]


async def with_driver(client: Client, start: Timestamp, count: int) -> None:
    """The loop everybody writes, with the same events made of the changes."""
    async with await client["bench"].watch(
        start_at_operation_time=start, full_document="whenAvailable", max_await_time_ms=1000
    ) as stream:
        seen = 0
        while seen < count:
            change = await stream.try_next()
            if change is not None:
                ChangeEvent.from_change(change)
                seen += 1


async def with_batches(client: Client, start: Timestamp, count: int) -> None:
    """mtrigger's reader."""
    plan = StreamPlan("bench", {"operationType": "insert"}, "bench")
    stream = ChangeStream(client, plan, StreamPosition(None, start, ""), "bench")
    seen = 0
    while seen < count:
        seen += len((await stream.read()).events)
    await stream.close()


async def timed(reader: Reader, client: Client, start: Timestamp, count: int) -> float:
    """Events a second."""
    began = time.perf_counter()
    await reader(client, start, count)
    return count / (time.perf_counter() - began)


async def measure(uri: str, count: int) -> None:
    """Insert, read in turn, print medians and the ratio."""
    async with connect(uri) as client:
        start: Timestamp = (await client.admin.command("hello"))["operationTime"]
        order = {"order_id": "SO-10042", "amount": 9000.5, "customer": {"name": "Hansen"}, "items": [1, 2, 3]}
        await client["bench"]["orders"].insert_many([dict(order) for _ in range(count)])
        driver, batches = [], []
        for _ in range(ROUNDS):
            driver.append(await timed(with_driver, client, start, count))
            batches.append(await timed(with_batches, client, start, count))
    ratios = [ours / theirs for ours, theirs in zip(batches, driver, strict=True)]
    print(f"driver's watch()   {statistics.median(driver):10,.0f} events/s")
    print(f"mtrigger's batches {statistics.median(batches):10,.0f} events/s")
    print(f"ratio              {statistics.median(ratios):10.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    """Start a server, measure, stop it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder) / "data") as server:
        asyncio.run(measure(server.uri, count))


if __name__ == "__main__":
    main()
