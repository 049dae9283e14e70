"""The action `write`: inserts, updates, replaces or deletes one document of a collection.

It makes the write as a value (`mtrigger.effects`), which is carried out together with the delivery's outcome.
Promise: documents only give values. Whatever a document holds, it is compared as a whole in the key and
stored as it is: nothing of it is ever read as an operator, a field's path or the name of a collection.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mtrigger.actions.base import ActionKind, Preview, Work
from mtrigger.actions.json_templates import bson_leaf, filled, json_template
from mtrigger.actions.services import Services
from mtrigger.actions.write_settings import (
    ARRAY_OPERATORS,
    COMPARISONS,
    WriteConfig,
    key_problem,
    write_mistakes,
    write_reads,
)
from mtrigger.effects import Effect
from mtrigger.errors import PermanentError
from mtrigger.templates import scope_of
from mtrigger.templates.values import extended_json

_MISSING = object()


class Write:
    """One write, with the values of each delivery."""

    def __init__(self, config: WriteConfig, services: Services) -> None:
        leaf = bson_leaf(services.templates)
        value = _guarded(config.update or {}) if config.has_operators else config.value
        self._config = config
        self._database, _, self._collection = config.into.partition(".")
        self._value = json_template(value, leaf)
        self._key = json_template(config.key, leaf) if isinstance(config.key, dict) else None

    async def run(self, work: Work) -> Effect:
        """What is to be written. Raises PermanentError if that cannot be made of the document."""
        return self._effect(work)

    def preview(self, work: Work) -> Preview:
        """The operation, its target and its value, as Extended JSON."""
        effect = self._effect(work)
        upsert = ", made if it is not there" if effect.upsert else ""
        parts = {"Operation": f"{effect.operation}{upsert}", "Into": effect.namespace}
        if effect.filter:
            parts["Key"] = extended_json(effect.filter)
        if effect.value:
            parts["Value"] = extended_json(effect.value, indent=2)
        return Preview(f"write: {effect.account}", parts)

    def _effect(self, work: Work) -> Effect:
        config, scope = self._config, scope_of(work.scope)
        value = filled(config.operation, self._value, scope)
        key = filled("key", self._key, scope) if self._key is not None else None
        if not isinstance(value, Mapping):
            raise PermanentError(f"{config.operation}: a document is needed, not {type(value).__name__}")
        if config.operation != "update" and any(name.startswith("$") for name in value):
            raise PermanentError(f"{config.operation}: a field's name cannot begin with `$`")
        own_id = config.operation == "insert" and "_id" not in value
        match config.operation:
            case "insert":
                matched, value = {}, {"_id": work.delivery_id, **value} if own_id else value
            case "delete":
                matched, value = _equal(value), {}
            case "replace":
                matched = _equal(key if key is not None else self._named(value))
            case "update":
                matched = _equal(key if key is not None else self._named(value))
                value = value if config.has_operators else {"$set": self._without_key(value)}
        return Effect(
            self._database, self._collection, config.operation, matched, value, config.upsert, own_id
        )

    def _named(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of `value` that `key` names."""
        found = {name: _at(value, name) for name in self._config.key or ()}
        for name, one in found.items():
            if one is _MISSING:
                raise PermanentError(f"key: the value has no field `{name}`")
        return found

    def _without_key(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """What an update sets: the key is what it is."""
        names = self._config.key if isinstance(self._config.key, tuple) else ()
        return {name: item for name, item in value.items() if name not in names}


def _equal(key: Mapping[str, Any]) -> dict[str, Any]:
    """A filter for documents that have just these values."""
    for name, value in key.items():
        if (problem := key_problem(value)) is not None:
            raise PermanentError(f"key: `{name}` {problem}")
    return {name: {"$eq": value} for name, value in key.items()}


def _at(value: Any, path: str) -> Any:
    """What is at `path`, a field's name or dotted path."""
    if not isinstance(value, Mapping):
        return _MISSING
    if path in value:
        return value[path]
    name, dot, rest = path.partition(".")
    return _at(value[name], rest) if dot and name in value else _MISSING


def _guarded(update: Mapping[str, Any]) -> dict[str, Any]:
    """`update` so that its values stay values: an operand of `$push` that is a mapping may hold modifiers,
    and one of `$pull` conditions."""
    guards: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(ARRAY_OPERATORS, _as_elements),
        "$pull": _as_condition,
    }
    return {
        operator: {name: guards[operator](operand) for name, operand in fields.items()}
        if operator in guards
        else fields
        for operator, fields in update.items()
    }


def _as_elements(operand: Any) -> Any:
    return operand if isinstance(operand, dict) and "$each" in operand else {"$each": [operand]}


def _as_condition(operand: Any) -> Any:
    if not isinstance(operand, dict):
        return {"$eq": operand}
    return {name: item if name in COMPARISONS else _as_condition(item) for name, item in operand.items()}


def _writes(config: WriteConfig) -> frozenset[str]:
    return frozenset({config.into})


KIND = ActionKind("write", WriteConfig, write_mistakes, write_reads, Write, writes=_writes)
