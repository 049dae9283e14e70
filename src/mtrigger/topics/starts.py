"""Where to begin reading a topic, as people write it: in a rule file and on the command line. Pure."""

import json
from datetime import UTC, datetime
from typing import Any

from bson import json_util
from bson.errors import BSONError
from bson.objectid import ObjectId

from mtrigger.config_types import closest
from mtrigger.topics.log import After, From

_AFTER = ("after:", "id:")
_OFFSET = "offset:"
_FORMS = "beginning, now, a time such as 2026-01-31T10:00:00Z, after:<id of a message>, or offset:<number>"


def parse_start(text: str) -> From:
    """Read `beginning`, `now`, an ISO 8601 time with its zone, `after:ID` (or `id:ID`) or `offset:N`.

    An id of 24 hexadecimal digits is an ObjectId, one that is JSON (`{"$oid": …}`, `"text"`, 17) what it says
    as Extended JSON, any other the text itself. Raises ValueError with a sentence.
    """
    if text == "beginning":
        return "beginning"
    if text == "now":
        return "now"
    for prefix in _AFTER:
        if text.startswith(prefix):
            return After(read_id(text.removeprefix(prefix)))
    if text.startswith(_OFFSET):
        return _offset(text.removeprefix(_OFFSET))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        near = closest(text, ("beginning", "now"))
        hint = f"did you mean `{near}`?" if near else f"it is {_FORMS}"
        raise ValueError(f"{text!r} is no place to begin at; {hint}") from None
    if moment.tzinfo is None:
        raise ValueError(f"say the zone of {text!r}, such as {text}Z or {text}+09:00")
    return moment.astimezone(UTC)


def read_id(text: str) -> Any:
    """The id of a message as `parse_start` reads it. Raises ValueError with a sentence."""
    if not text:
        raise ValueError("the id of a message is missing, such as after:6650f0c2a1b2c3d4e5f60718")
    if ObjectId.is_valid(text):
        return ObjectId(text)
    try:
        return json_util.loads(text)
    except json.JSONDecodeError:
        return text
    except (ValueError, TypeError, BSONError) as error:
        raise ValueError(f"{text!r} is not Extended JSON: {error}") from error


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) < 2**63:
        raise ValueError(f"{text!r} is no offset: they are whole numbers from 1 on")
    return int(text)
