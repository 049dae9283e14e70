"""Arithmetic on BSON values, as the server's aggregation operators do it.

Numbers: with a Decimal128 on either side both become Decimal128 (a double keeps 15 significant digits, as
`$toDecimal` does); else with a double both become doubles; else whole numbers, which become a double when 64
bits are not enough. `/` gives a double unless there is a Decimal128; `%` has the sign of the dividend. Dates:
date ± milliseconds is a date, date - date is milliseconds. Everything else, and division by zero, has no
value. `server_values` writes the same as an aggregation expression; the two are held against each other by a
property test.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import Enum
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128

from mtrigger.conditions.values import TypeClass, is_nan, milliseconds, type_class


class NoValue(Enum):
    """What an expression comes to when it means nothing; no comparison holds for it."""

    NO_VALUE = "no value"


NO_VALUE = NoValue.NO_VALUE
LARGEST_DATE = 4 * 10**18  # milliseconds; dates further from 1970 take no part in arithmetic
LARGEST_SHIFT = 10**15  # milliseconds that may be added to a date
LARGEST_LONG = 2**63 - 1

_DECIMAL = Context(prec=34, rounding=ROUND_HALF_EVEN, Emin=-6143, Emax=6144, clamp=1, traps=[])
_FIFTEEN_DIGITS = Context(prec=15, rounding=ROUND_HALF_EVEN, traps=[])
_EXACT = Context(prec=20_000, Emin=-100_000, Emax=100_000, traps=[])  # room for 10^6144 in units of 10^-6176


def calculate(operator: str, left: Any, right: Any) -> Any:
    """`left operator right` (`+ - * / %`), or NO_VALUE."""
    left_class, right_class = type_class(left), type_class(right)
    if left_class == TypeClass.DATE or right_class == TypeClass.DATE:
        return _with_dates(operator, left, right)
    if left_class != TypeClass.NUMBER or right_class != TypeClass.NUMBER:
        return NO_VALUE
    if isinstance(left, Decimal | Decimal128) or isinstance(right, Decimal | Decimal128):
        return _decimals(operator, to_decimal(left), to_decimal(right))
    if isinstance(left, float) or isinstance(right, float):
        return _doubles(operator, float(left), float(right))
    return _whole_numbers(operator, int(left), int(right))


def to_decimal(number: Any) -> Decimal:
    """What `$toDecimal` makes of a number."""
    if isinstance(number, Decimal128):
        return number.to_decimal()
    if isinstance(number, float):
        return _FIFTEEN_DIGITS.plus(Decimal(number))
    return Decimal(number)


def _whole_numbers(operator: str, left: int, right: int) -> Any:
    match operator:
        case "+":
            found = left + right
        case "-":
            found = left - right
        case "*":
            found = left * right
        case _ if right == 0:
            return NO_VALUE
        case "/":
            return float(left) / float(right)
        case _:
            found = abs(left) % abs(right)
            return -found if left < 0 else found
    if -LARGEST_LONG - 1 <= found <= LARGEST_LONG:
        return found
    return _doubles(operator, float(left), float(right))


def _doubles(operator: str, left: float, right: float) -> Any:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _ if right == 0:
            return NO_VALUE
        case "/":
            return left / right
        case _:
            return math.nan if math.isinf(left) else math.fmod(left, right)


def _decimals(operator: str, left: Decimal, right: Decimal) -> Any:
    match operator:
        case "+":
            return _DECIMAL.add(left, right)
        case "-":
            return _DECIMAL.subtract(left, right)
        case "*":
            return _DECIMAL.multiply(left, right)
        case _ if right == 0:
            return NO_VALUE
        case "/":
            return _DECIMAL.divide(left, right)
        case _:
            return _EXACT.remainder(left, right)


def _with_dates(operator: str, left: Any, right: Any) -> Any:
    if operator == "-" and type_class(left) == type_class(right):
        first, second = milliseconds(left), milliseconds(right)
        return first - second if max(abs(first), abs(second)) <= LARGEST_DATE else NO_VALUE
    if operator == "+" and type_class(right) == TypeClass.DATE:
        left, right = right, left
    if (
        operator not in ("+", "-")
        or type_class(left) != TypeClass.DATE
        or type_class(right) != TypeClass.NUMBER
    ):
        return NO_VALUE
    date, shift = milliseconds(left), right.to_decimal() if isinstance(right, Decimal128) else right
    within = not is_nan(shift) and -LARGEST_SHIFT <= shift <= LARGEST_SHIFT
    if not within or abs(date) > LARGEST_DATE:
        return NO_VALUE
    return date_at(date + math.floor(shift) if operator == "+" else date - math.floor(shift))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def date_at(moment: int) -> datetime | DatetimeMS:
    """The date so many milliseconds after 1970; beyond Python's calendar a DatetimeMS."""
    try:
        return _EPOCH + timedelta(milliseconds=moment)
    except OverflowError:
        return DatetimeMS(moment)
