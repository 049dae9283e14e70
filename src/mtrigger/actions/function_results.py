"""What a user's function returns, as a write of fields: for the action `function` with `into`.

Promise: a write names one document, and what cannot be stored is for good, with the function's name, so that
it is found among the dead letters.
"""

from collections.abc import Mapping
from typing import Any

import bson
from bson.errors import BSONError

from mtrigger.actions.base import Work
from mtrigger.effects import Effect
from mtrigger.errors import PermanentError


def effect_of(result: Any, work: Work, target: str, into: str, *, upsert: bool) -> Effect | None:
    """The write that stores `result`, which the function `target` returned; None when it returned None.

    Its fields are set on the document of the collection `into` that has its `_id`, or, where it names none,
    that of the document the event is about (of a message: its key). Raises PermanentError for anything but a
    mapping of fields.
    """
    if result is None:
        return None
    if not isinstance(result, Mapping):
        raise PermanentError(
            f"{target} returned {type(result).__name__}: with `into`, it returns a mapping of fields, or None"
        )
    key = result.get("_id", work.subject)
    if key is None or isinstance(key, list):
        raise PermanentError(f"{target} has to say which document is meant: return its `_id`, too")
    fields = {name: value for name, value in result.items() if name != "_id"}
    for name in fields:
        if not isinstance(name, str) or not name or name.startswith("$"):
            raise PermanentError(f"{target} returned the field {name!r}: it is no name of a field")
    _check(fields, target)
    database, _, collection = into.partition(".")
    value = {"$set": fields} if fields else {"$setOnInsert": {"_id": key}}
    return Effect(database, collection, "update", {"_id": {"$eq": key}}, value, upsert=upsert)


def _check(fields: Mapping[str, Any], target: str) -> None:
    try:
        bson.encode(fields)
    except (BSONError, OverflowError, RecursionError, UnicodeError) as error:
        raise PermanentError(f"{target} returned what cannot be stored: {error}") from error
