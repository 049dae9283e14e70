"""Which commands make collections keep the images that rules need."""

from typing import Any

import pytest

from mtrigger.actions.base import ActionConfig
from mtrigger.conditions import parse
from mtrigger.deployment.images import preparations
from mtrigger.deployment.preflight import Survey, findings
from mtrigger.rules import Collections, Operation, Rule, RuleAction
from mtrigger.templates import SCOPE_NAMES


def rule(name: str, when: str, *patterns: str, **given: Any) -> Rule:
    """A rule without actions."""
    return Rule(name, Collections(patterns or ("shop.orders",)), (), condition=parse(when), **given)


BEFORE = "before.a == 1"


@pytest.mark.parametrize(
    ("rules", "images", "expected"),
    [
        ([rule("r", BEFORE)], {"shop.orders": False}, [("shop.orders", "collMod", ("r",))]),
        ([rule("r", BEFORE)], {"shop.orders": True}, []),
        ([rule("r", BEFORE)], {}, [("shop.orders", "create", ("r",))]),
        ([rule("r", "a == 1")], {"shop.orders": False}, []),
        ([rule("r", "a == 1", operations=frozenset({"delete"}))], {}, [("shop.orders", "create", ("r",))]),
        ([rule("r", "_id == 1", operations=frozenset({"delete"}))], {}, []),
        ([rule("r", BEFORE, enabled=False)], {}, []),
        ([rule("r", BEFORE, "shop.*")], {}, []),
        ([rule("r", BEFORE, "shop.*")], {"shop.a": False, "x.a": False}, [("shop.a", "collMod", ("r",))]),
        (
            [rule("r", BEFORE), rule("s", BEFORE, "shop.*")],
            {"shop.orders": False, "shop.a": False},
            [("shop.a", "collMod", ("s",)), ("shop.orders", "collMod", ("r", "s"))],
        ),
    ],
)
def test_each_collection_that_lacks_images_is_prepared_once(
    rules: list[Rule], images: dict[str, bool], expected: list[Any]
) -> None:
    """collMod for what is there, create for what a rule names in full and is not, nothing for the rest."""
    found = preparations(rules, images)
    assert [(item.namespace, item.command, item.rules) for item in found] == expected


DELETES: frozenset[Operation] = frozenset({"delete"})
INSERTS: frozenset[Operation] = frozenset({"insert"})
UPDATES: frozenset[Operation] = frozenset({"insert", "update", "replace"})


@pytest.mark.parametrize(
    ("operations", "when", "reads", "is_needed"),
    [
        (DELETES, "", {"document"}, True),  # else a mail can only tell of the key
        (DELETES, "", {"event"}, False),
        (DELETES, "", SCOPE_NAMES, False),  # a standard message tells what there is
        (DELETES, "", None, False),
        (UPDATES, "a == 1", {"document", "before"}, True),
        (UPDATES, "a == 1", SCOPE_NAMES, False),
        (UPDATES, "a == 1", {"document", "changed"}, False),
        (INSERTS, "a == 1", {"before"}, False),  # there is none before an insert
        (INSERTS, "became(a == 1)", {"document"}, False),
    ],
)
def test_what_actions_tell_of_by_its_name_is_needed(
    operations: frozenset[Operation], when: str, reads: frozenset[str] | None, is_needed: bool
) -> None:
    """As what a condition is judged by."""
    action = RuleAction("log", "log", ActionConfig(), reads=frozenset(reads) if reads is not None else None)
    condition = parse(when) if when else None
    one = Rule("r", Collections(("shop.orders",)), (action,), operations=operations, condition=condition)
    assert [item.rules for item in preparations([one], {"shop.orders": False})] == [("r",)] * is_needed
    found = findings([one], Survey({"shop.orders": False}), object())
    assert ["keeps no pre-images" in str(finding) for finding in found] == [True] * is_needed


def test_a_preparation_is_the_command_of_the_manual() -> None:
    """The collection's name may hold dots."""
    (found,) = preparations([rule("r", BEFORE, "shop.orders.eu")], {"shop.orders.eu": False})
    assert found.database == "shop"
    assert found.document == {"collMod": "orders.eu", "changeStreamPreAndPostImages": {"enabled": True}}
