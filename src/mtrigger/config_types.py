"""Types of single values in a rule file, shared by the rule's own model and the actions' settings.

They are stricter than pydantic's own: only `true` and `false` are flags, only numbers are numbers. The one
exception is text that `${…}` filled in whole (`attempts: ${ATTEMPTS}`): it has no YAML type of its own, so it
takes the one needed. Messages never contain the value: it may be a secret.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, Strict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NOT_IN_DATABASE = re.compile(r"[/\\\s\"$<>:|?\0]")
_WITHOUT_STREAMS = ("admin", "config", "local")
_LONGEST = 3650 * _UNITS["d"]

FILLED_PATTERN = r"^\$\{.+\}$"
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$|^\$\{.+\}$"

FilledPlaceholder = Annotated[str, Field(pattern=FILLED_PATTERN)]
DurationText = Annotated[str, Field(pattern=DURATION_PATTERN, title="duration")]


class FilledText(str):
    """Text that one `${…}` filled in whole: it may stand for a number or a flag where one is needed."""

    __slots__ = ()


def parse_duration(text: str) -> float:
    """Seconds in `500ms`, `30s`, `5m`, `2h` or `7d`. Raises ValueError (without the text) when it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a number and its unit: 500ms, 30s, 5m, 2h or 7d")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("a duration may be 3650d at most")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest way to write `seconds` as a duration: 3600 is `1h`, 0.5 is `500ms`."""
    for unit in ("d", "h", "m", "s"):
        if seconds and (seconds / _UNITS[unit]).is_integer():
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds * 1000:.12g}ms" if seconds else "0s"


def _duration(value: object) -> float:
    return parse_duration(value if isinstance(value, str) else "")


def _longer_than_nothing(value: float) -> float:
    if value <= 0:
        raise ValueError("must be longer than nothing")
    return value


def _number_if_filled(value: object) -> object:
    return int(value) if isinstance(value, FilledText) and re.fullmatch(r"[-+]?[0-9]{1,18}", value) else value


def _flag_if_filled(value: object) -> object:
    return (
        {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, FilledText) else value
    )


Duration = Annotated[
    float,
    BeforeValidator(_duration, json_schema_input_type=DurationText),
]
"""Seconds, written with a unit; nothing (`0s`) is allowed."""

Timeout = Annotated[
    float,
    BeforeValidator(
        lambda value: _longer_than_nothing(_duration(value)),
        json_schema_input_type=DurationText,
    ),
]
"""Seconds, written with a unit, more than nothing."""

Count = Annotated[
    int,
    Strict(),
    Field(ge=1),
    BeforeValidator(
        _number_if_filled, json_schema_input_type=Annotated[int, Field(ge=1)] | FilledPlaceholder
    ),
]
"""A whole number from 1."""

Flag = Annotated[
    bool, Strict(), BeforeValidator(_flag_if_filled, json_schema_input_type=bool | FilledPlaceholder)
]
"""`true` or `false`, and nothing else."""


class _OneOrList:
    """Makes the JSON Schema of a list allow one item without its list."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = handler(schema)
        return {"anyOf": [found["items"], {**found, "minItems": 1}]}


def _list_of_one(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("this list is empty")
    return value


ItemT = TypeVar("ItemT")

OneOrMore = Annotated[
    tuple[ItemT, ...], AfterValidator(_not_empty), BeforeValidator(_list_of_one), _OneOrList()
]
"""One text or a list of items, never an empty list; always a tuple inside."""


def closest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that `word` was probably meant to be, or an empty text."""
    import difflib

    names: dict[str, Any] = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else ""


def one_collection(name: str) -> str:
    """`name` if it is `database.collection`, the name of a single one."""
    if "." not in name:
        raise ValueError("write it as database.collection")
    return valid_collection(name)


def valid_collection(pattern: str) -> str:
    """`pattern` if it is `database.collection`, with `*` as a wildcard in either part (MongoDB's naming
    restrictions: https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions)."""
    database, dot, collection = pattern.partition(".")
    if not dot:
        raise ValueError("write it as database.collection (a whole database: database.*)")
    if not database or _NOT_IN_DATABASE.search(database) or len(database.encode()) > 63:
        raise ValueError("the part before the first dot is no database name")
    if database in _WITHOUT_STREAMS:
        raise ValueError("MongoDB has no change streams for the databases admin, config and local")
    if not collection or "$" in collection or "\0" in collection or collection.startswith("."):
        raise ValueError("the part after the first dot is no collection name")
    if len(pattern.encode()) > 255:
        raise ValueError("database and collection together may have 255 bytes at most")
    return pattern
