"""Which rules' fields a change touched: many at once give the answer of each alone."""

import random
from itertools import product

from mtrigger.matching.touched_fields import FieldIndex, touches
from support.samples import event_at

PATHS = ("a", "a.b", "a.b.c", "a.0", "a.0.b", "a.3.b", "ab", "b", "b.a", "c.1.2.d", "c.d", "c")


def test_many_rules_at_once_give_the_answer_of_each() -> None:
    """Paths above, below and beside the fields, with and without positions."""
    chance = random.Random(3)
    named = [tuple(chance.sample(PATHS, chance.randrange(3))) for _ in range(40)]
    index = FieldIndex(named)
    for set_one, removed in product(PATHS, PATHS):
        event = event_at(operation="update", updated={set_one: 1}, removed=(removed,))
        found = index.touched_by(event)
        assert found is not None
        alone = {number for number, fields in enumerate(named) if not fields or touches(event, fields)}
        assert set().union(*found) == alone


def test_a_replacement_touches_what_differs() -> None:
    """By the first names, as for one rule."""
    event = event_at(operation="replace", document={"a": 1, "b": {"c": 1}}, before={"a": 1, "b": {"c": 2}})
    found = FieldIndex([("a",), ("b.c",), ("b.d",), (), ("e",)]).touched_by(event)
    assert found is not None
    assert set().union(*found) == {1, 2, 3}


def test_what_concerns_every_field_is_not_told_apart() -> None:
    """An insert, and a replacement of nobody knows what."""
    index = FieldIndex([("a",), ()])
    assert index.touched_by(event_at()) is None
    assert index.touched_by(event_at(operation="replace")) is None
