"""The JSON Schemas of a rule file, of `_defaults.yaml` and of a source file, put together from the models
that these files are checked with.

What the loader accepts, they accept; what an editor can see to be wrong, they refuse.
"""

from collections.abc import Mapping
from typing import Any

from mtrigger import actions
from mtrigger.loading.folder_defaults import FolderDefaults
from mtrigger.loading.models import Defaults, RuleFile, Shared
from mtrigger.loading.schema_kinds import any_settings_schema, channels_schema, entry_schema, settings_of
from mtrigger.loading.schema_models import Schema, model_schema, own_keys_first, referred
from mtrigger.loading.source_models import SourceFile

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NOTHING = FolderDefaults()


def rule_file_schema(given: FolderDefaults = _NOTHING) -> Schema:
    """A JSON Schema (draft 2020-12) of one rule with the settings of every kind of action. What the folder's
    `_defaults.yaml` has given already is not required, and its channels are known."""
    definitions: Schema = {}
    schema = model_schema(RuleFile, definitions)
    own_keys_first(schema, Shared)
    definitions["Action"] = entry_schema(given.channels, definitions)
    properties = schema["properties"]
    for key in ("do", "resolved"):
        properties[key] = _actions(properties[key]["description"])
    _take_conditions(properties["when"])
    _take_conditions(definitions["Query"]["properties"]["where"])
    for keys in given.keys:
        _without(schema, {key: keys[key] for key in keys if key != "actions"}, definitions)
        for kind, settings in _settings_in(keys):
            if (known := settings_of(kind, definitions)) is not None:
                _without(known, settings, definitions)
    return _document("A rule of mtrigger", "mtrigger-rule", schema, definitions)


def defaults_schema() -> Schema:
    """A JSON Schema (draft 2020-12) of `_defaults.yaml`."""
    definitions: Schema = {}
    schema = model_schema(Defaults, definitions)
    own_keys_first(schema, Shared)
    properties = schema["properties"]
    properties["actions"].update(any_settings_schema(definitions))
    properties["channels"].update(channels_schema(definitions))
    return _document("The defaults of a folder of mtrigger's rules", "mtrigger-defaults", schema, definitions)


def source_file_schema() -> Schema:
    """A JSON Schema (draft 2020-12) of one source."""
    definitions: Schema = {}
    schema = model_schema(SourceFile, definitions)
    return _document("A source of mtrigger", "mtrigger-source", schema, definitions)


def _document(title: str, name: str, schema: Schema, definitions: Schema) -> Schema:
    return {"$schema": _DRAFT, "$id": name, "title": title, **schema, "$defs": definitions}


def _actions(description: str) -> Schema:
    action = {"$ref": "#/$defs/Action"}
    several = {"type": "array", "items": action, "minItems": 1}
    return {"description": description, "anyOf": [action, several]}


def _take_conditions(schema: Schema) -> None:
    """A text is an expression, a mapping a filter."""
    schema.update(type=["string", "object"], title="expression or filter")


def _settings_in(keys: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The settings that `actions` of a `_defaults.yaml` holds, by kinds."""
    found = keys.get("actions")
    items = found.items() if isinstance(found, dict) else ()
    return [
        (kind, settings) for kind, settings in items if kind in actions.KINDS and isinstance(settings, dict)
    ]


def _without(schema: Schema, given: Mapping[str, Any], definitions: Schema) -> None:
    """Let `schema` no longer require what is `given`: at every depth, for mappings are merged key by key."""
    for key, value in given.items():
        inner = definitions.get(referred(schema.get("properties", {}).get(key, {})))
        if inner is not None and isinstance(value, dict):
            _without(inner, value, definitions)
        if inner is None or not (inner.get("required") or inner.get("oneOf")):
            schema["required"] = [name for name in schema.get("required", ()) if name != key]
    if any(set(choice["required"]) <= set(given) for choice in schema.get("oneOf", ())):
        del schema["oneOf"]
