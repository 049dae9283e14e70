"""`${…}` fills in values from outside, changes no structure, and shows no secret."""

import pytest

from mtrigger.actions.webhook import WebhookConfig
from support.rules_folder import SMALLEST, RulesFolder
from support.samples import NOW

SECRET = "hunter2-of-mine"


def log_line(folder: RulesFolder, text: str, environ: dict[str, str]) -> str:
    rule = folder.rule(f"on: {{collection: a.b}}\ndo:\n  - log: {text}\n", environ)
    return str(rule.actions[0].config.model_dump()["message"])


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("${NAME}", "value"),
        ("a ${NAME} b ${NAME}", "a value b value"),
        ("${MISSING:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${MISSING:-}x", "x"),
        ("x${EMPTY}", "x"),
        ("$${NAME}", "${NAME}"),
        ("$NAME", "$NAME"),
        ("${YAML}", "]: {a: b}\n- c # d"),
    ],
)
def test_placeholders_are_filled_in(folder: RulesFolder, written: str, filled: str) -> None:
    """What is filled in is text within its value, whatever it looks like."""
    environ = {"NAME": "value", "EMPTY": "", "YAML": "]: {a: b}\n- c # d"}
    assert log_line(folder, f"'{written}'", environ) == filled


def test_a_file_fills_in_its_text_without_the_last_newline(folder: RulesFolder) -> None:
    """A mounted secret ends in a newline that is not part of it. A relative path starts at the rule."""
    folder.write("token", "one\ntwo\n")
    assert log_line(folder, "${file:token}", {}) == "one\ntwo"
    assert log_line(folder, f"${{file:{folder.path}/token}}", {}) == "one\ntwo"


def test_keys_are_not_filled_in(folder: RulesFolder) -> None:
    """Only values are."""
    assert folder.mistakes_in("on: {collection: a.b}\ndo: [{log: x}]\n${NAME}: 1\n", {"NAME": "enabled"})[
        0
    ].startswith("3:1: unknown key `${NAME}`")


def test_a_placeholder_alone_becomes_the_number_or_flag_that_is_needed(folder: RulesFolder) -> None:
    """The environment has no other types than text."""
    text = SMALLEST + "enabled: ${ON}\nretry: {attempts: '${N}', max_age: '${AGE}'}\n"
    rule = folder.rule(text, {"ON": "false", "N": "3", "AGE": "2h"})
    assert (rule.enabled, rule.retry.attempts, rule.retry.max_age) == (False, 3, 7200)


def test_text_in_quotes_does_not_become_a_number(folder: RulesFolder) -> None:
    """Only a placeholder has no type of its own."""
    assert folder.mistakes_in(
        "on: {collection: a.b}\ndo: [{log: x}]\nenabled: 'false'\nretry: {attempts: '3'}\n"
    ) == [
        "3:10: `enabled` must be true or false, without quotes (it is `false`)",
        "4:19: `retry.attempts` must be a whole number, without quotes (it is `3`)",
    ]


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("a ${MISSNG} b", "the environment variable `MISSNG` is not set; did you mean `MISSING`?"),
        ("a ${QQQ}", "the environment variable `QQQ` is not set; set it, or give a default: ${QQQ:-…}"),
        ("a ${file:/no/such}", "the file `/no/such` cannot be read: No such file or directory"),
        (
            "a ${1}",
            "`${1}` is neither ${NAME}, ${NAME:-default} nor ${file:/path}; write `$${` for a literal `${`",
        ),
        ("a ${NAME", "`${` without its `}`; write `$${` for a literal `${`"),
    ],
)
def test_what_cannot_be_filled_in_is_a_mistake_at_its_place(
    folder: RulesFolder, written: str, mistake: str
) -> None:
    """With the way out."""
    text = f"on: {{collection: a.b}}\ndo:\n  - log: {written}\n"
    assert folder.mistakes_in(text, {"MISSING": "x"}) == [f"3:12: {mistake}"]


@pytest.mark.parametrize(
    "action",
    [
        "webhook: {url: '${MISSNG}'}",
        "webhook: {url: 'http://a', timeout: '${MISSNG}'}",
        "email: {to: '${MISSNG}', subject: a, text: b}",
        "email:\n      to: ${MISSNG}\n      subject: a\n      text: b",
    ],
)
def test_what_follows_from_an_unset_variable_is_not_told_beside_it(folder: RulesFolder, action: str) -> None:
    """Setting the variable is the one thing to do."""
    (told,) = folder.mistakes_in(f"on: {{collection: a.b}}\ndo:\n  - {action}\n", {"MISSING": "x"})
    assert told.endswith("`MISSNG` is not set; did you mean `MISSING`?")


@pytest.mark.parametrize(
    "rule",
    [
        "name: '${S}!'\non: {collection: a.b}\ndo: [{log: x}]",
        "on: {collection: '${S}'}\ndo: [{log: x}]",
        "on: {collection: a.b, operations: ['${S}']}\ndo: [{log: x}]",
        "on: {collection: a.b}\ndo: [{log: x}]\nretry: {attempts: '${S}', max_age: '${S}'}",
        "on: {collection: a.b}\ndo: [{log: '{{ ${S} }}'}]",
        "on: {collection: a.b}\ndo: [{webhook: {url: 'ftp://${S}'}}]",
        "on: {collection: a.b}\ndo: [{webhook: {url: 'http://a', secret: 'whsec_!${S}'}}]",
        "on: {collection: a.b}\ndo: [{function: '${S}'}]",
        "on: {collection: a.b}\ndo: [{function: 'a${S}:b'}]",
        "on: {collection: a.b}\ndo: '${S}'",
        "on: {collection: a.b}\nwhen: a == '${S}' ==\ndo: [{log: x}]",
    ],
)
def test_what_was_filled_in_is_never_part_of_a_mistake(folder: RulesFolder, rule: str) -> None:
    """A message shows the placeholder instead, wherever the value went wrong."""
    mistakes = folder.mistakes_in(rule, {"S": SECRET})
    assert mistakes
    assert not [mistake for mistake in mistakes if SECRET in mistake or "hunter2" in mistake]


def test_a_secret_does_not_show_in_the_repr_of_a_rule(folder: RulesFolder) -> None:
    """A rule may be logged."""
    folder.write(
        "rule.yaml",
        "on: {collection: a.b}\ndo:\n"
        "  - webhook: {url: 'http://u:${S}@a', headers: {x: '${S}'}, secret: '${S}'}\n",
    )
    (rule,) = folder.load({"S": SECRET}).rules
    assert isinstance(rule.actions[0].config, WebhookConfig)
    assert SECRET not in repr(rule)


@pytest.mark.parametrize(
    "when", ["key == '${S}' and n > ${N}", "{key: '${S}', n: {$gt: '${N}'}, in: [{a: '${S}'}]}"]
)
def test_a_condition_is_shown_as_it_was_written(folder: RulesFolder, when: str) -> None:
    """`mtrigger check --json` prints it; what holds is what was filled in."""
    folder.write("rule.yaml", f"on: {{collection: a.b}}\nwhen: {when}\ndo: [{{log: x}}]\n")

    (rule,), (other,) = (folder.load({"S": secret, "N": "1"}).rules for secret in (SECRET, "another"))

    assert rule.condition is not None
    assert other.condition is not None
    assert SECRET not in rule.condition.text
    assert rule.condition.text.count("${") == when.count("${")
    assert SECRET in str(rule.condition.filter(NOW))
    assert rule.condition != other.condition
