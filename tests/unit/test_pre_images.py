"""The stream brings the document before a change when a rule can need it, and only then."""

from typing import Any

import pytest

from mtrigger.actions.base import ActionConfig
from mtrigger.conditions import parse
from mtrigger.events import DEAD_LETTER
from mtrigger.pushdown import explain, pipeline, plan
from mtrigger.rules import Collections, Rule, RuleAction

LITTLE: frozenset[str] = frozenset({"document", "event"})


def rule(
    name: str = "r", *operations: str, when: str = "", reads: frozenset[str] | None = LITTLE, **given: Any
) -> Rule:
    """A rule with one action, which reads the names `reads`."""
    return Rule(
        name,
        Collections(("shop.orders",)),
        (RuleAction("log", "log", ActionConfig(), reads=reads),),
        operations=frozenset(operations or {"insert", "update", "replace"}),
        condition=parse(when) if when else None,
        **given,
    )


def option(*rules: Rule) -> Any:
    """What the server is asked for."""
    return pipeline(plan(rules, "mtrigger"), {})[0]["$changeStream"].get("fullDocumentBeforeChange")


@pytest.mark.parametrize(
    "needing",
    [
        rule("r", "delete"),
        rule(when="before.amount > 5"),
        rule(when="exists(before)"),
        rule(when="amount > before.amount"),
        rule("r", "update", when="became(amount > 5)"),
        rule(when="changed(amount)"),
        rule(fields=("amount",)),
        rule(reads=LITTLE | {"before"}),
        rule("r", "update", reads=frozenset({"before"})),
        rule("r", "replace", reads=frozenset({"changed"})),
        rule(reads=None),
    ],
)
def test_it_is_asked_for_when_one_rule_needs_it(needing: Rule) -> None:
    """Alone and beside others, and the rule is told why."""
    assert option(needing) == option(rule("other"), needing) == "whenAvailable"
    (found,) = explain([needing])
    assert found.pre_images


@pytest.mark.parametrize(
    "other",
    [
        rule(),
        rule(when="amount > 5 and event.operation == 'update' and len(text) > 3"),
        rule("r", "insert", when="became(amount > 5) and changed(amount)", reads=None),
        rule("r", "insert", fields=("amount",), reads=frozenset({"before", "changed"})),
        rule("r", "insert", "update", when="changed(amount)", fields=("amount",)),
        rule("r", "insert", "update", reads=LITTLE | {"changed"}),
        rule(reads=None, enabled=False),
        rule("r", DEAD_LETTER, when="before.amount > 5", reads=None, dead_letters_of=()),
    ],
)
def test_it_is_not_asked_for_when_no_rule_needs_it(other: Rule) -> None:
    """An insert has none; an update says itself what it changed; dead letters come from the outbox."""
    assert option(other) is option(other, rule("plain")) is option() is None
    assert not any(found.pre_images for found in explain([other]))


def test_a_stream_without_them_is_another_stream() -> None:
    """So that a reload opens it again, and no token inside an event in fragments is used with the other."""
    without, with_ = plan([rule()], "mtrigger", "split"), plan([rule(reads=None)], "mtrigger", "split")
    assert without.match == with_.match
    assert without.hash != with_.hash
