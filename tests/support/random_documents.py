"""Random BSON documents with every type and every awkward value, for tests that compare with the server."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

WHOLE_NUMBERS: list[Any] = [
    *(0, 1, 2, 3, 5, 7, -1, -7, 100, 1000, 10000, 10001, 2**31 - 1, -(2**31)),
    *map(Int64, (5, 2**40, 2**53, 2**53 + 1, 2**63 - 1, -(2**63))),
]
DOUBLES = [0.0, -0.0, 0.1, 0.5, 1.0, 2.5, -2.5, 5.0, 1e3, 1e15, 2.0**53, 1e300, -1e300, 5e-324]
DOUBLES += [float("nan"), float("inf"), float("-inf"), 1 / 3, 9.223372036854775807e18]
DECIMALS = [
    Decimal128(text)
    for text in (
        *("0", "-0", "0.1", "5", "5.00", "1E+3", "1000", "2.5", "-7", "10000.01", "0.5"),
        *("NaN", "Infinity", "-Infinity", "1E-6176", "9.999E+6144", "12345678901234567890.123456789"),
        "0.1000000000000000055511151231257827",
    )
]
STRINGS = [
    *(
        "",
        "a",
        "A",
        "b",
        "abc",
        "ABC",
        "aBc",
        "paid",
        "Paid",
        "new",
        "a.b",
        "a\n",
        "a\nb",
        "ab\nab\n",
        "20000",
    ),
    *(
        "é",
        "É",
        "한글",
        "\u017f",
        "\u212a",
        "k",
        "x\0y",
        "e\u0301",
        "😀a",
        "foo bar",
        "\x0b",
        " ",
        "a+b",
        "10%",
        "[x]",
    ),
]
DATES: list[Any] = [
    datetime(2026, 1, 31, tzinfo=UTC),
    datetime(2026, 1, 31, 1, tzinfo=UTC),
    datetime(2026, 11, 1, 12, 30, 15, 123000, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    DatetimeMS(253402300800000),
    DatetimeMS(-(2**62)),
    DatetimeMS(2**63 - 1),
]
IDS = [ObjectId("65a1b2c3d4e5f60718293a4b"), ObjectId("000000000000000000000000")]
OTHERS: list[Any] = [
    *(
        True,
        False,
        True,
        False,
        None,
        None,
        *IDS,
        MinKey(),
        MaxKey(),
        Timestamp(1700000000, 1),
        Timestamp(5, 6),
    ),
    *(
        b"",
        b"ab",
        b"abc",
        Binary(b"ab", 5),
        Binary(bytes(16), 4),
        Regex("a"),
        Regex("a", "i"),
        Regex("^ab", "m"),
    ),
    *(Code("x"), Code("x", {"y": 1})),
]
NAMES = ("a", "b", "c", "0", "1", "odd name")


def scalar(chance: random.Random) -> Any:
    """A value that is neither a document nor an array."""
    pool = chance.choice((WHOLE_NUMBERS, WHOLE_NUMBERS, DOUBLES, DECIMALS, STRINGS, STRINGS, DATES, OTHERS))
    return chance.choice(pool)


def number(chance: random.Random) -> Any:
    """A number, mostly."""
    if chance.random() < 0.1:
        return scalar(chance)
    pool = chance.choice((WHOLE_NUMBERS, WHOLE_NUMBERS, DOUBLES, DECIMALS))
    small = chance.choice(([0, 1, 2, 3, 5, 7], [0, 1, 2, 3, 5, 7], [0.5, 1.0, 2.5], pool))
    return chance.choice(small)


def string(chance: random.Random) -> Any:
    """A string, mostly."""
    return scalar(chance) if chance.random() < 0.1 else chance.choice(STRINGS)


def date(chance: random.Random) -> Any:
    """A date, mostly."""
    return scalar(chance) if chance.random() < 0.1 else chance.choice(DATES)


def value(chance: random.Random, depth: int) -> Any:
    """Anything, nested up to `depth`."""
    kind = chance.random()
    if depth == 0 or kind < 0.45:
        return number(chance) if chance.random() < 0.4 else scalar(chance)
    if kind < 0.75:
        return [value(chance, depth - 1) for _ in range(chance.choice((0, 1, 2, 2, 3)))]
    return {name: value(chance, depth - 1) for name in chance.sample(NAMES, chance.choice((0, 1, 2, 3)))}


def _line(chance: random.Random) -> Any:
    fields = {
        "p": number(chance),
        "q": string(chance),
        "r": [number(chance) for _ in range(chance.randrange(3))],
    }
    return {name: found for name, found in fields.items() if chance.random() < 0.8}


def _maybe_list(chance: random.Random, make: Any) -> Any:
    if chance.random() < 0.15:
        return [make(chance) for _ in range(chance.randrange(4))]
    return make(chance)


def document(chance: random.Random) -> dict[str, Any]:
    """A document with the fields that `random_conditions` asks about, each of them missing now and then."""
    fields: dict[str, Callable[[], Any]] = {
        "n": lambda: _maybe_list(chance, number),
        "m": lambda: _maybe_list(chance, number),
        "s": lambda: _maybe_list(chance, string),
        "t": lambda: _maybe_list(chance, string),
        "d": lambda: _maybe_list(chance, date),
        "e": lambda: _maybe_list(chance, date),
        "l": lambda: [
            _line(chance) if chance.random() < 0.9 else scalar(chance) for _ in range(chance.randrange(4))
        ],
        "o": lambda: _line(chance),
        "a": lambda: value(chance, 4),
        "b": lambda: value(chance, 3),
        "odd name": lambda: value(chance, 1),
    }
    return {name: make() for name, make in fields.items() if chance.random() < 0.85}
