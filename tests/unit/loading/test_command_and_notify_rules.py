"""How the actions `command` and `notify` stand in a rule file, and what is said when they are wrong."""

from collections.abc import Iterator
from typing import Any

import pytest

from mtrigger.actions.notify import NotifyConfig
from mtrigger.loading.schema import rule_file_schema
from support.rules_folder import RulesFolder

ON = "on: {collection: a.b}\n"


def test_a_list_alone_is_the_command(folder: RulesFolder) -> None:
    """And the same with settings."""
    short, long = folder.rule(
        ON + "do:\n  - command: [sh, '{{ document._id }}']\n  - command: {run: [sh, '{{ document._id }}']}\n"
    ).actions
    assert short.config == long.config
    assert (short.name, long.name) == ("command", "command-2")


@pytest.mark.parametrize(
    ("command", "mistake"),
    [
        (
            "./notify.sh --now",
            (
                "2:15: `./notify.sh --now`: write it as a list: no shell is involved "
                '([./notify.sh, "{{ document._id }}"])'
            ),
        ),
        (
            "{run: ./notify.sh}",
            (
                "2:21: `./notify.sh`: write it as a list: no shell is involved "
                '([./notify.sh, "{{ document._id }}"])'
            ),
        ),
        ("[]", "2:15: `do[0].command.run` must not be empty (it is a list)"),
        ("[sh, 5]", "2:20: `do[0].command.run[1]` must be text; put it in quotes (it is `5`)"),
        (
            "5",
            "2:15: `command` takes settings (`key: value` lines) or a list (its `run`), not `5`",
        ),
        ("['{{ document.x }}']", "2:16: the program is fixed: only its arguments can be templates"),
        ("[no-such-program-here]", "2:16: there is no program `no-such-program-here` on the PATH"),
        (
            "[bin/none]",
            "2:16: there is no program `bin/none`, looked for in the directory that mtrigger runs in",
        ),
        ("[/nowhere/x]", "2:16: there is no program `/nowhere/x`"),
        ("{run: [sh], directory: /nowhere}", "2:38: there is no folder `/nowhere`"),
        ("{run: [sh], environment: {A-B: x}}", "2:46: `A-B` cannot be the name of a variable"),
        ("{run: [sh], environment: {MTRIGGER_RULE: x}}", "2:56: `MTRIGGER_RULE` is set by mtrigger itself"),
        (
            "{run: [sh], concurrency: 33}",
            ("2:40: 32 programs run at the same time at most, those of all rules together; write 32 or less"),
        ),
    ],
)
def test_a_mistake_in_a_command(folder: RulesFolder, command: str, mistake: str) -> None:
    """Said where it stands, with what to do."""
    assert folder.mistakes_in(ON + f"do: [command: {command}]\n") == [mistake]


def test_a_template_in_an_argument_is_checked(folder: RulesFolder) -> None:
    """As everywhere."""
    (found,) = folder.mistakes_in(ON + "do: [{command: [sh, '{{ document.x | nosuch }}']}]\n")
    assert "nosuch" in found


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own
def test_every_address_of_a_notification_is_an_action_of_its_own(folder: RulesFolder) -> None:
    """Numbered like any others, so that one failing channel never hides behind another."""
    actions = folder.rule(
        ON
        + "do:\n"
        + "  - notify: {urls: ['json://one.example', '${SECOND}'], body: x}\n"
        + "  - log: x\n"
        + "  - notify: {urls: json://three.example, body: '{{ before.x }}'}\n",
        {"SECOND": "json://two.example"},
    ).actions
    assert [action.name for action in actions] == ["notify", "notify-2", "log", "notify-3"]
    configs = [action.config for action in actions if isinstance(action.config, NotifyConfig)]
    assert [[url.get_secret_value() for url in config.urls] for config in configs] == [
        ["json://one.example"],
        ["json://two.example"],
        ["json://three.example"],
    ]
    assert [action.reads for action in actions if action.kind == "notify"] == [
        frozenset(),
        frozenset(),
        frozenset({"before"}),
    ]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own
def test_an_address_from_outside_is_never_shown(folder: RulesFolder) -> None:
    """Not even when it is wrong."""
    (found,) = folder.mistakes_in(
        ON + "do: [{notify: {urls: ['${HOOK}'], body: x}}]\n", {"HOOK": "slack://tokenA"}
    )
    assert "tokenA" not in found
    assert found.startswith("2:")


def test_the_schema_allows_the_list() -> None:
    """For editors."""
    short = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    assert any(short in found.get("anyOf", ()) for found in _properties_called("command", rule_file_schema()))


def _properties_called(name: str, schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict) and isinstance(properties.get(name), dict):
            yield properties[name]
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _properties_called(name, inner)
