"""Values as keys, for looking up instead of comparing.

The promise: two values have the same key exactly when `values.matches` calls them equal, and keys of one kind
are in the order that it has for the values. So a dictionary answers `==` and a sorted list `<`. What has no
such key (arrays, documents, MinKey and MaxKey, code, regular expressions) is left to `values.matches`.
"""

from collections.abc import Iterator
from typing import Any

from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from mtrigger.conditions.paths import values_at
from mtrigger.conditions.syntax import Step
from mtrigger.conditions.values import MISSING, TypeClass, binary_key, is_nan, milliseconds, type_class

Key = tuple[int, Any]
"""(kind, something hashable that is ordered within the kind). Values of two kinds are never equal."""

NULL: Key = (TypeClass.NULL, 0)
"""Null, and what is missing."""

_NAN: Key = (-TypeClass.NUMBER, 0)  # equal to itself, and in no order with the numbers: a kind of its own


_OWN_KEYS: dict[type, TypeClass] = {
    str: TypeClass.STRING,
    int: TypeClass.NUMBER,
    Int64: TypeClass.NUMBER,
    bool: TypeClass.BOOL,
    ObjectId: TypeClass.OBJECT_ID,
}
"""Types whose values Python hashes and orders as MongoDB compares them."""


def key(value: Any) -> Key | None:
    """The key of a value or of MISSING; None if it has none."""
    own = _OWN_KEYS.get(type(value))
    if own is not None:
        return own, value
    kind = type_class(value)
    match kind:
        case TypeClass.NUMBER:
            number = value.to_decimal() if isinstance(value, Decimal128) else value
            return _NAN if is_nan(number) else (kind, number)
        case TypeClass.NULL | TypeClass.MISSING:
            return NULL
        case TypeClass.DATE:
            return kind, milliseconds(value)
        case TypeClass.STRING | TypeClass.OBJECT_ID:
            return kind, value
        case TypeClass.TIMESTAMP:
            return kind, (value.time, value.inc)
        case TypeClass.BINARY:
            return kind, binary_key(value)
        case _:
            return None


def keys_at(root: Any, path: tuple[Step, ...]) -> list[Key]:
    """The keys of the values that `path` leads to from `root`, for what has one."""
    value = root
    for step in path:  # the short way: plain documents, and no array at the end
        if type(value) is not dict or type(step) is not str:
            return _known_keys(values_at(root, path))
        value = value.get(step, MISSING)
    if isinstance(value, list | tuple):
        return _known_keys(values_at(root, path))
    found = key(value)
    return [] if found is None else [found]


def _known_keys(values: Iterator[Any]) -> list[Key]:
    return [found for value in values if (found := key(value)) is not None]
