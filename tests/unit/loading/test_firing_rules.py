"""`fire`, `resolved` and `absent` in rule files: what they make of a rule, and what they ask of the rest."""

from dataclasses import replace

import pytest

from mtrigger.conditions import parse
from mtrigger.quiet import Absent
from mtrigger.trying.rule_tests import check_examples
from support.rules_folder import RulesFolder

ON = "on: {collection: shop.tanks}\n"
DO = "do: [{log: x}]\n"


def test_the_actions_of_the_end_have_names_of_their_own(folder: RulesFolder) -> None:
    """Numbered by themselves, and checked like any others."""
    rule = folder.rule(ON + "when: a > 1\n" + DO + "resolved: [{log: y}, {log: z}]\n")
    assert [action.name for action in rule.actions] == ["log"]
    assert [action.name for action in rule.resolved] == ["resolved-log", "resolved-log-2"]
    ending = rule.ending
    assert ending is not None
    assert (ending.name, ending.actions, ending.condition) == (rule.name, rule.resolved, None)


def test_entering_is_became_over_the_whole_condition(folder: RulesFolder) -> None:
    """Written as it was; a filter as well as an expression."""
    rule = folder.rule(ON + "when: a > 1 or b == 2\nfire: entering\n" + DO)
    assert rule.condition is not None
    assert rule.condition.text == "a > 1 or b == 2"
    assert rule.condition.tree == parse("became(a > 1 or b == 2)").tree
    assert rule.condition.lasting.tree == parse("a > 1 or b == 2").tree
    filtered = folder.rule(ON + "when: {l: {$elemMatch: {p: {$gt: 1}}}}\nfire: entering\n" + DO)
    assert filtered.condition is not None
    assert {reading.root for reading in filtered.condition.reads} == {"document", "before"}


@pytest.mark.parametrize("otherwise", ["hold", "skip"])
def test_of_the_gates_the_end_has_the_hours_alone(folder: RulesFolder, otherwise: str) -> None:
    """It waits for them also where the rule's own messages are left out."""
    hours = f"active: {{hours: 09:00-10:00, otherwise: {otherwise}}}\n"
    quiet = f"throttle: {{every: 1h, per: a}}\nmax_age: 1h\n{hours}"
    rule = folder.rule(ON + "when: a > 1\n" + quiet + DO + "resolved: [{log: y}]\n")
    assert rule.is_gated
    assert rule.ending is not None
    assert rule.active is not None
    assert rule.ending.active == replace(rule.active, otherwise="hold")
    assert (rule.ending.throttle, rule.ending.max_age, rule.ending.grouped_by) == (None, None, None)


def test_silence_has_no_events_of_its_own(folder: RulesFolder) -> None:
    """What comes is the rule's own, so its end asks for nothing more."""
    rule = folder.rule(ON + "absent: {for: 1h, per: device.id}\n" + DO + "resolved: [{log: y}]\n")
    assert rule.absent == Absent(3_600.0, ("device.id",))
    assert rule.ending is not None
    assert rule.ending.collections.patterns == ()


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (ON + "fire: entering\n" + DO, "2:1: `fire: entering` needs a `when`"),
        (ON + "when: changed(a)\nfire: entering\n" + DO, "2:1: `fire: entering` needs another `when`"),
        (
            ON + 'when: event.operation == "x"\nfire: entering\n' + DO,
            "2:1: `fire: entering` needs another `when`",
        ),
        (
            "on: {collection: shop.tanks, operations: delete}\nwhen: a > 1\nfire: entering\n" + DO,
            "3:1: no condition begins to hold when a document is deleted",
        ),
        (ON + DO + "resolved: [{log: y}]\n", "3:1: `resolved` needs a `when`"),
        (ON + "when: before.a > 1\n" + DO + "resolved: [{log: y}]\n", "2:1: `resolved` needs another `when`"),
        (
            ON + "when: a > 1\nfire: once\n" + DO + "resolved: [{log: y}]\n",
            "3:1: `fire: once` and `resolved` cannot be combined: use `fire: entering`",
        ),
        (
            ON + "when: a > 1\ncount: {at_least: 2, within: 1h}\n" + DO + "resolved: [{log: y}]\n",
            "5:1: `resolved` and `count` cannot be combined",
        ),
        (
            "on: {collection: shop.tanks, operations: [update, delete]}\nwhen: a > 1\n"
            + DO
            + "resolved: [{log: y}]\n",
            "a rule with `resolved` is told of deletes anyway: leave `delete` out",
        ),
        (ON + "absent: {for: 1h}\nfire: once\n" + DO, "3:1: `absent` fires for silence, not for documents"),
        (ON + "absent: {per: a}\n" + DO, "`absent.for` is missing"),
        (ON + "when: a > 1\n" + DO + "resolved: {lgo: y}\n", "there is no action `lgo`; did you mean `log`?"),
        (ON + "when: a > 1\n" + DO + "resolved: x\n", "4:11: `resolved` is a list of actions"),
        (ON + "when: a > 1\n" + DO + "resolved: []\n", "`resolved` is empty: a rule needs an action"),
        ("on: {dead_letters: true}\nfire: once\n" + DO, "2:1: `fire` is about changes of documents"),
        ("on: {dead_letters: true}\nabsent: {for: 1h}\n" + DO, "2:1: `absent` is about changes of documents"),
    ],
)
def test_mistakes(folder: RulesFolder, text: str, mistake: str) -> None:
    """One for each, at its place."""
    (found,) = folder.mistakes_in(text)
    assert mistake in found


@pytest.mark.parametrize(
    "test",
    [
        "{given: {level: 5}, expect: fires}",
        "{given: [{level: 5}, {level: 20}], expect: resolves, renders: 'over at 20'}",
        "{given: [{level: 5}, {_id: other, level: 20}], expect: ignored}",
        "{given: [{level: 5}, {level: 20}, {level: 30}], expect: ignored}",
        "{given: {level: 20}, expect: ignored}",
        "{given: {level: 5}, before: {level: 7}, operation: update, expect: ignored}",
        "{given: {level: 5}, before: {level: 70}, operation: update, expect: fires, renders: 'low at 5'}",
    ],
)
def test_examples_tell_what_is_over(folder: RulesFolder, test: str) -> None:
    """Several documents are changes of one, unless they say otherwise."""
    do = "do: [{log: 'low at {{ document.level }}'}]\nresolved: [{log: 'over at {{ document.level }}'}]\n"
    rule = folder.rule(ON + "when: level < 10\nfire: entering\n" + do + f"tests: [{test}]\n")
    (result,) = check_examples(rule)
    assert result.passed, str(result)


@pytest.mark.parametrize(
    "test",
    [
        "{given: {device: 7}, after: 1h, expect: fires, renders: 'nothing of 7'}",
        "{given: {device: 7}, after: 59m, expect: ignored}",
        "{given: [{device: 7}, {device: 7}], apart: 59m, after: 59m, expect: ignored}",
        "{given: [{device: 7}, {device: 7}], apart: 61m, expect: resolves, renders: '7 is back'}",
        "{given: [{device: 7}, {device: 8}], apart: 61m, expect: fires, renders: 'nothing of 7'}",
        "{given: {kind: noise}, after: 2h, expect: ignored}",
    ],
)
def test_examples_tell_what_does_not_come(folder: RulesFolder, test: str) -> None:
    """`after` is how long nothing comes."""
    absent = "when: device > 0\nabsent: {for: 1h, per: device}\n"
    do = "do: [{log: 'nothing of {{ group.device }}'}]\nresolved: [{log: '{{ document.device }} is back'}]\n"
    rule = folder.rule(ON + absent + do + f"tests: [{test}]\n")
    (result,) = check_examples(rule)
    assert result.passed, str(result)
