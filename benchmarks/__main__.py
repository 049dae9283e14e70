"""Every comparison, one after the other, and all rows as one table.

python -m benchmarks [--events N] [--rounds N] [--json] [--uri URI]
"""

from collections.abc import Iterator

from benchmarks import (
    acting,
    catching_up,
    isolation,
    latency,
    mails,
    memory,
    processes,
    sources,
    topics,
    updates,
    webhooks,
)
from benchmarks.command import Sizes, run
from benchmarks.table import Row

_ALL = (catching_up, acting, updates, webhooks, mails, latency, isolation, memory, processes, sources, topics)


def measure(sizes: Sizes) -> Iterator[Row]:
    """The rows of all benchmarks."""
    for benchmark in _ALL:
        yield from benchmark.measure(sizes)


if __name__ == "__main__":
    run(measure, "How close mtrigger comes to what this machine can do: all benchmarks, in one table.")
