"""Values of SQL columns as values that BSON holds.

Promises: nothing is rounded or cut but times, to the millisecond that BSON knows; a row whose values cannot
be held is rejected by itself, with the column and what to do, and stops nothing. What becomes of which type
is a table in docs/sources.md.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, DecimalException
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from bson.decimal128 import Decimal128

from mtrigger.sources.spans import clock_text, span_text

Kind = Literal[
    "",
    "zoned time",
    "utc time",
    "local time",
    "unknown time",
    "day",
    "clock",
    "json",
    "bits",
    "truth",
    "number",
]
"""What a column holds, where its values alone do not tell: a time with a zone; one without that is in UTC, in
the zone of the source, or in a zone that the driver does not tell; a day; a time of day; JSON as text; bits;
0 or 1 for false or true; a decimal number that comes as a float."""

DEEPEST = 120
"""Levels of nesting in one value. MongoDB takes 180; the rest is for what is stored around it."""

_SAFE_INTEGERS = 2**63

_DIGITS, _DECIMAL_BIAS, _LOW_BITS = 34, 6176, 2**64 - 1
"""Of Decimal128: its digits, what is added to its exponent, the half of it that is stored last."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What a driver could not make a value of, as the text that the database sent."""

    text: str

    def __str__(self) -> str:
        return self.text


class UnstorableError(ValueError):
    """A value that BSON does not hold; the message says why and what to do."""


Convert = Callable[[Any], Any]


def text_of(value: Any, longest: int = 1000) -> str:
    """A value for people to read."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def converter(kind: Kind, zone: ZoneInfo) -> Convert | None:
    """What makes a value of a column of this kind one for BSON, with times without a zone in `zone`; None
    where the value's own type decides (`by_type`). It raises UnstorableError, and now and then what the
    libraries underneath raise."""
    if kind == "local time":
        return lambda value: (
            _time_in(zone, value) if type(value) is datetime else _if_text(value, _local(zone))
        )
    if kind == "unknown time":
        return _time_of_unknown_zone
    return _BY_KIND.get(kind)


def by_type(kind: type) -> Convert | None:
    """What makes a value of this type one for BSON; None for what is one already."""
    return _BY_TYPE.get(kind, _other)


def _plain(value: Any) -> Any:
    convert = _BY_TYPE.get(type(value), _other)
    return value if convert is None else convert(value)


def _integer(value: int) -> int | Decimal128:
    return value if -_SAFE_INTEGERS <= value < _SAFE_INTEGERS else _decimal(Decimal(value))


def _decimal(value: Decimal) -> Decimal128:
    """The usual ones are put together by hand, to the same effect: a general encoder takes five times as
    long."""
    text = str(value)
    if len(text) <= _DIGITS:
        whole, _, fraction = text.partition(".")
        try:
            coefficient = abs(int(whole + fraction))
        except ValueError:  # an exponent, or no number
            return _any_decimal(value)
        exponent = (_DECIMAL_BIAS - len(fraction)) << 49
        sign = 1 << 63 if text[0] == "-" else 0
        bits = (sign | exponent | coefficient >> 64, coefficient & _LOW_BITS)
        return Decimal128(bits)  # type: ignore[arg-type]  # documented, but not in its types
    return _any_decimal(value)


def _any_decimal(value: Decimal) -> Decimal128:
    try:
        return Decimal128(value)
    except DecimalException as error:
        raise UnstorableError(
            f"a number of {len(value.as_tuple().digits)} digits: Decimal128 holds 34 of them and exponents "
            "to 6144; read it as text, or rounded, with a `query`"
        ) from error


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UnstorableError(
                "text that is not valid Unicode (UTF-8): it has to be mended there"
            ) from error
    return value


def _time(value: datetime) -> datetime:
    """A time with a zone; one without is in UTC."""
    if value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _time_in(zone: ZoneInfo, value: datetime) -> datetime:
    return (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(UTC)


def _local(zone: ZoneInfo) -> Convert:
    def read(text: str) -> datetime:
        try:
            return _time_in(zone, datetime.fromisoformat(text))
        except ValueError as error:
            raise UnstorableError(f"'{text_of(text, 50)}' is not a time") from error

    return read


def _time_in_utc(value: Any) -> Any:
    return _time(value) if type(value) is datetime else _if_text(value, _local(_UTC))


def _time_of_unknown_zone(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise UnstorableError(
            "a TIMESTAMP WITH TIME ZONE, whose zone the driver does not tell: write SYS_EXTRACT_UTC(…) AS … "
            "in the query"
        )
    return _plain(value)


def _day(value: Any) -> Any:
    """A day is its midnight in UTC, in whatever zone the source is."""
    return _midnight(value) if type(value) is date else _if_text(value, _day_of_text)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _day_of_text(text: str) -> datetime:
    try:
        return _midnight(date.fromisoformat(text))
    except ValueError as error:
        raise UnstorableError(f"'{text_of(text, 50)}' is not a day") from error


def _if_text(value: Any, read: Convert) -> Any:
    return read(value) if type(value) is str else _plain(value)


def _clock(value: Any) -> Any:
    return clock_text(value) if isinstance(value, timedelta) else _plain(value)


def _json(value: Any) -> Any:
    if type(value) is not str:
        return _plain(value)
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise UnstorableError("JSON that cannot be read, or is nested too deeply") from error
    return _plain(found)


def _bits(value: Any) -> Any:
    if not isinstance(value, bytes):
        return _plain(value)
    number = int.from_bytes(value)
    return bool(number) if len(value) == 1 and number < 2 else _integer(number)


def _truth(value: Any) -> Any:
    return bool(value) if value in (0, 1) else _plain(value)


def _number(value: Any) -> Any:
    return _decimal(Decimal(repr(value))) if type(value) in (int, float) else _plain(value)


def _nested(value: Any, depth: int = 0) -> Any:
    """What is inside a document or an array, level by level."""
    if depth > DEEPEST:
        raise UnstorableError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {_inner_name(name): _nested(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_nested(inner, depth + 1) for inner in value]
    return _plain(value)


def _inner_name(name: Any) -> str:
    text = str(name)
    if "\0" in text:
        raise UnstorableError("a field whose name holds the character NUL: MongoDB has no such names")
    return _text(text)


def _unreadable(value: Unreadable) -> Any:
    raise UnstorableError(
        f"'{text_of(value, 50)}' is not within the years 1 to 9999, or cannot be read: a `query` can make "
        "another value or NULL of it"
    )


def _other(value: Any) -> Any:
    """What drivers make of rarer types: their text is what the database shows of them."""
    for kind, convert in _BY_BASE:
        if isinstance(value, kind):
            return convert(value)
    return _text(str(value))


_BY_TYPE: dict[type, Convert | None] = {
    type(None): None,
    bool: None,
    float: None,
    bytes: None,
    int: _integer,
    str: _text,
    Decimal: _decimal,
    datetime: _time,
    date: _midnight,
    dict: _nested,
    list: _nested,
    timedelta: span_text,
    Unreadable: _unreadable,
}

_BY_BASE: tuple[tuple[Any, Convert], ...] = (
    (bytearray | memoryview, bytes),
    (time, lambda value: str(value.isoformat())),
    (UUID, str),
    (datetime, _time),
    (int, lambda value: _integer(int(value))),
    (float, float),
    (str, lambda value: _text(str(value))),
    (tuple, _nested),
    (Mapping, lambda value: _nested(dict(value))),
)

_UTC = ZoneInfo("UTC")

_BY_KIND: dict[Kind, Convert] = {
    "utc time": _time_in_utc,
    "day": _day,
    "clock": _clock,
    "json": _json,
    "bits": _bits,
    "truth": _truth,
    "number": _number,
}
