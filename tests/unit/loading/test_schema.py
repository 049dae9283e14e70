"""The JSON Schema for editors knows what the loader knows."""

import json
from typing import Any

from mtrigger import actions
from mtrigger.loading.models import RuleFile
from mtrigger.loading.schema import rule_file_schema
from mtrigger.loading.validation import keys_of


def test_the_schema_knows_every_key_and_every_action() -> None:
    """And nothing else: unknown keys are marked while one types."""
    schema = rule_file_schema()
    assert set(schema["properties"]) == set(keys_of(RuleFile))
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["on", "do"]
    kinds = schema["properties"]["do"]["anyOf"][1]["oneOf"]
    assert [next(iter(kind["properties"])) for kind in kinds] == list(actions.KINDS)


def test_every_reference_leads_somewhere() -> None:
    """Definitions of all actions are gathered in one place."""
    schema = rule_file_schema()
    references = set(_references(schema))
    assert references
    assert references <= {f"#/$defs/{name}" for name in schema["$defs"]}


def test_every_mapping_of_settings_is_closed() -> None:
    """As in the loader, an unknown key is a mistake."""
    definitions = rule_file_schema()["$defs"]
    assert [
        name for name, found in definitions.items() if found.get("additionalProperties") is not False
    ] == []


def test_numbers_flags_and_durations_may_come_from_outside() -> None:
    """An editor must not mark `attempts: ${ATTEMPTS}`."""
    schema = rule_file_schema()
    text = json.dumps(schema["$defs"]["Retry"]["properties"])
    assert text.count("\\\\$\\\\{") == 4
    assert "\\\\$\\\\{" in json.dumps(schema["properties"]["enabled"])


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        yield from (found for key, found in value.items() if key == "$ref")
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
