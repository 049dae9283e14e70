"""What an event changed: the meaning of `changed(path)`."""

from collections.abc import Mapping, Sequence
from typing import Any

import bson
from bson.errors import BSONError

from mtrigger.conditions.paths import whole_values_at
from mtrigger.conditions.values import MISSING
from mtrigger.events import ChangeEvent


def has_changed(event: ChangeEvent, names: Sequence[str]) -> bool:
    """Whether `event` changed what is at the path `names`, above it or below it.

    update: a path it set, removed or truncated lies on the way to it or below it. insert: the path exists.
    replace: the value differs from the pre-image's, type included; without a pre-image it holds, because it
    cannot be known and nothing may be lost. delete and everything else: false.
    """
    path = tuple(names)
    if event.operation == "update":
        return any(_touches(touched.split("."), path) for touched in event.touched)
    if event.operation == "insert":
        return event.document is not None and any(
            found is not MISSING for found in _values(event.document, path)
        )
    if event.operation == "replace":
        if event.before is None or event.document is None:
            return True
        return not _identical(_values(event.before, path), _values(event.document, path))
    return False


def _touches(touched: list[str], path: tuple[str, ...]) -> bool:
    return all(one == other for one, other in zip(touched, path, strict=False))


def _values(document: Mapping[str, Any], path: tuple[str, ...]) -> list[Any]:
    return list(whole_values_at(document, path))


def _identical(before: list[Any], after: list[Any]) -> bool:
    if [found is MISSING for found in before] != [found is MISSING for found in after]:
        return False
    try:
        return _encoded(before) == _encoded(after)
    except BSONError:
        return False  # not even BSON: rather once too often than lost


def _encoded(values: list[Any]) -> bytes:
    return bson.encode({"": [None if found is MISSING else found for found in values]})
