"""How a source gets on, for whoever looks: rows so far, rows a second, about how many there are."""

import logging
from dataclasses import dataclass
from typing import Protocol

from mtrigger.supervision.steady_time import clock

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two log lines."""


@dataclass(frozen=True, slots=True)
class Step:
    """Some rows of a table were stored: `rows` of them since the pass began, about `expected` in all (None:
    nobody knows). `last`: for now there are no more. `first`: it is the first pass over the table."""

    source: str
    table: str
    rows: int
    expected: int | None
    last: bool
    first: bool


class Progress(Protocol):
    """Is told of every step."""

    def told(self, step: Step) -> None:
        """`step` has been made."""
        ...


class LogLines:
    """A line every ten seconds while a table is being read, and one at the end of its first pass."""

    def __init__(self) -> None:
        self._began: dict[tuple[str, str], float] = {}
        self._said: dict[tuple[str, str], float] = {}

    def told(self, step: Step) -> None:
        """A pass that is over within ten seconds, and is not the first, is not worth a line."""
        table, now = (step.source, step.table), clock()
        began = self._began.setdefault(table, now)
        said = self._said.setdefault(table, began)
        if now - said >= EVERY or (step.last and step.first and step.rows):
            self._said[table] = now
            log.info("%s", line_of(step, now - began))
        if step.last:
            del self._began[table], self._said[table]


def line_of(step: Step, seconds: float) -> str:
    """A step in words, `seconds` after its pass began."""
    rate = f", {step.rows / seconds:,.0f} rows/s" if seconds >= 1 else ""
    of = f" of about {step.expected:,}" if step.expected and not step.last else ""
    noun = "row" if step.rows == 1 and not of else "rows"
    done = "all there is" if step.last else "reading on"
    return f"{step.table}: {step.rows:,}{of} {noun}{rate}, {done}"
