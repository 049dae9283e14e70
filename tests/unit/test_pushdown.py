"""What the server is asked for is never narrower than the rules.

The `$match` speaks a small part of MongoDB's language about an event's outside; that part is read here by a
few lines of its own. What it says about documents is the conditions' business, tested with them, and is
tried against real change streams in tests/integration/test_stream.py.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.pushdown import MOST_CLAUSES, plan
from mtrigger.rules import Rule
from support.recording import rule_on
from support.samples import NOW, event_at

STATE = "mtrigger"
PATTERNS = (
    "shop.orders",
    "shop.carts",
    "shop.*",
    "eu.orders",
    "*.orders",
    "*.*",
    "sh*.o*",
    "eu.a.b",
    "e*.a.*",
)
NAMESPACES = ("shop.orders", "shop.carts", "eu.orders", "eu.a.b", "shop.a.orders", "eu.x\ny", "shopping.o")
OPERATIONS = ("insert", "update", "replace", "delete")
CONDITIONS = ("", "amount > 5", "before.amount > 5", "not exists(amount)")

rules_of_all_kinds = st.builds(
    lambda patterns, operations, when, enabled: replace(
        rule_on(*patterns, when=when, operations=frozenset(operations)), enabled=enabled
    ),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
    st.sets(st.sampled_from(OPERATIONS), min_size=1),
    st.sampled_from(CONDITIONS),
    st.sampled_from([True, True, True, False]),
)


def lets_through(query: dict[str, Any], event: ChangeEvent) -> bool:
    """Whether a `$match` holds for an event; about its document it is believed to."""
    return all(_clause(name, wanted, event) for name, wanted in query.items())


def _clause(name: str, wanted: Any, event: ChangeEvent) -> bool:
    if name == "$or":
        return any(lets_through(part, event) for part in wanted)
    if name == "$and":
        return all(lets_through(part, event) for part in wanted)
    outside = {
        "operationType": event.operation,
        "ns.db": event.database,
        "ns.coll": event.collection,
    }
    if name not in outside:
        about = str(wanted) if name in ("$nor", "$expr") else name
        assert "fullDocument" in about, f"{name} may change after the event"
        assert event.operation in ("insert", "replace", "delete"), "an update carries no stable document"
        return True
    return _holds(outside[name], wanted)


def _holds(value: str, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    tests: dict[str, Callable[[Any], bool]] = {
        "$in": lambda names: value in names,
        "$ne": lambda name: value != name,
        "$exists": bool,
        "$regex": lambda regex: re.search(regex, value, re.DOTALL) is not None,
        "$options": lambda options: options == "s",
    }
    return all(tests[operator](argument) for operator, argument in wanted.items())


def reaches(rules: list[Rule], event: ChangeEvent) -> bool:
    """Whether the stream for `rules` covers the event's database and lets it through."""
    stream = plan(rules, STATE)
    return stream.database in (None, event.database) and lets_through(stream.match, event)


@given(
    st.lists(rules_of_all_kinds, max_size=2 * MOST_CLAUSES),
    st.sampled_from(NAMESPACES),
    st.sampled_from(OPERATIONS),
)
def test_every_event_that_a_rule_may_want_is_let_through(
    rules: list[Rule], namespace: str, operation: str
) -> None:
    """For few rules and for more than fit into clauses; by candidates, so whatever the documents hold."""
    event = event_at(1, namespace=namespace, operation=operation, document={"_id": 1, "amount": 9})

    if Matcher(rules).candidates(event):
        assert reaches(rules, event)


@given(st.lists(rules_of_all_kinds, max_size=2 * MOST_CLAUSES), st.sampled_from(OPERATIONS))
def test_the_state_database_never_gets_through(rules: list[Rule], operation: str) -> None:
    """A rule that watched its own deliveries would never come to rest."""
    named = rule_on("mtrigger.deliveries", operations=frozenset(OPERATIONS))
    event = event_at(1, namespace="mtrigger.deliveries", operation=operation)

    assert not reaches([*rules, named], event)


@pytest.mark.parametrize(
    ("patterns", "database"),
    [
        (["shop.orders"], "shop"),
        (["shop.orders", "shop.*"], "shop"),
        (["shop.orders", "eu.orders"], None),
        (["*.orders"], None),
        (["sh*.orders"], None),
        ([], None),
    ],
)
def test_the_stream_is_over_the_one_database_all_rules_name(
    patterns: list[str], database: str | None
) -> None:
    """Else over the deployment; never over a collection, which would die with it."""
    assert plan([rule_on(pattern) for pattern in patterns], STATE).database == database


def test_a_stream_over_a_database_is_told_when_that_is_dropped() -> None:
    """Without the invalidate event it would wait for ever on nothing."""
    event = event_at(1, operation="invalidate", namespace=".")

    assert lets_through(plan([rule_on("shop.orders")], STATE).match, event)


def test_the_hash_names_the_plan() -> None:
    """Rules that ask the server for the same share it, whatever they do; others do not."""
    one = rule_on("shop.orders", when="amount > 5")

    assert plan([one], STATE).hash == plan([replace(one, name="renamed")], STATE).hash
    others = [
        [rule_on("shop.orders")],
        [rule_on("shop.orders", when="amount > 6")],
        [rule_on("shop.carts", when="amount > 5")],
        [replace(one, operations=frozenset({"insert"}))],
        [one, rule_on("eu.orders")],
        [],
    ]
    hashes = {plan(rules, STATE).hash for rules in [[one], *others]}
    assert len(hashes) == len(others) + 1


def test_with_too_many_clauses_only_operations_and_collections_are_pushed() -> None:
    """The server would spend more on trying them one by one than the wire costs."""
    rules = [rule_on("shop.orders", name=f"rule {n}", when=f"amount > {n}") for n in range(MOST_CLAUSES + 1)]

    match = plan(rules, STATE).match

    assert "fullDocument" not in str(match)
    assert lets_through(match, event_at(1))
    assert not lets_through(match, event_at(1, namespace="shop.carts"))
    assert not Matcher(rules).matches(event_at(1), NOW)
