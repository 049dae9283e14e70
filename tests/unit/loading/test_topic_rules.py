"""`on.topic` in rule files: what it makes of a rule, where its paths lead, and what it asks of the rest."""

import pytest

from mtrigger.quiet import Digest, TopicSource
from mtrigger.trying.rule_tests import check_examples
from support.rules_folder import RulesFolder

ON = "on: {topic: ORDERS}\n"
DO = "do: [{log: x}]\n"


def test_a_rule_that_says_no_more_is_a_group_of_its_own(folder: RulesFolder) -> None:
    """It begins at the beginning, and watches no collection."""
    rule = folder.rule(ON + DO)
    assert rule.topic == TopicSource("ORDERS", "rule", "beginning")
    assert rule.operations == {"message"}
    assert rule.collections.patterns == ()


def test_a_rule_says_its_group_and_where_that_begins(folder: RulesFolder) -> None:
    """Defaults of its folder, which are about changes, are not for it."""
    folder.write("_defaults.yaml", "on: {collection: shop.orders, operations: [insert]}\n")
    rule = folder.rule("on: {topic: ORDERS, group: g, from: 'after:17'}\n" + DO)
    assert rule.topic == TopicSource("ORDERS", "g", "after:17")


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        ("amount > 1", ("body", "amount")),
        ("body.amount > 1", ("body", "amount")),
        ("body == 1", ("body",)),
        ("$.amount > 1", ("body", "amount")),
        ("$.message.key > 1", ("body", "message", "key")),
        ("$[0].amount > 1", ("body", "0", "amount")),
        ("message.body.amount > 1", ("body", "amount")),
        ("message.key == 1", ("key",)),
        ("message.id == 1", ("_id",)),
        ("message.headers.kind == 1", ("headers", "kind")),
        ("message.source.rule == 1", ("source", "rule")),
        ("message.offset > 1", ("offset",)),
        ("{amount: {$gt: 1}}", ("body", "amount")),
        ("{message.time: {$gt: 1}}", ("time",)),
    ],
)
def test_names_are_the_bodys_unless_they_say_message(
    folder: RulesFolder, written: str, steps: tuple[str, ...]
) -> None:
    """The same in an expression, a JSONPath and a filter."""
    condition = folder.rule(
        f"{ON}when: {written!r}\n{DO}" if written[0] != "{" else f"{ON}when: {written}\n{DO}"
    )
    assert condition.condition is not None
    assert {reading.path for reading in condition.condition.reads} == {steps}


def test_paths_of_groups_lead_into_the_message(folder: RulesFolder) -> None:
    """Those of `per`, and the sums of a digest."""
    rule = folder.rule(ON + "digest: {every: 1m, per: [customer.id, message.key], sums: total}\n" + DO)
    assert isinstance(rule.digest, Digest)
    assert rule.digest.per == ("body.customer.id", "key")
    assert rule.digest.sums == ("body.total",)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "on: {topic: ORDERS, collection: a.b}\n",
            "1:21: `collection` is about changes, and `topic` about messages",
        ),
        ("on: {topic: ORDERS, fields: [a]}\n", "1:21: `fields` is about changes"),
        ("on: {topic: ORDERS, dead_letters: true}\n", "1:21: `dead_letters` is about deaths"),
        ('on: {topic: ORDERS, schedule: "0 9 * * *"}\n', "1:21: `schedule` is about times"),
        ("on: {topic: a b}\n", "1:13: `a b` is no name of a topic"),
        ("on: {topic: A, group: a b}\n", "1:23: `a b`: a group's name is 1 to 100 letters"),
        (
            "on: {topic: A, from: begining}\n",
            "1:22: `begining` is no place to begin at; did you mean `beginning`?",
        ),
        ("on: {topic: A, from: 2026-01-31T10:00:00}\n", "1:22: `2026-01-31T10:00:00`: say the zone"),
        ("on: {topic: A, from: 'offset:x'}\n", "1:22: `offset:x`: 'x' is no offset"),
        ("on: {collection: a.b, group: g}\n", "1:23: `group` says more about `topic`, which is not there"),
        ("on: {collection: a.b, from: now}\n", "1:23: `from` says more about `topic`"),
        (ON + "absent: {for: 1h}\n", "2:1: `absent` cannot be combined with `topic`"),
        (ON + "when: a > 1\nresolved: [{log: y}]\n", "3:1: `resolved` cannot be combined with `topic`"),
        (ON + "when: a > 1\nfire: entering\n", "3:1: a message has no state before it"),
        (ON + "when: before.a > 1\n", "2:1: a message is no change"),
        (ON + "when: a > 1 and changed(a)\n", "2:1: a message is no change"),
        (
            ON + "when: a > 1 and message.kee == 2\n",
            "2:17: `when`: a message has no `kee`; did you mean `message.key`?",
        ),
        (ON + "when: message.time.x == 2\n", "2:7: `when`: `message.time` has nothing below it"),
        (ON + "when: message > 2\n", "2:7: `when`: `message` is more than one value"),
        (ON + "when: {message.kee: 2}\n", "2:8: `message.kee`: a message has no `kee`"),
        (ON + "throttle: {every: 1h, per: message.kee}\n", "2:23: a message has no `kee`"),
        (
            ON + "tests: [{given: {}, expect: fires, before: {}}]\n",
            "2:36: a message is no change and has no `before`",
        ),
        (
            "on: {collection: a.b}\ntests: [{given: {}, expect: fires, key: a}]\n",
            "2:36: only messages have `key`",
        ),
    ],
)
def test_what_does_not_go_together_is_said_with_its_place(
    folder: RulesFolder, text: str, mistake: str
) -> None:
    """And what to write instead."""
    assert any(found.startswith(mistake) for found in folder.mistakes_in(text + DO)), folder.mistakes_in(
        text + DO
    )


def test_rules_of_one_group_agree_where_it_begins(folder: RulesFolder) -> None:
    """They share one position. Other groups are no matter."""
    folder.write("a.yaml", "on: {topic: T, group: g, from: now}\n" + DO)
    folder.write("b.yaml", "on: {topic: T, group: g}\n" + DO)
    folder.write("c.yaml", "on: {topic: T, group: h}\n" + DO)
    folder.write("d.yaml", "on: {topic: U, group: g}\n" + DO)
    (mistake,) = folder.mistakes()
    assert mistake.startswith(
        "b.yaml:1:1: the group g has one position, and the rule `a` of it says `from: now`"
    )


def test_an_example_is_a_message(folder: RulesFolder) -> None:
    """With the key and the headers it is given; groups are shown as they were written."""
    rule = folder.rule(
        ON
        + "when: amount > 10 and message.headers.kind == 'web'\n"
        + "count: {at_least: 2, within: 1h, per: customer.id}\n"
        + "do:\n"
        + "  log: \"{{ message.key }} {{ document.amount }} {{ group['customer.id'] }} {{ count }}\"\n"
        + "tests:\n"
        + "  - {given: {amount: 12, customer: {id: 7}}, key: k, headers: {kind: web}, times: 2,"
        + " expect: fires, renders: k 12 7 2}\n"
        + "  - {given: {amount: 12}, expect: ignored}\n"
        + "  - {given: {amount: 12}, headers: {kind: web}, expect: suppressed}\n"
    )
    assert [result.passed for result in check_examples(rule)] == [True, True, True]
