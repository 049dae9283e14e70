"""Document values inside templates: what they become on the way in, how they print, and the way back.

Keeps the promise that a document is data only: a mapping becomes `Fields`, whose names are its keys and
nothing else, and a number computes whatever BSON type it was stored as.
"""

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128, create_decimal128_context
from bson.int64 import Int64
from bson.objectid import ObjectId
from markupsafe import Markup

_LONGEST_PLAIN_DECIMAL = 40
"""Decimals whose leading digit is further than this from the point print with an exponent."""

_DECIMAL128 = create_decimal128_context()

_AS_THEY_ARE = frozenset({str, int, float, bool, type(None), ObjectId, Int64})
"""Types that templates see as they are stored. Most values are of these, so they are told first."""

_AS_THEY_PRINT = frozenset({str, Markup, int, float, ObjectId, Int64})
"""Types that print as they are, told first likewise."""

_AS_JSON_HAS_THEM = frozenset({str, int, bool, type(None)})

_to_json = json.JSONEncoder(ensure_ascii=False).encode


class Fields(dict[str, Any]):
    """A document (or a sub-document) in a template; `path` is how a template reaches it, for messages."""

    __slots__ = ("path",)

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self.path = path
        prefix = f"{path}." if path else ""
        super().__init__(
            (str(key), value if type(value) in _AS_THEY_ARE else incoming(value, f"{prefix}{key}"))
            for key, value in values.items()
        )


class Scope(Mapping[str, Any]):
    """The names that templates of one delivery see. Each is converted when it is first asked for: most
    templates read the document and nothing else."""

    __slots__ = ("_converted", "_values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._converted: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._converted:
            self._converted[name] = incoming(self._values[name], name)
        return self._converted[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def only(self, names: Iterable[str] | None) -> dict[str, Any]:
        """Those of `names` that there are, None for all."""
        wanted = self._values if names is None else names
        return {name: self[name] for name in wanted if name in self._values}


def incoming(value: Any, path: str = "") -> Any:
    """`value` as templates see it: Decimal128 as Decimal, naive dates as UTC, mappings as `Fields`."""
    kind = type(value)
    if kind in _AS_THEY_ARE or isinstance(value, Fields):
        return value
    if kind is dict or isinstance(value, Mapping):
        return Fields(value, path)
    if isinstance(value, list | tuple):
        return [incoming(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def outgoing(value: Any) -> Any:
    """The way back: a value from a template, ready for BSON. Decimals are rounded to 34 digits."""
    if isinstance(value, Mapping):
        return {str(key): outgoing(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [outgoing(item) for item in value]
    if isinstance(value, Decimal):
        return Decimal128(_DECIMAL128.create_decimal(value))
    return value


def printed(value: Any) -> Any:
    """What `{{ value }}` prints: nothing for null, ISO 8601 in UTC for dates, JSON for documents and arrays.

    Text, whole numbers, ids and what templates themselves make (escaped text, macros) are left as they are.
    """
    if type(value) in _AS_THEY_PRINT:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, DatetimeMS):
        return str(int(value))  # outside the years 1 to 9999: no calendar date in Python
    if isinstance(value, bytes):
        return _binary(value)
    if isinstance(value, Mapping | list | tuple):
        return extended_json(value)
    return value


def extended_json(value: Any, indent: int | None = None) -> str:
    """`value` as relaxed MongoDB Extended JSON (v2), in plain UTF-8 characters."""
    found = _jsonable(value)
    return _to_json(found) if indent is None else json.dumps(found, ensure_ascii=False, indent=indent)


def _jsonable(value: Any) -> Any:
    """`value` in the types of JSON. The driver's own `dumps` does the same in several times the time."""
    kind = type(value)
    if kind is dict or kind is Fields:
        return {
            name: item if type(item) in _AS_JSON_HAS_THEM else _jsonable(item) for name, item in value.items()
        }
    if kind is list:
        return [item if type(item) in _AS_JSON_HAS_THEM else _jsonable(item) for item in value]
    if kind in _AS_JSON_HAS_THEM or (kind is float and math.isfinite(value)):
        return value
    if kind is ObjectId:
        return {"$oid": str(value)}
    if isinstance(value, Mapping):
        return {str(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, Decimal):
        value = outgoing(value)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_jsonable(item) for item in value]
    return json_util.default(value, json_util.RELAXED_JSON_OPTIONS)


def _decimal(value: Decimal) -> str:
    if value.is_finite() and abs(value.adjusted()) <= _LONGEST_PLAIN_DECIMAL:
        return format(value, "f")
    return str(value)


def _iso(value: datetime) -> str:
    moment = value.astimezone(UTC) if value.tzinfo else value
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _binary(value: bytes) -> str:
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == 16:
        return str(UUID(bytes=bytes(value)))
    return base64.b64encode(value).decode("ascii")
