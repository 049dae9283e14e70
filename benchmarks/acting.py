"""Every event matches and calls a function that does nothing: what being durable costs.

The limit is a loop over the asynchronous driver's `watch()` that awaits the same function and stores nothing.
Each run has a history of its own: in an older one, what the runs before it have stored would lie behind the
events, and mtrigger, which goes on reading, would read that as well.

    python -m benchmarks.acting [--events N] [--rounds N] [--json] [--uri URI]
"""

import time
from collections.abc import Iterator

from pymongo import AsyncMongoClient

from benchmarks import calls
from benchmarks.command import Sizes, run
from benchmarks.engines import catch_up, rules_folder
from benchmarks.history import COLLECTION, DATABASE, Document, History, mongod, write_orders
from benchmarks.rounds import take_turns
from benchmarks.table import Row, compared
from mtrigger.supervision import interpreter

EVENTS = 20_000

EVERY_ORDER = f"""\
on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}
do: [{{function: benchmarks.calls:count}}]
"""


async def _calling(history: History) -> float:
    counter = calls.expect(history.count)
    async with AsyncMongoClient[Document](history.uri) as client:
        await client.admin.command("ping")
        began = time.perf_counter()
        async with await client[DATABASE][COLLECTION].watch(
            [{"$match": {"operationType": "insert"}}], start_at_operation_time=history.start, batch_size=1_000
        ) as stream:
            async for change in stream:
                await calls.count(change["fullDocument"])
                if counter.reached.is_set():
                    break
        return history.count / (time.perf_counter() - began)


def calling(history: History) -> float:
    """The loop everybody writes: read a change, await the function."""
    return interpreter.run(_calling(history))


def measure(sizes: Sizes) -> Iterator[Row]:
    """One row."""
    with mongod(sizes.uri) as uri, rules_folder(EVERY_ORDER) as rules:
        count = sizes.of(EVENTS)
        sides = {
            "mtrigger": lambda: catch_up(write_orders(uri, count, 1), rules, count),
            "raw loop": lambda: calling(write_orders(uri, count, 1)),
        }
        ours, limit = take_turns("all match, no-op function", sides, sizes.rounds).values()
    yield compared(
        "all events match, async no-op function, durable",
        "raw loop calling it, nothing stored",
        ours,
        limit,
        at_least=0.3,
        rate=8_000,
    )


if __name__ == "__main__":
    run(measure, "Every event matches and calls a function that does nothing.")
