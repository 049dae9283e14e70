"""What rules that fail cost a healthy one beside them: its delay from an insert to its webhook.

Beside it, for each of the same changes: a template that cannot be rendered, a webhook that is answered with
500 and tried again and again, and two functions that never return (a coroutine, and a plain one in a thread).
The limit is the healthy rule alone, in the same engine.

    python -m benchmarks.isolation [--events N] [--rounds N] [--json] [--uri URI]
"""

from collections.abc import Iterator
from functools import partial

from benchmarks.command import Sizes, run
from benchmarks.engines import rules_folder
from benchmarks.history import COLLECTION, DATABASE, mongod
from benchmarks.latency import PER_SECOND, inserting, percentiles, through_mtrigger
from benchmarks.rounds import tell
from benchmarks.sinks import sink
from benchmarks.table import Row
from benchmarks.webhooks import rule
from mtrigger.supervision import interpreter

EVENTS = 200
MORE = 0.002
"""Seconds that the healthy rule's median may be above what it is alone."""
TIMES = 1.5
"""How many times what it is alone its 99th percentile may be."""

_ON = f"on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}\n"
_RETRY = "retry: {attempts: 50, first_delay: 100ms, max_delay: 500ms}\n"


def broken(port: int) -> list[str]:
    """The rules that fail."""
    return [
        _ON
        + f"do: [{{webhook: {{url: 'http://127.0.0.1:{port}/x', body: '{{{{ document.no.such }}}}'}}}}]\n",
        _ON + _RETRY + f"do: [{{webhook: {{url: 'http://127.0.0.1:{port}/failing'}}}}]\n",
        _ON + "do: [{function: 'benchmarks.calls:hang'}]\n",
        _ON + "do: [{function: 'benchmarks.calls:hang_in_a_thread'}]\n",
    ]


def measure(sizes: Sizes) -> Iterator[Row]:
    """Two rows: the median and the 99th percentile of the healthy rule."""
    count = sizes.of(EVENTS)
    with (
        mongod(sizes.uri) as uri,
        sink("http") as receiver,
        sink("http-500") as failing,
        rules_folder(rule(receiver.port)) as alone,
        rules_folder(rule(receiver.port), *broken(failing.port)) as beside,
    ):
        found: dict[str, list[float]] = {"beside four broken ones": [], "alone": []}
        sides = {"beside four broken ones": beside, "alone": alone}
        for number in range(1, sizes.rounds + 1):
            for name, rules in sides.items():
                at_work = partial(through_mtrigger, uri, rules)
                found[name] += interpreter.run(inserting(uri, count, at_work(), receiver))
                median = percentiles(found[name])[0] * 1000
                tell(f"isolation, round {number} of {sizes.rounds}: {name} {median:.1f} ms so far")
        assert failing.report().messages > count, "the failing webhook was not tried again"
    beside_them, limit = (percentiles(seconds) for seconds in found.values())
    what, against = f"a healthy rule beside four broken ones, {PER_SECOND}/s", "the same rule alone"
    yield _row(f"{what}, p50", against, beside_them[0], limit[0], "alone + 2 ms", limit[0] + MORE)
    yield _row(f"{what}, p99", against, beside_them[1], limit[1], "1.5 x at most", limit[1] * TIMES)


def _row(benchmark: str, against: str, ours: float, limit: float, wanted: str, most: float) -> Row:
    ratio = ours / limit
    return Row(benchmark, against, "ms", ours * 1000, limit * 1000, ratio, wanted, reached=ours <= most)


if __name__ == "__main__":
    run(measure, "What rules that fail cost a healthy one beside them.")
