"""The JSON Schema of one model, as an editor and the reference show it.

pydantic describes what a model takes; this leaves out what only the program needs to know (names of classes,
defaults that mean "nothing") and writes durations as people do.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from mtrigger.config_types import DURATION_PATTERN, FILLED_PATTERN, format_duration

Schema = dict[str, Any]

FILLED: Schema = {"type": "string", "pattern": FILLED_PATTERN}
"""A value that `${…}` fills in whole."""


class _WithoutNames(GenerateJsonSchema):
    """Titles are types in words (`duration`), not the keys once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        found: Schema = super().model_schema(schema)
        found.pop("title", None)
        return found


def model_schema(model: type[BaseModel], definitions: Schema, prefix: str = "") -> Schema:
    """The schema of `model`. Those of the models within it go to `definitions`, with `prefix` before their
    names."""
    schema = model.model_json_schema(
        ref_template=f"#/$defs/{prefix}{{model}}", schema_generator=_WithoutNames
    )
    inner = schema.pop("$defs", {})
    definitions.update({f"{prefix}{name}": _shown(found) for name, found in inner.items()})
    return _shown(schema)


def own_keys_first(schema: Schema, base: type[BaseModel]) -> None:
    """Put the keys of `base` behind those that the model adds itself."""
    properties = schema["properties"]
    for key in [key for key in base.model_fields if key in properties]:
        properties[key] = properties.pop(key)


def _shown(schema: Schema) -> Schema:
    """`schema` with its properties as they are written in a file: defaults as a person gives them, and words
    to choose from that may come from the environment."""
    for key, value in schema.get("properties", {}).items():
        default = value.get("default")
        if default in (None, "", [], {}):
            value.pop("default", None)
        elif is_duration(value) and isinstance(default, int | float):
            value["default"] = format_duration(default)
        schema["properties"][key] = _or_filled(value)
    return schema


def _or_filled(value: Schema) -> Schema:
    if "enum" in value:
        words = {"type": value["type"], "enum": value["enum"]}
        about = {key: value[key] for key in value if key not in ("enum", "type")}
        return {**about, "anyOf": [words, FILLED]}
    if "anyOf" in value:
        return {**value, "anyOf": [_or_filled(choice) for choice in value["anyOf"]]}
    return {**value, "items": _or_filled(value["items"])} if "items" in value else value


def is_duration(schema: Schema) -> bool:
    """Whether a value may be a duration."""
    choices = (schema, *schema.get("anyOf", ()))
    return any(choice.get("pattern") == DURATION_PATTERN for choice in choices)


def referred(schema: Schema) -> str:
    """The name of the definition that a value's schema refers to, also where it may be left empty; an empty
    text if there is none."""
    for choice in (schema, *schema.get("anyOf", ())):
        if "$ref" in choice:
            return str(choice["$ref"]).removeprefix("#/$defs/")
    return ""
