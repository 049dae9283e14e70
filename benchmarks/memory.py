"""How much memory the installed command takes: idle with 1,000 rules, and with 100,000 deliveries owed to a
target that is down.

Half of the 1,000 rules mail, half post a webhook, all with templates of their own. Memory is the resident set
size. What is owed is held against the same process before the first change, at its highest.

    python -m benchmarks.memory [--events N] [--json] [--uri URI]
"""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.command import Sizes, run
from benchmarks.engines import rules_folder
from benchmarks.history import BIG, COLLECTION, DATABASE, mongod, state_database, write_orders
from benchmarks.mails import TEMPLATE
from benchmarks.rounds import tell
from benchmarks.table import Row
from benchmarks.watching import watching
from benchmarks.webhooks import rule

RULES = 1_000
EVENTS = 100_000
MOST_IDLE = 160
MOST_MORE = 60
"""MB."""

_SETTLING = 1.0
"""Seconds after the start, and after the last delivery was stored, until memory is looked at."""


def rules(count: int) -> Iterator[str]:
    """Rules for customers; by turns they mail and post."""
    for number in range(count):
        text = f'Order {{{{ document.order_id }}}} of C-{number}: {{{{ document.amount | money("USD") }}}}'
        email = f"email: {{to: sales-{number}@example.com, subject: '{text}', template: order.html.j2}}"
        webhook = f"webhook: {{url: 'http://127.0.0.1:9/{number}', body: {{text: '{text}'}}}}"
        yield (
            f"on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}\n"
            f'when: customer.id == "C-{number}" and amount > {BIG + number % 100}\n'
            f"do: [{{{email if number % 2 else webhook}}}]\n"
        )


def resident(pid: int) -> float:
    """The resident set size of a process, in MB (proc(5) where there is /proc, else ps)."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024 / 1e6


@contextmanager
def nobody() -> Iterator[int]:
    """A port of 127.0.0.1 where connections are refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def idle(uri: str, count: int) -> float:
    """MB of a process that has `count` rules and nothing to do."""
    with (
        state_database(uri) as state,
        rules_folder(*rules(count), templates={"order.html.j2": TEMPLATE}) as folder,
        watching(uri, folder, state) as watch,
    ):
        time.sleep(_SETTLING)
        return resident(watch.pid)


def owing(uri: str, count: int) -> float:
    """MB that a process takes more than before while it comes to owe `count` webhooks nobody takes."""
    with (
        state_database(uri) as state,
        nobody() as port,
        rules_folder(rule(port)) as folder,
        watching(uri, folder, state) as watch,
    ):
        time.sleep(_SETTLING)
        before = most = resident(watch.pid)
        write_orders(uri, count, 1)
        outbox = state["deliveries"]

        def all_are_owed() -> bool:
            nonlocal most
            most = max(most, resident(watch.pid))
            return outbox.estimated_document_count() == count

        watch.until(all_are_owed, f"{count:,} deliveries are owed")
        time.sleep(_SETTLING)
        most = max(most, resident(watch.pid))
        tell(f"memory: {before:.0f} MB before the first change, {most:.0f} MB with {count:,} deliveries owed")
        return most - before


def measure(sizes: Sizes) -> Iterator[Row]:
    """Two rows."""
    count = sizes.of(EVENTS)
    with mongod(sizes.uri) as uri:
        number = min(RULES, count)
        mb = idle(uri, number)
        tell(f"memory: {mb:.0f} MB with {number:,} rules")
        yield _row(f"memory of {number:,} rules, idle", mb, MOST_IDLE, f"{MOST_IDLE} MB at most")
        more = owing(uri, count)
        yield _row(
            f"memory of {count:,} deliveries owed, target down", more, MOST_MORE, f"+ {MOST_MORE} MB at most"
        )


def _row(benchmark: str, mb: float, most: float, wanted: str) -> Row:
    return Row(benchmark, "", "MB", mb, None, None, wanted, mb <= most)


if __name__ == "__main__":
    run(measure, "How much memory the installed command takes.")
