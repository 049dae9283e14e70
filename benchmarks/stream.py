"""Reading a change stream: mtrigger's batches against the driver's asynchronous `watch()`.

Both read the same inserts and make the same events of them; nothing is matched or stored.

    python -m benchmarks.stream [--events N] [--rounds N] [--json] [--uri URI]
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from pymongo import AsyncMongoClient

from benchmarks.command import Sizes, run
from benchmarks.history import DATABASE, Document, History, mongod, write_orders
from benchmarks.rounds import take_turns
from benchmarks.table import Row, compared
from mtrigger.deployment.connecting import connect
from mtrigger.events import ChangeEvent
from mtrigger.pushdown import StreamPlan
from mtrigger.reading.stream import ChangeStream, StreamPosition
from mtrigger.supervision import interpreter

EVENTS = 20_000

Client = AsyncMongoClient[Document]
Reader = Callable[[Client, History], Awaitable[None]]


async def with_driver(client: Client, history: History) -> None:
    """The loop everybody writes, with the same events made of the changes."""
    async with await client[DATABASE].watch(
        start_at_operation_time=history.start, full_document="whenAvailable", max_await_time_ms=1000
    ) as stream:
        seen = 0
        while seen < history.count:
            change = await stream.try_next()
            if change is not None:
                ChangeEvent.from_change(change)
                seen += 1


async def with_batches(client: Client, history: History) -> None:
    """mtrigger's reader."""
    plan = StreamPlan(DATABASE, {"operationType": "insert"}, "bench")
    stream = ChangeStream(client, plan, StreamPosition(None, history.start, ""), "bench")
    seen = 0
    while seen < history.count:
        seen += len((await stream.read()).events)
    await stream.close()


async def _rate(reader: Reader, history: History) -> float:
    async with connect(history.uri) as client:
        await client.admin.command("ping")
        began = time.perf_counter()
        await reader(client, history)
        return history.count / (time.perf_counter() - began)


def rate(reader: Reader, history: History) -> float:
    """Events a second."""
    return interpreter.run(_rate(reader, history))


def measure(sizes: Sizes) -> Iterator[Row]:
    """One row."""
    with mongod(sizes.uri) as uri:
        history = write_orders(uri, sizes.of(EVENTS), 1)
        sides = {
            "mtrigger's batches": partial(rate, with_batches, history),
            "driver's watch()": partial(rate, with_driver, history),
        }
        ours, limit = take_turns("reading", sides, sizes.rounds).values()
    yield compared("reading alone, events made of changes", "driver's watch()", ours, limit, at_least=1)


if __name__ == "__main__":
    run(measure, "Reading a change stream in batches.")
