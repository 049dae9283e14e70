"""The filters that mails need beyond Jinja's own: `money`, `datetime`, `json`, `link`, and a `sum` that mixes
number types; and the tests `is array` and `is date`.

They depend on no locale, so a mail reads the same on every machine. A filter that cannot do its work raises
ValueError with a sentence; the renderer adds the template and the line.
"""

import difflib
import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from jinja2 import Environment, Undefined, pass_environment
from jinja2.filters import make_attrgetter

from mtrigger.templates.values import extended_json, printed

_SYMBOLS = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "KRW": "₩",
    "INR": "₹",
    "CNY": "CN¥",
    "ILS": "₪",
    "VND": "₫",
    "NGN": "₦",
    "UAH": "₴",
    "PHP": "₱",
    "CAD": "CA$",
    "AUD": "A$",
    "NZD": "NZ$",
    "BRL": "R$",
    "MXN": "MX$",
    "HKD": "HK$",
    "SGD": "S$",
    "TWD": "NT$",
}

_NO_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"}
    | {"XAF", "XOF", "XPF"}
)
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""Minor units other than two, from ISO 4217, table A.1."""

_MOST_DIGITS = 60
_MOST_DECIMALS = 20
_LINK_SCHEMES = ("http", "https", "mailto")
_KEPT_IN_LINKS = ":/?#[]@!$&'()*+,;=%~"  # the reserved characters of RFC 3986, section 2.2, `%` and `~`


def money(value: Any, currency: str = "", decimals: int | None = None) -> str:
    """`value` with grouped thousands, rounded half to even: 12345.5 | money("USD") is "$12,345.50".

    `currency` is an ISO 4217 code (its symbol and number of decimals are used where they are known) or any
    other short text, which is put in front. An array prints each of its elements. Raises ValueError when
    `value` is not a number.
    """
    if isinstance(currency, Undefined):
        str(currency)  # raises, naming the missing field
    code = str(printed(currency)).strip().upper()
    if decimals is None:
        decimals = 0 if code in _NO_DECIMALS else 3 if code in _THREE_DECIMALS else 2
    if not 0 <= decimals <= _MOST_DECIMALS:
        raise ValueError(f"money prints 0 to {_MOST_DECIMALS} decimals, not {decimals}")
    if isinstance(value, list | tuple):
        return ", ".join(
            money(item, code, decimals) if _is_number(item) else str(printed(item)) for item in value
        )
    number = _number(value)
    text = _grouped(number.copy_abs(), decimals)
    sign = "-" if number.is_signed() and any(digit in "123456789" for digit in text) else ""
    if code in _SYMBOLS:
        return f"{sign}{_SYMBOLS[code]}{text}"
    return f"{code} {sign}{text}" if code else f"{sign}{text}"


def _grouped(number: Decimal, decimals: int) -> str:
    if not number.is_finite():
        return "NaN" if number.is_nan() else "Infinity"
    if abs(number.adjusted()) > _MOST_DIGITS and number:
        return f"{number:.{decimals}E}"
    return f"{number.quantize(*_rounding_to(decimals)):,f}"


@functools.cache
def _rounding_to(decimals: int) -> tuple[Decimal, str, Context]:
    digits = _MOST_DIGITS + decimals + 5
    return Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN, Context(prec=digits)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _number(value: Any) -> Decimal:
    if isinstance(value, Undefined):
        str(value)  # raises, naming the missing field
    if isinstance(value, Decimal):
        return value
    try:
        if _is_number(value) or isinstance(value, str):
            return Decimal(str(value))  # by way of text: 0.1 is meant as 0.1
    except InvalidOperation:
        pass  # the sentence below is for this case too
    raise ValueError(f"money needs a number, not {kind_of(value)}")


def kind_of(value: Any) -> str:
    """What to call `value` in a message: "null", "text", "a document" …"""
    if value is None:
        return "null"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, "text"),
        (bool, "true or false"),
        ((int, float, Decimal), "a number"),
        (datetime, "a date"),
        (dict, "a document"),
        ((list, tuple), "an array"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def date_and_time(value: Any, format: str = "%Y-%m-%d %H:%M", tz: str = "UTC") -> str:  # noqa: A002 - a template writes datetime(format=…)
    """`value` in the time zone `tz` (an IANA name), written by strftime's `format`.

    Takes dates, timestamps, the time inside an ObjectId, and ISO 8601 text. Raises ValueError otherwise.
    """
    return _moment(value).astimezone(_zone(tz)).strftime(format)


def _moment(value: Any) -> datetime:
    if isinstance(value, Undefined):
        str(value)  # raises, naming the missing field
    if isinstance(value, Timestamp):
        return value.as_datetime()
    if isinstance(value, ObjectId):
        return value.generation_time
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("datetime needs a date, not text that is no ISO 8601 date") from None
    if not isinstance(value, datetime):
        raise ValueError(f"datetime needs a date, not {kind_of(value)}")  # noqa: TRY004 - the document's fault, not the caller's type
    return value if value.tzinfo else value.replace(tzinfo=UTC)


@functools.cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
    if not known:
        raise ValueError("this machine has no time zone data: install the Python package tzdata")
    close = difflib.get_close_matches(name, known, n=1)
    raise ValueError(f"there is no time zone {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def link(value: Any) -> str:
    """`value` if it is a whole http, https or mailto address, unsafe characters percent-encoded; else "".

    Empty and not an error: a document with an odd address must not cost its reader the mail.
    """
    if isinstance(value, Undefined):
        str(value)  # raises, naming the missing field
    text = value.strip() if isinstance(value, str) else ""
    if any(character < " " or character == "\x7f" for character in text):
        return ""
    try:
        parts = urlsplit(text)
        fit = parts.scheme in _LINK_SCHEMES and bool(
            parts.path if parts.scheme == "mailto" else parts.hostname
        )
        return quote(text, safe=_KEPT_IN_LINKS) if fit else ""
    except ValueError:  # an unclosed bracket, a lone surrogate
        return ""


@pass_environment
def total(
    environment: Environment, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0
) -> Any:
    """Jinja's `sum`, for lists that mix Decimal128 with doubles."""
    values = map(make_attrgetter(environment, attribute), iterable) if attribute is not None else iterable
    return functools.reduce(_plus, values, start)


def _plus(left: Any, right: Any) -> Any:
    left, right = same_kind(left, right)
    return left + right


def same_kind(left: Any, right: Any) -> tuple[Any, Any]:
    """A Decimal and a float as two Decimals, so that they compute with each other; all else as it is."""
    if isinstance(left, Decimal) and isinstance(right, float):
        return left, Decimal(str(right))
    if isinstance(left, float) and isinstance(right, Decimal):
        return Decimal(str(left)), right
    return left, right


def is_array(value: Any) -> bool:
    """`value is array`: a BSON array, not text or a document."""
    return isinstance(value, list | tuple)


def is_date(value: Any) -> bool:
    """`value is date`: something the filter `datetime` takes without reading text."""
    return isinstance(value, datetime | Timestamp)


TESTS = {"array": is_array, "date": is_date}

FILTERS = {
    "money": money,
    "datetime": date_and_time,
    "json": extended_json,
    "link": link,
    "sum": total,
}
