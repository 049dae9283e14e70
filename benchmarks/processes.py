"""Two processes on one machine against one, when every event matches.

Once with a function that does nothing, where reading and writing is all there is to share, and mongod itself
needs a good part of two cores; once with a function that computes, which is what more processes are for. Both
go through the installed command, and read a history of their own, behind which nothing lies that the runs
before have stored. The time runs from the first delivery to the last outcome in the outbox.

    python -m benchmarks.processes [--events N] [--rounds N] [--json] [--uri URI]
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.command import Sizes, run
from benchmarks.engines import rules_folder
from benchmarks.history import COLLECTION, DATABASE, mongod, state_database, write_orders
from benchmarks.rounds import take_turns, tell
from benchmarks.table import Row, compared
from benchmarks.watching import State, watching

EVENTS = 20_000
PROCESSES = 2

FUNCTIONS = {"no-op function": "count", "function that computes": "compute"}


def rules(function: str) -> str:
    """A call for every order."""
    return (
        f"on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}\n"
        f"do: [{{function: 'benchmarks.calls:{function}'}}]\n"
    )


def watched_by(processes: int, uri: str, events: int, rules: Path) -> float:
    """Deliveries a second of so many processes, from the first one to the last outcome."""
    history = write_orders(uri, events, 1)
    with state_database(history.uri) as state:
        options = ("--start-from", history.since.isoformat(), "--processes", str(processes))
        before = _processor_seconds(state)
        with watching(history.uri, rules, state, *options) as watch:
            watch.until(partial(_all_are_settled, state, history.count), "everything is delivered")
        seconds = _seconds(state)
        cores = (_processor_seconds(state) - before) / seconds
        tell(f"processes: mongod used {cores:.1f} cores beside {processes} of mtrigger")
    return history.count / seconds


def _all_are_settled(state: State, count: int) -> bool:
    outbox = state["deliveries"]
    if outbox.estimated_document_count() < count:
        return False
    return outbox.find_one({"open": True, "partition": {"$gte": ""}}, {"_id": 1}) is None


def _seconds(state: State) -> float:
    """From the first delivery that was owed to the last outcome."""
    whole = {"_id": None, "first": {"$min": "$created_at"}, "last": {"$max": "$settled_at"}}
    (found,) = state["deliveries"].aggregate([{"$group": whole}])
    seconds: float = (found["last"] - found["first"]).total_seconds()
    return seconds


def _processor_seconds(state: State) -> float:
    """What the server has used of the processors so far; 0 where it does not say (only Linux does)."""
    info = state.client.admin.command("serverStatus")["extra_info"]
    return float(info.get("user_time_us", 0) + info.get("system_time_us", 0)) / 1e6


def measure(sizes: Sizes) -> Iterator[Row]:
    """Two rows, one for each function."""
    with mongod(sizes.uri) as uri:
        count = sizes.of(EVENTS)
        for what, function in FUNCTIONS.items():
            with rules_folder(rules(function)) as folder:
                sides = {
                    f"{PROCESSES} processes": partial(watched_by, PROCESSES, uri, count, folder),
                    "1 process": partial(watched_by, 1, uri, count, folder),
                }
                two, one = take_turns(what, sides, sizes.rounds).values()
            yield compared(
                f"{PROCESSES} processes, all events match, {what}", "1 process", two, one, at_least=1.5
            )


if __name__ == "__main__":
    run(measure, "Two processes on one machine against one.")
