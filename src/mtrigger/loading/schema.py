"""The JSON Schema of a rule file, put together from the models that rule files are checked with."""

from typing import Any

from mtrigger import actions
from mtrigger.actions.base import ActionKind
from mtrigger.loading.models import RuleFile

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def rule_file_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of one rule with the settings of every kind of action."""
    schema = RuleFile.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    kinds = [_kind_schema(name, definitions) for name in actions.KINDS]
    properties = schema["properties"]
    action = {"oneOf": kinds}
    properties["do"] = {
        "description": properties["do"]["description"],
        "anyOf": [{"type": "array", "items": action, "minItems": 1}, action],
    }
    properties["when"] = {"description": properties["when"]["description"], "type": ["string", "object"]}
    return {"$schema": _DRAFT, "$id": "mtrigger-rule", **schema, "title": "A rule of mtrigger"}


def _kind_schema(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    kind = actions.kind(name)
    prefix = "" if name in actions.BUILT_IN else f"{name}."  # other packages may call their models alike
    settings = kind.config.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    inner = settings.pop("$defs", {})
    definitions.update({f"{prefix}{model}": found for model, found in inner.items()})
    model = f"{prefix}{kind.config.__name__}"
    definitions[model] = settings
    value: dict[str, Any] = {"$ref": f"#/$defs/{model}"}
    if kind.shorthand:
        value = {"anyOf": [value, _short(kind)]}
    return {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}


def _short(kind: ActionKind[Any]) -> dict[str, Any]:
    if kind.shorthand_takes == "text":
        return {"type": "string"}
    return {"type": "array", "items": {"type": "string"}, "minItems": 1}
