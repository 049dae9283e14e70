"""`on: {dead_letters: true}` in a rule file: what it means, and every way to write it wrong."""

from datetime import UTC, datetime

import pytest

from mtrigger.pushdown import explain, plan
from mtrigger.trying.rule_tests import check_examples
from support.rules_folder import SMALLEST, RulesFolder

DO = "do: [{log: x}]\n"
TELL = "on: {dead_letters: true}\n" + DO


def test_a_rule_of_dead_letters_has_no_collection(folder: RulesFolder) -> None:
    """And nothing of it goes to the server."""
    rule = folder.rule("on: {dead_letters: true}\nwhen: attempts > 3\n" + DO)
    assert rule.dead_letters_of == ()
    assert rule.operations == {"dead_letter"}
    assert rule.collections.patterns == ()
    assert plan([rule], "mtrigger").match == {"operationType": "invalidate"}
    (pushed,) = explain([rule])
    assert (pushed.parts, pushed.kept) == ((), ("attempts > 3",))


def test_it_may_name_the_rules_it_is_told_of(folder: RulesFolder) -> None:
    """One, or a list; whatever the order of the files."""
    folder.write("a.yaml", "on: {dead_letters: true, rules: z}\n" + DO)
    folder.write("b.yaml", "on:\n  dead_letters: true\n  rules: [z, y]\n" + DO)
    folder.write("y.yaml", SMALLEST)
    folder.write("z.yaml", SMALLEST)
    assert [rule.dead_letters_of for rule in folder.load().rules] == [("z",), ("z", "y"), None, None]


def test_defaults_about_changes_do_not_concern_it(folder: RulesFolder) -> None:
    """`on:` in `_defaults.yaml` is about collections; everything else counts."""
    folder.write("_defaults.yaml", "on: {collection: shop.orders, fields: [a]}\nordering: rule\n")
    rule = folder.rule(TELL)
    assert (rule.dead_letters_of, rule.fields, rule.ordering) == ((), (), "rule")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "on: {dead_letters: true, collection: shop.orders}\n" + DO,
            "1:26: `collection` is about changes, and `dead_letters: true` about deaths: keep one of them",
        ),
        (
            "on:\n  operations: [insert]\n  dead_letters: true\n" + DO,
            "2:3: `operations` is about changes, and `dead_letters: true` about deaths: keep one of them",
        ),
        (
            "on: {dead_letters: true, fields: a}\n" + DO,
            "1:26: `fields` is about changes, and `dead_letters: true` about deaths: keep one of them",
        ),
        ("on: {dead_letters: false}\n" + DO, "1:1: `on.collection` is missing"),
        (
            "on: {collection: a.b, rules: [rule]}\n" + DO,
            "1:23: `rules` says whose dead letters count: add `dead_letters: true`",
        ),
        ("on: {dead_leters: true}\n" + DO, "1:6: unknown key `dead_leters`; did you mean `dead_letters`?"),
        (
            "on: {dead_letters: yes}\n" + DO,
            "1:20: `on.dead_letters` must be true or false, without quotes (it is `yes`)",
        ),
        (
            "on: {dead_letters: true, rules: [other, ordr]}\n" + DO + "---\nname: order\n" + SMALLEST,
            "1:41: there is no rule `ordr`; did you mean `order`?",
        ),
        ("on: {dead_letters: true, rules: [nobody]}\n" + DO, "1:34: there is no rule `nobody`; there are: "),
        (
            "on: {dead_letters: true, rules: tell}\n" + DO,
            "1:33: the dead letters of `tell` are told to nobody: it is a rule of dead letters itself",
        ),
        (
            "on: {dead_letters: true}\nwhen: became(attempts > 3)\n" + DO,
            "2:1: a dead letter is no change: `before`, changed() and became() say nothing about it",
        ),
        (
            "on: {dead_letters: true}\n" + DO + "tests:\n  - {given: {}, expect: fires, operation: insert}\n",
            "4:32: a dead letter is no change and has no `operation`; leave it out",
        ),
    ],
)
def test_a_mistake_says_where_what_and_what_to_do(folder: RulesFolder, text: str, mistake: str) -> None:
    """At the key that does not belong."""
    folder.write("other.yaml", SMALLEST)
    folder.write("tell.yaml", text if "---" not in text else "name: tell\n" + text)
    line = mistake if "---" not in text else mistake.replace("1:41", "2:41")
    assert any(found.startswith(f"tell.yaml:{line}") for found in folder.mistakes()), folder.mistakes()


def test_its_examples_are_dead_letters(folder: RulesFolder) -> None:
    """`given` is the dead letter, of which only what the condition reads is needed."""
    folder.write("z.yaml", SMALLEST)
    folder.write(
        "tell.yaml",
        "on: {dead_letters: true, rules: z}\nwhen: attempts > 3\n"
        + DO
        + "tests:\n"
        + "  - {given: {rule: z, attempts: 4}, expect: fires}\n"
        + "  - {given: {rule: z, attempts: 3}, expect: ignored}\n"
        + "  - {given: {rule: other, attempts: 4}, expect: ignored}\n",
    )
    rule = folder.load().rules[0]
    assert [result.passed for result in check_examples(rule)] == [True, True, True]
    assert check_examples(rule)[0].judgement.event.time <= datetime.now(UTC)
