"""Which of many ranges hold: `amount > 10`, `amount <= 500`, `10 < amount < 500`.

The promise: what is found is exactly what holds, in time that grows with what is found and with the logarithm
of what is not. An end is a pair that sorts behind (or before) `(value, 0)` if the value itself lies outside.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

End = tuple[Any, int]


class Range(NamedTuple):
    """`number` is what the range stands for; an end that is None is open."""

    low: End | None
    high: End | None
    number: int


def low_end(operator: str, value: Any) -> End | None:
    """The end that `> value` or `>= value` sets; None for other operators."""
    return (value, int(operator == ">")) if operator in (">", ">=") else None


def high_end(operator: str, value: Any) -> End | None:
    """The end that `< value` or `<= value` sets; None for other operators."""
    return (value, -int(operator == "<")) if operator in ("<", "<=") else None


class Ranges:
    """Ranges of values that can be compared with each other, each with one end at least."""

    __slots__ = ("_above", "_below", "_closed", "_highs", "_lows")

    def __init__(self, ranges: Iterable[Range]) -> None:
        lows: list[tuple[End, int]] = []
        highs: list[tuple[End, int]] = []
        closed: list[tuple[End, End, int]] = []
        for low, high, number in ranges:
            if low is None and high is not None:
                highs.append((high, number))
            elif low is not None and high is None:
                lows.append((low, number))
            elif low is not None and high is not None:
                closed.append((low, high, number))
        lows.sort()
        highs.sort()
        self._lows, self._above = [end for end, _ in lows], [number for _, number in lows]
        self._highs, self._below = [end for end, _ in highs], [number for _, number in highs]
        self._closed = _Closed(closed) if closed else None

    def holding(self, least: Any, most: Any) -> Iterator[int]:
        """The numbers of those whose low end lets `most` in and whose high end `least`: for one value those
        it lies in, for the values of an array those that hold for it (each end for any element)."""
        yield from self._above[: bisect_right(self._lows, (most, 0))]
        yield from self._below[bisect_left(self._highs, (least, 0)) :]
        if self._closed is not None:
            yield from self._closed.holding(least, most)


class _Closed:
    """Ranges with two ends, in the order of the low ones.

    Over them stands a tree, an array whose node `n` has the children `2n` and `2n + 1`, that knows the
    highest of the high ends below each node: whatever ends too early is passed over as a whole.
    """

    __slots__ = ("_highest", "_lows", "_numbers", "_width")

    def __init__(self, ranges: list[tuple[End, End, int]]) -> None:
        ranges.sort()
        self._lows = [low for low, _, _ in ranges]
        self._numbers = [number for _, _, number in ranges]
        self._width = 1 << (len(ranges) - 1).bit_length()
        missing: list[End | None] = [None] * (self._width - len(ranges))
        self._highest = [*([None] * self._width), *(high for _, high, _ in ranges), *missing]
        for node in range(self._width - 1, 0, -1):
            self._highest[node] = _higher(self._highest[2 * node], self._highest[2 * node + 1])

    def holding(self, least: Any, most: Any) -> Iterator[int]:
        reached = bisect_right(self._lows, (most, 0))
        waiting = [(1, 0, self._width)]
        while waiting:
            node, first, width = waiting.pop()
            highest = self._highest[node]
            if first >= reached or highest is None or highest < (least, 0):
                continue
            if width == 1:
                yield self._numbers[first]
                continue
            half = width // 2
            waiting += ((2 * node, first, half), (2 * node + 1, first + half, half))


def _higher(one: End | None, other: End | None) -> End | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
