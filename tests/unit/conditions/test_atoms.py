"""What a condition implies: comparisons with constants, of which the index and the pushdown rely on each."""

import random
from typing import Any

import pytest
from bson.objectid import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtrigger.conditions import Condition, parse, parse_mapping
from mtrigger.conditions.atoms import Atom, alternatives, is_sufficient
from mtrigger.conditions.paths import values_at
from mtrigger.conditions.scope import scope
from mtrigger.conditions.syntax import Each, Path
from mtrigger.conditions.values import matches
from mtrigger.errors import ConditionError
from support.random_conditions import expressions, filters
from support.random_documents import document
from support.samples import NOW, event_at

A_IS_1 = Atom("document", ("a",), "==", (1,))
B_ABOVE_2 = Atom("document", ("b",), ">", (2,))
NEVER = ((),)


def found(written: str | dict[str, Any]) -> tuple[tuple[Atom, ...], ...]:
    condition = parse(written) if isinstance(written, str) else parse_mapping(written)
    return alternatives(condition.tree)


@pytest.mark.parametrize(
    ("written", "implied"),
    [
        ("a == 1", ((A_IS_1,),)),
        ("1 == a", ((A_IS_1,),)),
        ("2 < b", ((B_ABOVE_2,),)),
        ("b > 2 and a == 1", ((A_IS_1,), (B_ABOVE_2,))),
        ("a == 1 or b > 2", ((A_IS_1, B_ABOVE_2),)),
        ("a == 1 or a == true", ((A_IS_1, Atom("document", ("a",), "==", (True,))),)),
        ("a in [1, 2]", ((Atom("document", ("a",), "in", (1, 2)),),)),
        ("2 < b <= 5", ((B_ABOVE_2,), (Atom("document", ("b",), "<=", (5,)),))),
        ("a == null", ((Atom("document", ("a",), "==", (None,)),),)),
        ("paid", ((Atom("document", ("paid",), "==", (True,)),),)),
        ('became(a == 1) and lower(s) == "x"', ((A_IS_1,),)),
        ("not (not (a == 1 and b > 2))", ((A_IS_1,), (B_ABOVE_2,))),
        ("not (a != 1 or b > 2)", ((A_IS_1,),)),
        ("before.a == 1", ((Atom("before", ("a",), "==", (1,)),),)),
        ('event.operation == "insert"', ((Atom("event", ("operation",), "==", ("insert",)),),)),
        ("$.a[*].b == 1", ((Atom("document", ("a", Each.ELEMENT, "b"), "==", (1,)),),)),
        (
            'oid("65a1b2c3d4e5f60718293a4b") == customer._id',
            ((Atom("document", ("customer", "_id"), "==", (ObjectId("65a1b2c3d4e5f60718293a4b"),)),),),
        ),
        ({"b": {"$gt": 2}, "a": 1}, ((A_IS_1,), (B_ABOVE_2,))),
        ({"$or": [{"a": 1}, {"b": {"$gt": 2}}]}, ((A_IS_1, B_ABOVE_2),)),
        ({"$nor": [{"a": {"$ne": 1}}]}, ((A_IS_1,),)),
        (
            {"l": {"$elemMatch": {"p": {"$gt": 1}, "q": "x"}}},
            (
                (Atom("document", ("l", Each.ELEMENT, "q"), "==", ("x",)),),
                (Atom("document", ("l", Each.ELEMENT, "p"), ">", (1,)),),
            ),
        ),
        ({"l": {"$elemMatch": {"$gt": 1}}}, ((Atom("document", ("l", Each.ELEMENT), ">", (1,)),),)),
    ],
    ids=str,
)
def test_what_a_condition_implies(
    written: str | dict[str, Any], implied: tuple[tuple[Atom, ...], ...]
) -> None:
    """The narrowest alternative first, each a disjunction."""
    assert found(written) == implied


@pytest.mark.parametrize(
    "written",
    ["true", "a != 1", "not (a > 1)", "not became(a == 1)", "a == 1 or changed(b)", "a == b", "a + 1 == 2",
     "d > now()", 'd > now() - duration("1h")', 'lower(s) == "x"', "len(a) == 1", "$..a == 1", "exists(a)",
     'matches(s, "^a")', 'startswith(s, "a")', "not (a == 1 and not (b == 2 or c == 3))",
     {"a": {"$exists": True}}, {"a": {"$type": "string"}}, {"a": {"$size": 2}}, {"a": {"$nin": [1]}},
     {"a": {"$not": {"$elemMatch": {"b": 1}}}}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_analysed_implies_nothing(written: str | dict[str, Any]) -> None:
    """Nothing is promised where nothing is known."""
    assert found(written) == ()


@pytest.mark.parametrize(
    "written", ["false", "1 > 2", "a in []", "a == 1 and false", "not (true or a == 1)", {"a": {"$all": []}}]
)
def test_what_never_holds_has_an_alternative_without_atoms(written: str | dict[str, Any]) -> None:
    """No atom of it can hold, so no event has to be looked at."""
    assert found(written)[:1] == NEVER


def test_a_part_that_never_holds_adds_nothing_to_the_others() -> None:
    """`false or x` is `x`."""
    assert found("false or a == 1") == ((A_IS_1,),)


def test_many_ways_through_an_or_are_cut_short_at_the_narrow_end() -> None:
    """Ten parts with two alternatives each could be joined in 1,024 ways."""
    ways = found(" or ".join(f"(x > {number} and a == {number})" for number in range(10)))
    assert len(ways) == 16
    assert [atom.operator for atom in ways[0]] == ["=="] * 10


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        ("a == 1", True),
        ("a in [1, 2]", True),
        ("a == 1 or b > 2", True),
        ("a == 1 and b > 2", False),
        ("became(a == 1)", False),
        ("a == 1 or changed(b)", False),
        ("a > now()", False),
        ({"l": {"$elemMatch": {"p": 1}}}, False),
    ],
    ids=str,
)
def test_a_condition_can_be_nothing_but_its_atoms(written: str | dict[str, Any], whole: bool) -> None:
    """Then an event that one of them holds for needs no second look."""
    condition = parse(written) if isinstance(written, str) else parse_mapping(written)
    assert is_sufficient(condition.tree) is whole


def holds(atom: Atom, fields: dict[str, Any]) -> bool:
    """The atom as the match language has it."""
    operator = "==" if atom.operator == "in" else atom.operator
    root = scope(event_at(document=fields), NOW).root(Path("", atom.root, ()))
    return any(
        matches(operator, value, wanted) for value in values_at(root, atom.path) for wanted in atom.values
    )


@given(
    st.one_of(expressions, expressions.map("became({})".format), filters, filters),
    st.lists(st.integers(0, 2**32), min_size=30, max_size=30),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_condition_never_holds_without_one_atom_of_each_alternative(
    written: str | dict[str, Any], seeds: list[int]
) -> None:
    """The promise, for random conditions and documents; where the condition is its atoms, the reverse too."""
    try:
        condition: Condition = parse(written) if isinstance(written, str) else parse_mapping(written)
    except ConditionError:
        return
    for fields in (document(random.Random(seed)) for seed in seeds):
        implied = [any(holds(atom, fields) for atom in one) for one in alternatives(condition.tree)]
        held = condition.holds(event_at(document=fields), NOW)
        assert all(implied) or not held
        assert held or not (is_sufficient(condition.tree) and all(implied))
