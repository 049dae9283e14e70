"""Webhooks to a local server, 100 at a time.

The limit is a loop of 100 tasks over one aiohttp session that post bytes which are ready: no change stream,
no outbox. mtrigger reads each change, stores what is owed, makes the message, posts it, writes the outcome.

    python -m benchmarks.webhooks [--events N] [--rounds N] [--json] [--uri URI]
"""

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial

import aiohttp

from benchmarks.command import Sizes, run
from benchmarks.engines import deliver, rules_folder
from benchmarks.history import COLLECTION, DATABASE, History, mongod, orders, write_orders
from benchmarks.rounds import take_turns
from benchmarks.sinks import Sink, sink
from benchmarks.table import Row, compared
from mtrigger.supervision import interpreter

EVENTS = 10_000
AT_ONCE = 100


def rule(port: int) -> str:
    """A webhook for every order, with the message that is sent when a rule names no body."""
    return (
        f"on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}\n"
        f"do: [{{webhook: {{url: 'http://127.0.0.1:{port}/orders', concurrency: {AT_ONCE}}}}}]\n"
    )


async def _posting(bodies: Iterator[bytes], url: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def post() -> None:
            for body in bodies:
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()
                    assert answer.status == 200

        await asyncio.gather(*(post() for _ in range(AT_ONCE)))


def through_mtrigger(history: History, rules: str, sink: Sink) -> float:
    """Webhooks a second, from the change stream to the outcome in the outbox."""
    with rules_folder(rules) as folder:
        rate = deliver(history, folder)
    assert (messages := sink.report().messages) == history.count, messages
    return rate


def by_hand(count: int, sink: Sink) -> float:
    """Webhooks a second of the raw loop."""
    bodies = [json.dumps({"type": "insert", "data": order}).encode() for order in orders(count, 1)]
    began = time.perf_counter()
    interpreter.run(_posting(iter(bodies), f"http://127.0.0.1:{sink.port}/orders"))
    rate = count / (time.perf_counter() - began)
    assert (messages := sink.report().messages) == count, messages
    return rate


def measure(sizes: Sizes) -> Iterator[Row]:
    """One row."""
    with mongod(sizes.uri) as uri, sink("http") as receiver:
        history = write_orders(uri, sizes.of(EVENTS), 1)
        sides = {
            "mtrigger": partial(through_mtrigger, history, rule(receiver.port), receiver),
            "raw loop": partial(by_hand, history.count, receiver),
        }
        ours, limit = take_turns("webhooks", sides, sizes.rounds).values()
    yield compared(
        f"webhooks to a local server, {AT_ONCE} at a time, durable",
        "raw aiohttp loop at the same concurrency",
        ours,
        limit,
        at_least=0.4,
        unit="webhooks/s",
    )


if __name__ == "__main__":
    run(measure, "Webhooks to a local server.")
