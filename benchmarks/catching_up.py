"""Catching up on inserts of which 1 % match: one rule, 1,000 rules, and what a raw loop can do.

The limits are loops over the synchronous driver's `watch()`, which reads faster than the asynchronous one:
one sees every change and filters in Python, the other leaves the filter to the server and only counts.
mtrigger stores every match in its outbox, calls a function for it and writes the outcome.

    python -m benchmarks.catching_up [--events N] [--rounds N] [--json] [--uri URI]
"""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pymongo import MongoClient

from benchmarks.command import Sizes, run
from benchmarks.engines import catch_up, rules_folder
from benchmarks.history import BIG, COLLECTION, DATABASE, Document, History, mongod, write_orders
from benchmarks.rounds import take_turns
from benchmarks.table import Row, compared

EVENTS = 200_000
SHARE = 0.01
RULES = 1_000

ONE_RULE = f"""\
on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}
when: amount > {BIG}
do: [{{function: benchmarks.calls:count}}]
"""


def customer_rules(count: int) -> Iterator[str]:
    """A rule for each of `count` customers: an equality and a range, on one collection."""
    for number in range(count):
        yield (
            f"on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}\n"
            f'when: customer.id == "C-{number}" and amount > {BIG + number % 100}\n'
            "do: [{function: benchmarks.calls:count}]\n"
        )


def filtering(history: History) -> float:
    """The loop everybody writes: see every change, look at the amount."""
    with MongoClient[Document](history.uri) as client:
        client.admin.command("ping")
        began, found = time.perf_counter(), 0
        with client[DATABASE][COLLECTION].watch(
            [], start_at_operation_time=history.start, batch_size=1_000
        ) as stream:
            for change in stream:
                if change["operationType"] == "insert" and change["fullDocument"]["amount"] > BIG:
                    found += 1
                    if found == history.big:
                        break
        return history.count / (time.perf_counter() - began)


def matching(history: History) -> float:
    """The same with the filter on the server."""
    match = {"operationType": "insert", "fullDocument.amount": {"$gt": BIG}}
    return history.count / seconds_to_count(history, match, history.big)


def seconds_to_count(history: History, match: Mapping[str, Any], wanted: int) -> float:
    """How long a loop takes that only counts the first `wanted` changes that `match` lets through."""
    with MongoClient[Document](history.uri) as client:
        client.admin.command("ping")
        began, found = time.perf_counter(), 0
        with client[DATABASE][COLLECTION].watch(
            [{"$match": match}], start_at_operation_time=history.start, batch_size=1_000
        ) as stream:
            for _ in stream:
                found += 1
                if found == wanted:
                    break
        return time.perf_counter() - began


def measure(sizes: Sizes) -> Iterator[Row]:
    """Three rows, of one run."""
    count = sizes.of(EVENTS)
    number = min(RULES, count)
    with (
        mongod(sizes.uri) as uri,
        rules_folder(ONE_RULE) as one,
        rules_folder(*customer_rules(number)) as many,
    ):
        history = write_orders(uri, count, SHARE, number)
        sides = {
            "mtrigger, 1 rule": partial(catch_up, history, one, history.big),
            "raw loop filtering in Python": partial(filtering, history),
            "raw loop with $match": partial(matching, history),
            f"mtrigger, {number:,} rules": partial(catch_up, history, many, history.big),
        }
        rates = take_turns("catch up, 1 % match", sides, sizes.rounds)
    ours, by_python, by_server, by_many = rates.values()
    what = "catch up on inserts, 1 % match, durable"
    yield compared(f"{what}, 1 rule", "raw loop filtering in Python", ours, by_python, 8)
    yield compared(f"{what}, 1 rule", "raw loop with the same $match, nothing stored", ours, by_server, 0.7)
    yield compared(f"{what}, {number:,} rules", "mtrigger with 1 rule", by_many, ours, 0.6)


if __name__ == "__main__":
    run(measure, "Catching up on inserts of which 1 % match.")
