"""Which commands make collections keep the images that rules need."""

from typing import Any

import pytest

from mtrigger.conditions import parse
from mtrigger.deployment.images import preparations
from mtrigger.rules import Collections, Rule


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


def test_a_preparation_is_the_command_of_the_manual() -> None:
    """The collection's name may hold dots."""
    (found,) = preparations([rule("r", BEFORE, "shop.orders.eu")], {"shop.orders.eu": False})
    assert found.database == "shop"
    assert found.document == {"collMod": "orders.eu", "changeStreamPreAndPostImages": {"enabled": True}}
