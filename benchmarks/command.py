"""The command line that all benchmarks have in common."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.table import Row, as_json, as_markdown, as_text
from mtrigger.logs import set_up_logging

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much to measure, and where: `rounds` of each side; `events` instead of a benchmark's own number, if
    given; at the replica set `uri`, or at an embedded server of the benchmark's own."""

    rounds: int = ROUNDS
    events: int | None = None
    uri: str = ""

    def of(self, usual: int) -> int:
        """The number of events for a benchmark that usually takes `usual`."""
        return self.events or usual


Measure = Callable[[Sizes], Iterable[Row]]


def run(measure: Measure, about: str) -> None:
    """Read the options, measure and print the table. `about` is what `--help` says."""
    options = parser(about)
    options.add_argument("--markdown", action="store_true", help="print a table for a page instead")
    given = options.parse_args()
    set_up_logging("text", "error")
    rows: list[Row] = []
    try:
        rows.extend(measure(Sizes(given.rounds, given.events, given.uri)))
    finally:  # what was measured is told also when the rest was not
        form = as_json if given.json else as_markdown if given.markdown else as_text
        print(form(rows))


def parser(about: str) -> argparse.ArgumentParser:
    """The options of every benchmark: `events` (None for its own number), `rounds`, `uri` and `json`."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--events", type=_positive, help="events in each benchmark instead of its own number")
    parser.add_argument("--rounds", type=_positive, default=ROUNDS, help="turns of each side (%(default)s)")
    parser.add_argument("--uri", default="", help="a replica set to use instead of one of its own")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _positive(text: str) -> int:
    number = int(text.replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("a positive number is wanted")
    return number
