"""Updates on a collection without post-images, of which 1 % match.

The limit is the loop everybody writes: `watch(full_document="updateLookup")` with the synchronous driver, and
the filter in Python. Measured twice, because it depends on what the updates touch: the field that the rule is
about, which the change itself tells; or another field, so that the document has to be looked up.

    python -m benchmarks.updates [--events N] [--rounds N] [--json] [--uri URI]
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

from pymongo import MongoClient, UpdateOne

from benchmarks.command import Sizes, run
from benchmarks.engines import catch_up, rules_folder
from benchmarks.history import (
    BIG,
    COLLECTION,
    DATABASE,
    Document,
    History,
    beginning,
    big_ones,
    mongod,
    write_orders,
)
from benchmarks.rounds import take_turns
from benchmarks.table import Row, compared

EVENTS = 20_000
SHARE = 0.01
AT_ONCE = 10_000

BIG_ORDERS = f"""\
on: {{collection: {DATABASE}.{COLLECTION}, operations: [update]}}
when: amount > {BIG}
do: [{{function: benchmarks.calls:count}}]
"""

Change = Callable[[Document], Document]
"""The fields that an update sets in an order."""


def amounts(order: Document) -> Document:
    """The update sets what the rule is about."""
    return {"amount": order["amount"] + 0.25}


def statuses(_order: Document) -> Document:
    """The update sets something else."""
    return {"status": "packed"}


def write_updates(uri: str, count: int, change: Change) -> History:
    """One update of each of `count` orders, of which SHARE are big before and after it."""
    write_orders(uri, count, SHARE)
    with MongoClient[Document](uri) as client:
        collection = client[DATABASE][COLLECTION]
        since = beginning()
        updates = [
            UpdateOne({"_id": order["_id"]}, {"$set": change(order)})
            for order in collection.find({}, {"amount": 1}, sort=[("$natural", 1)])
        ]
        for at in range(0, count, AT_ONCE):
            collection.bulk_write(updates[at : at + AT_ONCE])
    return History(uri, since, count, big_ones(count, SHARE))


def looking_up(history: History) -> float:
    """See every change with its document as the server looks it up, and look at the amount."""
    with MongoClient[Document](history.uri) as client:
        client.admin.command("ping")
        began, found = time.perf_counter(), 0
        with client[DATABASE][COLLECTION].watch(
            [], full_document="updateLookup", start_at_operation_time=history.start, batch_size=1_000
        ) as stream:
            for change in stream:
                document = change.get("fullDocument")
                if change["operationType"] == "update" and document and document["amount"] > BIG:
                    found += 1
                    if found == history.big:
                        break
        return history.count / (time.perf_counter() - began)


def measure(sizes: Sizes) -> Iterator[Row]:
    """Two rows: of updates that tell what the rule asks, and of others."""
    for change, touched in ((amounts, "of the rule's field"), (statuses, "of another field")):
        with mongod(sizes.uri) as uri, rules_folder(BIG_ORDERS) as rules:
            history = write_updates(uri, sizes.of(EVENTS), change)
            sides = {
                "mtrigger": partial(catch_up, history, rules, history.big),
                "raw loop": partial(looking_up, history),
            }
            ours, limit = take_turns(f"updates {touched}", sides, sizes.rounds).values()
        yield compared(
            f"updates {touched}, no post-images, 1 % match, durable",
            'raw loop with full_document="updateLookup"',
            ours,
            limit,
            at_least=3,
        )


if __name__ == "__main__":
    run(measure, "Updates on a collection without post-images, of which 1 % match.")
