"""What a benchmark found, as rows of one table for people or as JSON for programs.

Keeps the promise that every row says what was wanted and whether it was reached.
"""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

_HEADINGS = ("benchmark", "against", "mtrigger", "limit", "ratio", "wanted", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `ours` and `limit` are in `unit`; `limit` and `ratio` (ours / limit) are None where
    there is nothing to compare with; `wanted` says in words what `reached` says yes or no to."""

    benchmark: str
    against: str
    unit: str
    ours: float
    limit: float | None
    ratio: float | None
    wanted: str
    reached: bool


def compared(
    benchmark: str,
    against: str,
    ours: Sequence[float],
    limit: Sequence[float],
    at_least: float,
    rate: float = 0.0,
    unit: str = "events/s",
) -> Row:
    """A row about two rates that took turns: `ours[i]` and `limit[i]` are of the same round.

    The figures are medians over the rounds, the ratio is the median of the rounds' ratios; wanted are a ratio
    and, where `rate` is given, a rate.
    """
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, limit, strict=True))
    median = statistics.median(ours)
    wanted = f"{at_least:g} x" + (f" and {rate:,.0f}/s" if rate else "")
    reached = ratio >= at_least and median >= rate
    return Row(benchmark, against, unit, median, statistics.median(limit), ratio, wanted, reached)


def as_text(rows: Iterable[Row]) -> str:
    """The table, for a terminal."""
    lines = [_HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(_line(cells, widths) for cells in lines)


def as_markdown(rows: Iterable[Row]) -> str:
    """The table, for a page of documentation."""
    lines = [_HEADINGS, ("---", "---", "--:", "--:", "--:", "---", "---"), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def as_json(rows: Iterable[Row]) -> str:
    """The table, for a program: a list of objects with the fields of `Row`."""
    return json.dumps([asdict(row) for row in rows], indent=2)


def _cells(row: Row) -> tuple[str, ...]:
    limit = "" if row.limit is None else _figure(row.limit, row.unit)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    verdict = "ok" if row.reached else "short"
    return (row.benchmark, row.against, _figure(row.ours, row.unit), limit, ratio, row.wanted, verdict)


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    words = [
        cell.rjust(width) if column in (2, 3, 4) else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(words).rstrip()
