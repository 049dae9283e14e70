"""How the rate of catching up grows or falls: with the number of rules, and with the share of what matches.

Over the number of rules it runs beside the raw loop that leaves all filtering to the server, with one `$or`
of all conditions (not of 10,000: that would take minutes); over the share of what matches, beside the raw
loops of `benchmarks.catching_up`. At each value all of them take turns; printed and drawn are medians.

    python -m benchmarks.growth [--events N] [--rounds N] [--json] [--uri URI] [--plot FILE.svg]
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.catching_up import ONE_RULE, customer_rules, filtering, matching, seconds_to_count
from benchmarks.command import Sizes, parser
from benchmarks.engines import catch_up, rules_folder
from benchmarks.history import BIG, History, mongod, write_orders
from benchmarks.rounds import take_turns
from mtrigger.logs import set_up_logging

EVENTS = 50_000
RULES = (1, 10, 100, 1_000, 10_000)
SHARES = (0.001, 0.01, 0.1, 1.0)

MOST_CONDITIONS = 1_000
"""Conditions in one `$or`, at most."""

MOST_TRIED = 1_000_000
"""Conditions that the `$or` may try in one run: with many of them it reads the first part of the history."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What grows, and for each side its events a second at each value where it was measured."""

    over: str
    curves: Mapping[str, Mapping[float, float]]


class Curves:
    """Gathers the medians of each side, value by value: a history is read before the next one is written."""

    def __init__(self) -> None:
        self.of: dict[str, dict[float, float]] = {}

    def add(self, value: float, rates: Mapping[str, Sequence[float]]) -> None:
        """What the sides came to at one value, a rate a round."""
        for name, of_rounds in rates.items():
            self.of.setdefault(name, {})[value] = statistics.median(of_rounds)


def one_or(history: History, conditions: int) -> float:
    """A raw loop whose `$match` holds the conditions of so many rules as one `$or`."""
    clauses = [
        {"fullDocument.customer.id": f"C-{number}", "fullDocument.amount": {"$gt": BIG + number % 100}}
        for number in range(conditions)
    ]
    match: dict[str, Any] = {"operationType": "insert", "$or": clauses}
    count = max(history.count // history.big, min(history.count, MOST_TRIED // conditions))
    wanted = count * history.big // history.count
    return count / seconds_to_count(history, match, wanted)


def over_rules(sizes: Sizes) -> Growth:
    """1 % of the events match, each of them one of more and more rules (never more than there are events)."""
    count, curves = sizes.of(EVENTS), Curves()
    with mongod(sizes.uri) as uri:
        for number in RULES:
            if number > count:
                break
            with rules_folder(*customer_rules(number)) as folder:
                history = write_orders(uri, count, 0.01, number)
                sides = {"mtrigger": partial(catch_up, history, folder, history.big)}
                if number <= MOST_CONDITIONS:
                    sides["raw loop, one $or"] = partial(one_or, history, number)
                curves.add(number, take_turns(f"growth, rules: {number:,}", sides, sizes.rounds))
    return Growth("number of rules", curves.of)


def over_shares(sizes: Sizes) -> Growth:
    """One rule, which more and more of the events match."""
    curves = Curves()
    with mongod(sizes.uri) as uri, rules_folder(ONE_RULE) as folder:
        for share in SHARES:
            history = write_orders(uri, sizes.of(EVENTS), share)
            sides = {
                "mtrigger": partial(catch_up, history, folder, history.big),
                "raw loop, same $match": partial(matching, history),
                "raw loop, filter in Python": partial(filtering, history),
            }
            curves.add(100 * share, take_turns(f"growth, matching: {share:.1%}", sides, sizes.rounds))
    return Growth("share of events that match (%)", curves.of)


def as_text(growth: Growth) -> str:
    """A table: a line for each value, a column for each side."""
    names = list(growth.curves)
    values = sorted({value for curve in growth.curves.values() for value in curve})
    lines = [f"events/s over {growth.over}", f"{'':>8}" + "".join(f"{name:>28}" for name in names)]
    for value in values:
        rates = (growth.curves[name].get(value) for name in names)
        cells = "".join(f"{'' if rate is None else f'{rate:,.0f}':>28}" for rate in rates)
        lines.append(f"{value:>8g}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and draw if asked to."""
    options = parser("How the rate of catching up grows or falls.")
    options.add_argument("--plot", type=Path, help="draw both into this SVG (needs the extra `bench`)")
    given = options.parse_args()
    set_up_logging("text", "error")
    sizes = Sizes(given.rounds, given.events, given.uri)
    growths = [over_rules(sizes), over_shares(sizes)]
    if given.json:
        print(json.dumps([asdict(growth) for growth in growths], indent=2))
    else:
        print("\n\n".join(map(as_text, growths)))
    if given.plot:
        from benchmarks.plot import draw

        draw({f"Events/s over the {growth.over}": growth.curves for growth in growths}, given.plot)


if __name__ == "__main__":
    main()
