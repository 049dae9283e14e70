"""Taking turns: each side of a comparison runs once a round, in the same order, so that whatever else the
machine does falls on all of them."""

import sys
from collections.abc import Callable, Mapping

Side = Callable[[], float]
"""Runs once and returns its rate, in whatever a second."""


def take_turns(what: str, sides: Mapping[str, Side], rounds: int) -> dict[str, list[float]]:
    """The rates of each side, one a round. Progress goes to standard error."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        for name, side in sides.items():
            rate = side()
            rates[name].append(rate)
            tell(f"{what}, round {number} of {rounds}: {name} {rate:,.0f}/s")
    return rates


def tell(progress: str) -> None:
    """Say how far it is, beside the table."""
    print(f"  {progress}", file=sys.stderr, flush=True)
