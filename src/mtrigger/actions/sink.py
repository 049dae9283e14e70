"""The action `sink`: what a topic brings becomes documents of a collection.

It makes the write as a value (`mtrigger.effects`), which is carried out together with the delivery's outcome.
Promise: a message's body only gives values, as with `write`. What does not fit (no mapping, no key, not what
the schema says) is for good, with the path in the body, so that it is found among the dead letters.
"""

from collections.abc import Mapping
from typing import Any

from mtrigger.actions.base import ActionKind, Preview, Work
from mtrigger.actions.body_paths import key_at, mapped
from mtrigger.actions.json_schemas import checked_by
from mtrigger.actions.services import Services
from mtrigger.actions.sink_settings import SinkConfig, sink_mistakes
from mtrigger.effects import Effect
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from mtrigger.templates.values import extended_json

DELETED = "deleted"
"""The header that says, when it is true, that what the message is about is gone."""


class Sink:
    """One collection, with the document of each message."""

    def __init__(self, config: SinkConfig, services: Services) -> None:
        self._config = config
        self._database, _, self._collection = config.into.partition(".")
        self._check = checked_by(config.json_schema) if isinstance(config.json_schema, dict) else None

    async def run(self, work: Work) -> Effect:
        """What is to be written. Raises PermanentError for a message that does not fit."""
        return self._effect(work.scope["message"])

    def preview(self, work: Work) -> Preview:
        """The operation, its target, and the document as Extended JSON."""
        effect = self._effect(work.scope["message"])
        parts = {"Operation": effect.operation, "Into": effect.namespace}
        if effect.filter:
            parts["Key"] = extended_json(effect.filter)
        if effect.value:
            parts["Value"] = extended_json(effect.value, indent=2)
        return Preview(f"sink: {effect.account}", parts)

    def _effect(self, message: Mapping[str, Any]) -> Effect:
        body, mode = message["body"], self._config.mode
        if mode == "upsert" and message["headers"].get(DELETED) is True:
            key = self._key(message, body if isinstance(body, Mapping) else None)
            return Effect(self._database, self._collection, "delete", {"_id": {"$eq": key}})
        if not isinstance(body, Mapping):
            raise PermanentError(f"the message's body is {_named(body)}, and a document is needed")
        key = self._key(message, body)
        if self._check is not None:
            self._check(body)
        document = {"_id": key, **_fields(mapped(body, self._config.fields))}
        if mode == "upsert":
            matched = {"_id": {"$eq": key}}
            return Effect(self._database, self._collection, "replace", matched, document, upsert=True)
        own_id = self._config.key is None
        return Effect(self._database, self._collection, "insert", value=document, own_id=own_id)

    def _key(self, message: Mapping[str, Any], body: Mapping[str, Any] | None) -> Any:
        """The `_id` of the document. Of what is gone there may be no body: then it is the message's key. An
        insert without a `key` makes a document of each message."""
        if self._config.key is not None and body is not None:
            return key_at(body, self._config.key)
        key = message["key"] if self._config.mode == "upsert" else None
        if isinstance(key, list):
            raise PermanentError("the message's key is an array, which cannot be an `_id`: name a `key`")
        if key is None and body is None:
            raise PermanentError(
                "the message says that something is gone; neither its key nor a body says what"
            )
        return message["id"] if key is None else key


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as the fields of a document, whose `_id` is the key."""
    for name in values:
        if name.startswith("$"):
            raise PermanentError(f"the body's field `{name}` cannot be a document's: it begins with `$`")
    return {name: value for name, value in values.items() if name != "_id"}


def _named(value: Any) -> str:
    """What a value is, in a word."""
    if value is None:
        return "null"
    return {str: "a text", list: "an array", bool: "a flag"}.get(
        type(value), f"of type {type(value).__name__}"
    )


def _reads(config: SinkConfig, templates: Templates) -> frozenset[str]:
    return frozenset({"message"})


def _writes(config: SinkConfig) -> frozenset[str]:
    return frozenset({config.into})


KIND = ActionKind(
    "sink",
    SinkConfig,
    sink_mistakes,
    _reads,
    Sink,
    writes=_writes,
    files=("schema",),
    of_messages=True,
    instead="use `write`, which makes a document of a change",
)
