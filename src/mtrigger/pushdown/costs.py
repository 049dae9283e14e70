"""What a filter costs the server, and what it saves: the model that says when to stop adding clauses. Pure.

An event that gets through is made, sent and decoded; one that does not costs the server the tests that turned
it down. Constants are microseconds on one core, measured and rounded, with MongoDB 6.0.5: only their
ratios matter. The server tries the branches of an `$or` one by one, also those beside a test that has
failed already, while an `$in` is one search however many keys it has.
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

EVENT = 30.0
"""Making, sending and decoding one event: plain loops read 25,000 to 35,000 a second."""

TEST = 0.6
"""One test of one field: a hundred in an `$or` took the server from 125,000 events a second to 14,000."""

EXPRESSION = 6.0
"""One `$expr`: the event has to be made before it can be asked."""

BRANCH = 7.0
"""One branch of the outermost `$or` with its operation and namespace. The server asks these of the oplog
first, and again of the event."""

MOST_BRANCHES = int(EVENT / BRANCH)
"""With more branches they would cost more than an event that gets through: then collections share one."""

MOST_KEY_BYTES = 2_000_000
"""Text of all keys in a `$match`; a command has 16 MB."""

# Guesses at the share of events that a test lets through, for rules nobody has statistics of.
_EQUAL, _TYPE, _PATTERN, _MISSING, _ANY_OTHER = 0.01, 0.05, 0.2, 0.3, 0.5


def expense(wanted: Mapping[str, Any]) -> float:
    """Microseconds that an event costs on average: the tests, and EVENT for the share that passes them."""
    return price(wanted) + share(wanted) * EVENT


def price(wanted: Mapping[str, Any]) -> float:
    """Microseconds that the server spends on asking one event."""
    return sum(_price(name, test) for name, test in wanted.items())


def share(wanted: Mapping[str, Any]) -> float:
    """A guess at the part of all events that `wanted` holds for, 0 to 1."""
    return prod(_share(name, test) for name, test in wanted.items())


def _price(name: str, test: Any) -> float:
    match name:
        case "$and" | "$or" | "$nor":
            return sum(map(price, test))
        case "$expr":
            return EXPRESSION
        case "$alwaysFalse":
            return 0.0
    if not isinstance(test, Mapping):
        return TEST
    inner: Iterable[Any] = (test[operator] for operator in ("$elemMatch", "$not") if operator in test)
    return TEST * len(test) + sum(price(found) for found in inner if isinstance(found, Mapping))


def _share(name: str, test: Any) -> float:
    match name:
        case "$and":
            return prod(map(share, test))
        case "$or":
            return 1 - prod(1 - share(part) for part in test)
        case "$nor":
            return prod(1 - share(part) for part in test)
        case "$alwaysFalse":
            return 0.0
    if not isinstance(test, Mapping):
        return _ANY_OTHER if test is None else _EQUAL
    return prod(_operator_share(operator, operand) for operator, operand in test.items())


def _operator_share(operator: str, operand: Any) -> float:
    match operator:
        case "$eq":
            return _ANY_OTHER if operand is None else _EQUAL
        case "$in":
            return _ANY_OTHER if None in operand else min(_ANY_OTHER, _EQUAL * len(operand))
        case "$regex":
            return _PATTERN
        case "$options":
            return 1.0
        case "$type":
            return _TYPE
        case "$exists":
            return 1 - _MISSING if operand else _MISSING
        case "$elemMatch":
            return share(operand)
        case _:
            return _ANY_OTHER
