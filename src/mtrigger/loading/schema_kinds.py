"""The kinds of actions as JSON Schema: an entry of `do`, and the settings that a `_defaults.yaml` may hold.

An entry is one mapping with a property for each kind, not a choice between mappings: so an editor underlines
exactly the misspelt key, and offers exactly the keys that are there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mtrigger import actions
from mtrigger.actions.base import ActionConfig, ActionKind
from mtrigger.actions.third_party import BrokenKindError
from mtrigger.loading.channels import NAME
from mtrigger.loading.schema_models import Schema, model_schema, own_keys_first

_ONE = {"minProperties": 1, "maxProperties": 1, "additionalProperties": False}


def entry_schema(channels: Mapping[str, Sequence[str]], definitions: Schema) -> Schema:
    """An entry of `do`: a kind or one of `channels` (with the kinds they are) with its settings."""
    properties = {name: _settings(name, definitions) for name in actions.KINDS}
    for name, kinds in channels.items():
        properties[name] = _channel(kinds, definitions)
    entry: Schema = {
        "description": "One action: its kind, with its settings",
        "type": "object",
        "properties": properties,
        **_ONE,
    }
    return {"anyOf": [entry, {"enum": list(channels)}]} if channels else entry


def any_settings_schema(definitions: Schema) -> Schema:
    """`actions` of a `_defaults.yaml`: some of the settings of every kind."""
    properties = {name: _some_settings(name, definitions) for name in actions.KINDS}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def channels_schema(definitions: Schema) -> Schema:
    """`channels` of a `_defaults.yaml`: one kind with some of its settings, by names of their own."""
    properties = {name: _some_settings(name, definitions) for name in actions.KINDS}
    channel = {
        "description": "A channel: one kind of action, with some of its settings",
        "type": "object",
        "properties": properties,
        **_ONE,
    }
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME.pattern}$", "not": {"enum": list(actions.KINDS)}},
        "additionalProperties": channel,
    }


def settings_of(name: str, definitions: Schema) -> Schema | None:
    """The settings of a kind, which are among `definitions`; None if it cannot be loaded."""
    try:
        found: Schema = definitions[_definition(name, definitions)]
    except BrokenKindError:
        return None
    return found


def _definition(name: str, definitions: Schema) -> str:
    """What the settings of a kind are called among `definitions`: as the kind itself, for editors show it.
    Raises BrokenKindError."""
    kind = actions.kind(name)
    if name not in definitions:
        definitions[name] = model_schema(kind.config, definitions, f"{name}.")
        own_keys_first(definitions[name], ActionConfig)
    return name


def _settings(name: str, definitions: Schema) -> Schema:
    """The settings of a kind, or what may stand for them. Of one that cannot be loaded only that is known."""
    try:
        called = _definition(name, definitions)
    except BrokenKindError as error:
        return {"description": str(error)}
    about = {"description": definitions[called].get("description", "")}
    kind = actions.kind(name)
    reference: Schema = {"$ref": f"#/$defs/{called}"}
    return {**about, "anyOf": [reference, _short(kind)]} if kind.shorthand else {**about, **reference}


def _short(kind: ActionKind[Any]) -> Schema:
    if kind.shorthand_takes == "text":
        return {"type": "string"}
    return {"type": "array", "items": {"type": "string"}, "minItems": 1}


def _some_settings(name: str, definitions: Schema) -> Schema:
    """The settings of a kind, none of them needed."""
    try:
        called = _definition(name, definitions)
    except BrokenKindError as error:
        return {"description": str(error)}
    some = f"{called}.some"
    if some not in definitions:
        whole = definitions[called]
        definitions[some] = {key: whole[key] for key in whole if key not in ("required", "oneOf", "anyOf")}
    return {"description": definitions[called].get("description", ""), "$ref": f"#/$defs/{some}"}


def _channel(kinds: Sequence[str], definitions: Schema) -> Schema:
    """What a rule may say under a channel's name: nothing, some settings, or what stands for them."""
    choices = []
    for name in kinds:
        choices.append(_some_settings(name, definitions))
        if "$ref" in choices[-1] and actions.kind(name).shorthand:
            choices.append(_short(actions.kind(name)))
    about = f"A channel of `_defaults.yaml` ({', '.join(kinds)})"
    return {"description": about, "anyOf": [*choices, {"type": "null"}]}
