"""Which of many ranges hold: exactly those that do when each is tried."""

import random

from mtrigger.conditions.values import matches
from mtrigger.matching.intervals import Range, Ranges, high_end, low_end

NUMBERS = (-1, 0, 0.5, 1, 2, 3.0, 5)


def test_what_is_found_is_what_holds() -> None:
    """Open and closed ranges with equal, empty and overlapping ends, for values and for pairs of extremes."""
    chance = random.Random(7)
    for size in (1, 2, 3, 7, 8, 9, 60):
        lows = [(chance.choice((None, ">", ">=")), chance.choice(NUMBERS)) for _ in range(size)]
        highs = [(chance.choice(("<", "<=")), chance.choice(NUMBERS)) for _ in range(size)]
        written = [(*low, *high) for low, high in zip(lows, highs, strict=True)]
        ranges = Ranges(
            Range(low_end(low, floor) if low else None, high_end(high, ceiling), number)
            for number, (low, floor, high, ceiling) in enumerate(written)
        )
        for least, most in ((least, most) for least in NUMBERS for most in NUMBERS if least <= most):
            holding = [
                number
                for number, (low, floor, high, ceiling) in enumerate(written)
                if (low is None or matches(low, most, floor)) and matches(high, least, ceiling)
            ]
            assert sorted(ranges.holding(least, most)) == holding


def test_ranges_without_a_high_end() -> None:
    """`> 1`, `>= 2`, `> 2`."""
    ranges = Ranges([Range((1, 1), None, 0), Range((2, 0), None, 1), Range((2, 1), None, 2)])
    assert {value: set(ranges.holding(value, value)) for value in (1, 1.5, 2, 3)} == {
        1: set(),
        1.5: {0},
        2: {0, 1},
        3: {0, 1, 2},
    }
