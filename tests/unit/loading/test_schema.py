"""The JSON Schemas for editors know what the loader knows."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mtrigger import actions
from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading.folder_defaults import FolderDefaults, defaults_of
from mtrigger.loading.models import Defaults, RuleFile
from mtrigger.loading.schema import defaults_schema, rule_file_schema, source_file_schema
from mtrigger.loading.validation import keys_of
from support.rules_folder import RulesFolder


@pytest.fixture(
    params=[rule_file_schema, defaults_schema, source_file_schema], ids=["rule", "defaults", "source"]
)
def schema(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each of the two, one after the other."""
    found: dict[str, Any] = request.param()
    return found


def test_the_schema_knows_every_key_and_every_action() -> None:
    """And nothing else: unknown keys are marked while one types."""
    schema = rule_file_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == set(keys_of(RuleFile))
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["on", "do"]
    action = schema["$defs"]["Action"]
    assert list(action["properties"]) == list(actions.KINDS)
    assert action["additionalProperties"] is False
    assert schema["properties"]["resolved"]["anyOf"] == schema["properties"]["do"]["anyOf"]


def test_what_is_special_comes_first() -> None:
    """The keys of a rule before those that it shares, a kind's own settings before those of every kind."""
    schema = rule_file_schema()
    assert list(schema["properties"])[:4] == ["name", "description", "on", "when"]
    assert list(defaults_schema()["properties"])[:3] == ["on", "actions", "channels"]
    for kind in actions.BUILT_IN:
        assert list(schema["$defs"][kind]["properties"])[-1] == "concurrency"


def test_the_schema_of_defaults_knows_every_key() -> None:
    """Settings of all kinds, none of them required, by kind and by channel."""
    schema = defaults_schema()
    assert set(schema["properties"]) == set(keys_of(Defaults))
    kinds = schema["properties"]["actions"]["properties"]
    assert list(kinds) == list(actions.KINDS)
    assert schema["properties"]["channels"]["additionalProperties"]["properties"] == kinds
    some = schema["$defs"]["email.some"]
    assert some["properties"] == schema["$defs"]["email"]["properties"]
    assert "required" not in some


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    """Definitions of all actions are gathered in one place."""
    references = set(_references(schema))
    assert references
    assert references <= {f"#/$defs/{name}" for name in schema["$defs"]}


def test_every_mapping_of_settings_is_closed(schema: dict[str, Any]) -> None:
    """As in the loader, an unknown key is a mistake."""
    assert [
        name for name, found in schema["$defs"].items() if found.get("additionalProperties") is not False
    ] == []


def test_every_key_says_what_it_is_for(schema: dict[str, Any]) -> None:
    """An editor shows it beside the key."""
    mappings = {"": schema, **schema["$defs"]}
    assert [
        f"{name}.{key}"
        for name, found in mappings.items()
        for key, value in found["properties"].items()
        if not value.get("description")
    ] == []


@pytest.mark.parametrize("of", [rule_file_schema, defaults_schema], ids=["rule", "defaults"])
def test_a_default_is_shown_as_it_is_written(of: Callable[[], dict[str, Any]]) -> None:
    """`1h`, not 3600; and what means nothing is not shown."""
    schema = of()
    retry = schema["$defs"]["Retry"]["properties"]
    assert {key: value["default"] for key, value in retry.items()} == {
        "attempts": 12,
        "first_delay": "1s",
        "max_delay": "1h",
        "max_age": "1d",
    }
    assert "default" not in schema["properties"]["throttle"]


def test_numbers_flags_durations_and_words_may_come_from_outside() -> None:
    """An editor must not mark `attempts: ${ATTEMPTS}`, nor `fire: ${FIRE}`."""
    schema = rule_file_schema()
    text = json.dumps(schema["$defs"]["Retry"]["properties"])
    assert text.count("\\\\$\\\\{") == 4
    for key in ("enabled", "fire", "ordering"):
        assert "\\\\$\\\\{" in json.dumps(schema["properties"][key])


def test_a_folder_adds_its_channels(folder: RulesFolder) -> None:
    """Those of sub-folders, too, and not those of hidden ones. A rule may use one without any settings."""
    folder.write("_defaults.yaml", "channels: {sales: {email: {to: a@example.com}}, x: {nothing: {}}}\n")
    folder.write("north/_defaults.yml", "channels: {sales: {log: {}}, room: {slack: {url: '${URL}'}}}\n")
    folder.write(".old/_defaults.yaml", "channels: {gone: {log: {}}}\n")
    folder.write("rule.yaml", "this: is no rule\n")
    given = defaults_of(folder.path)
    assert given.channels == {"sales": ("email", "log"), "room": ("slack",)}
    schema = rule_file_schema(given)
    entry, alone = schema["$defs"]["Action"]["anyOf"]
    assert list(entry["properties"]) == [*actions.KINDS, "sales", "room"]
    assert alone == {"enum": ["sales", "room"]}
    choices = entry["properties"]["sales"]["anyOf"]
    assert [choice.get("$ref", choice.get("type")) for choice in choices] == [
        *("#/$defs/email.some", "#/$defs/log.some", "string", "null"),
    ]


def test_what_a_folder_gives_is_not_required(folder: RulesFolder) -> None:
    """At any depth: a rule says the rest."""
    folder.write(
        "_defaults.yaml",
        "on: {collection: shop.orders}\nthrottle: {every: 1h}\nactions: {email: {subject: Order}}\n",
    )
    schema = rule_file_schema(defaults_of(folder.path))
    assert schema["required"] == ["do"]
    assert not schema["$defs"]["Throttle"]["required"]
    assert not schema["$defs"]["email"]["required"]
    assert schema["$defs"]["webhook"]["required"] == ["url"]
    assert schema["$defs"]["log"]["required"] == ["message"]
    assert "oneOf" not in schema["$defs"]["On"]


def test_a_folder_that_gives_only_some_of_it_leaves_the_rest_required(folder: RulesFolder) -> None:
    """`operations` alone are not which events a rule wants."""
    folder.write("_defaults.yaml", "on: {operations: insert}\n")
    schema = rule_file_schema(defaults_of(folder.path))
    assert schema["required"] == ["on", "do"]
    assert len(schema["$defs"]["On"]["oneOf"]) == 4


def test_the_defaults_of_one_file_are_those_beside_it(folder: RulesFolder) -> None:
    """As when it is loaded."""
    folder.write("_defaults.yaml", "channels: {sales: {log: {}}}\n")
    rule = folder.write("rule.yaml", "")
    assert defaults_of(rule).channels == {"sales": ("log",)}
    assert defaults_of(folder.write("north/rule.yaml", "")) == FolderDefaults()


def test_what_cannot_be_read_is_said(folder: RulesFolder) -> None:
    """Where and why."""
    with pytest.raises(SettingsError, match="there are no rules at"):
        defaults_of(folder.path / "nowhere")
    folder.write("_defaults.yaml", "channels: {sales\n")
    with pytest.raises(RulesError, match=r"_defaults\.yaml:"):
        defaults_of(folder.path)


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        yield from (found for key, found in value.items() if key == "$ref")
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
