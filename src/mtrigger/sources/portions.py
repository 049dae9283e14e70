"""Where a result can be cut so that nothing is lost: between rows that differ in what they are read by. Pure.

Promise: up to the position told with a portion no row is left that was not handed out by then; rows
that the next statement would find again are not handed out twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Raw = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows of a result in order. All rows up to `position` (the values they are read by) have been handed
    out; None: not even all of the first one's. `ended`: the result is at its end; `cut`: by its limit, so
    that there may be more."""

    rows: Sequence[Raw]
    position: Raw | None
    ended: bool
    cut: bool


def cut_between(
    portions: Iterable[Sequence[Raw]], batch: int, width: int, limit: int | None
) -> Iterator[Portion]:
    """The portions of a result, whose rows begin with `width` values by which they are read and sorted. One
    with less than `batch` rows is the last; with `limit` rows in all, the result was cut off there."""
    tail: Raw | None = None
    complete: Raw | None = None
    count = 0
    for rows in portions:
        count += len(rows)
        if not rows:
            yield Portion(rows, tail, ended=True, cut=False)
            return
        last = tuple(rows[-1][:width])
        begin = next(
            (index for index in range(len(rows) - 1, 0, -1) if tuple(rows[index - 1][:width]) != last), 0
        )
        if begin:
            complete = tuple(rows[begin - 1][:width])
        elif tail is not None and tail != last:
            complete = tail
        if count == limit:
            yield Portion(rows[:begin] if complete is not None else rows, complete, ended=True, cut=True)
            return
        ended = len(rows) < batch
        yield Portion(rows, last if ended else complete, ended=ended, cut=False)
        if ended:
            return
        tail = last
