"""A document's key and its id as text that tells apart what BSON tells apart, for ids, lanes and look-ups."""

from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from bson import ObjectId, json_util

_CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL)


def text_of_key(key: Mapping[str, Any]) -> str:
    """A document's key as canonical Extended JSON. The usual ones are written by hand, to the same effect:
    lanes are kept in rows, and a general encoder takes ten times as long."""
    if len(key) == 1 and (text := _text_of_usual_id(key.get("_id"))):
        return f'{{"_id": {text}}}'
    return json_util.dumps(key, json_options=_CANONICAL)


def id_text(value: Any) -> str:
    """A document id as hashable text."""
    return _text_of_usual_id(value) or json_util.dumps(value, json_options=_CANONICAL)


def _text_of_usual_id(value: Any) -> str:
    kind = type(value)
    if kind is ObjectId:
        return f'{{"$oid": "{value}"}}'
    if kind is str:
        return encode_basestring_ascii(value)
    if kind is int:
        return f'{{"$number{"Int" if -(2**31) <= value < 2**31 else "Long"}": "{value}"}}'
    return ""
