"""Values in a MongoDB filter: BSON values as they are, or written as Extended JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from re import Pattern as CompiledPattern
from typing import Any

from bson import json_util
from bson.errors import BSONError
from bson.regex import Regex

from mtrigger.conditions.values import TypeClass, type_class

WRAPPERS = frozenset(
    (
        "$oid",
        "$date",
        "$numberInt",
        "$numberLong",
        "$numberDouble",
        "$numberDecimal",
        "$binary",
        "$uuid",
        "$timestamp",
        "$regularExpression",
        "$minKey",
        "$maxKey",
        "$code",
    )
)
"""The keys that Extended JSON (v2) writes BSON types with."""

MOST_DEPTH = 50
MOST_LEVELS = 120  # an operator and its list for each level of nesting, and some for the value
_OPTIONS = json_util.JSONOptions(tz_aware=True, tzinfo=UTC)


class MappingError(Exception):
    """Something wrong in a MongoDB filter; the message is a sentence that names the key."""


def is_wrapped(value: Any) -> bool:
    """Whether a mapping is one BSON value written as Extended JSON."""
    return isinstance(value, Mapping) and any(key in WRAPPERS for key in value)


def normalised(value: Any, where: str, depth: int = 0) -> Any:
    """The BSON value that is meant. `where` is the key it belongs to. Raises MappingError."""
    if depth > MOST_DEPTH:
        raise MappingError(f"`{where}`: values are nested at most {MOST_DEPTH} deep")
    if is_wrapped(value):
        return _unwrapped(value, where)
    if isinstance(value, list | tuple):
        return [normalised(item, where, depth + 1) for item in value]
    if isinstance(value, CompiledPattern):
        return Regex.from_native(value)
    match type_class(value):
        case TypeClass.OBJECT:
            return {_name(key, where): normalised(item, where, depth + 1) for key, item in value.items()}
        case TypeClass.NUMBER if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise MappingError(f"`{where}`: a whole number has at most 64 bits")
        case TypeClass.DATE if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        case TypeClass.FOREIGN | TypeClass.MISSING:
            raise MappingError(f"`{where}`: a {type(value).__name__} is no BSON value")
        case _:
            return value


def _name(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise MappingError(f"`{where}`: the key {key!r} is no string")
    if key.startswith("$"):
        raise MappingError(f"`{where}`: the operator `{key}` cannot stand inside a value")
    if "\0" in key:
        raise MappingError(f"`{where}`: a key cannot hold a zero character")
    return key


def _unwrapped(value: Mapping[str, Any], where: str) -> Any:
    try:
        found = json_util.object_hook(value, _OPTIONS)
        if is_wrapped(found):  # object_hook gives back what it does not know
            raise ValueError("it has the wrong keys")
        # dates are written by the milliseconds only in BSON; a round trip shows what cannot be written at all
        return found
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, BSONError) as error:
        raise MappingError(
            f"`{where}`: {next(iter(value))} cannot be read as Extended JSON ({error})"
        ) from error


def is_too_deep(mapping: Any) -> bool:
    """Whether a filter has more levels than any that is accepted, so that nothing may recurse into it."""
    level = [mapping]
    for _ in range(MOST_LEVELS):
        level = [item for value in level for item in _below(value)]
        if not level:
            return False
    return True


def _below(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def text_of(mapping: Any) -> str:
    """Compact Extended JSON. Raises MappingError."""
    try:
        return json_util.dumps(
            mapping, json_options=json_util.RELAXED_JSON_OPTIONS, separators=(",", ":"), ensure_ascii=False
        )
    except (TypeError, ValueError, OverflowError, RecursionError, BSONError) as error:
        raise MappingError(f"the filter cannot be written as Extended JSON ({error})") from error
