"""What the server is asked for is never narrower than the rules.

The `$match` speaks a small part of MongoDB's language about an event's outside; that part is read here by a
few lines of its own. What it says about documents is tried against real change streams, in
tests/integration/test_pushdown_loses_nothing.py; which form it takes, in test_covers.py.
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
from mtrigger.pushdown import plan
from mtrigger.pushdown.clauses import clauses
from mtrigger.quiet import Absent
from mtrigger.rules import Rule
from support.recording import rule_on
from support.samples import event_at

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
        stable = ("fullDocument", "updateDescription")
        assert any(part in about for part in stable), f"{name} may change after the event"
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
    st.lists(rules_of_all_kinds, max_size=30),
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


@given(st.lists(rules_of_all_kinds, max_size=30), st.sampled_from(OPERATIONS))
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


def test_a_stream_over_a_database_is_not_asked_for_the_name_of_it() -> None:
    """It holds nothing else, and asking costs the server as much as a condition."""
    orders, others = rule_on("shop.orders", when="amount > 5"), rule_on("eu.orders")

    assert "ns.db" not in str(plan([orders], STATE).match)
    assert "ns.db" in str(plan([orders, others], STATE).match)


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


def test_what_the_server_is_asked_for_grows_with_the_rules_only_in_its_keys() -> None:
    """A thousand rules on two fields are two tests, at the cost of one event's nothing."""
    rules = [
        rule_on("shop.orders", name=f"rule {n}", when=f"customer == 'C{n}' and amount > {n}")
        for n in range(1_000)
    ]
    (clause,) = clauses([replace(rule, operations=frozenset({"insert"})) for rule in rules])

    assert clause.filter["fullDocument.amount"] == {"$gt": 0}
    assert set(clause.filter["fullDocument.customer"]["$in"]) == {f"C{n}" for n in range(1_000)}
    assert len(clause.filter) == 2


def test_many_collections_share_one_branch() -> None:
    """Each branch of its own would cost the server as much as ten tests."""
    rules = [rule_on(f"shop.orders_{n}", when=f"amount > {n}") for n in range(10)]

    assert len({clause.patterns for clause in clauses(rules)}) == 1
    assert len({clause.patterns for clause in clauses(rules[:2])}) == 2


def test_a_rule_without_a_condition_asks_for_every_event_of_its_collections_only() -> None:
    """The others of the collection cannot narrow it; those of other collections are not touched by it."""
    rules = [
        rule_on("shop.orders", when="amount > 5"),
        rule_on("shop.orders"),
        rule_on("shop.carts", when="amount > 5", operations=frozenset({"insert"})),
    ]
    filters = {tuple(clause.patterns): clause.filter for clause in clauses(rules)}

    assert filters == {("shop.orders",): {}, ("shop.carts",): {"fullDocument.amount": {"$gt": 5}}}


def test_the_cover_of_a_plan_speaks_of_no_document() -> None:
    """It is what the stream is read with where an event is too large to be asked about."""
    rules = [replace(rule_on("shop.orders", when=when), fields=("a",)) for when in CONDITIONS if when]

    assert "fullDocument" in str(plan(rules, STATE).match)
    assert not any(part in str(plan(rules, STATE).cover) for part in ("fullDocument", "updateDescription"))


def test_changes_that_may_end_what_a_rule_fired_for_get_through() -> None:
    """Whatever the document is then, and whatever the rule itself wants."""
    low = rule_on("shop.orders", when="amount > 10000", operations=frozenset({"insert"}))
    followed = replace(low, fields=("amount",), resolved=low.actions)
    asked = {
        operation for clause in clauses([followed]) if not clause.filter for operation in clause.operations
    }

    assert asked == {"update", "replace", "delete"}
    assert plan([followed], "mtrigger").pre_images
    assert not plan([low], "mtrigger").pre_images
    assert plan([replace(followed, absent=Absent(60.0))], "mtrigger").match == plan([low], "mtrigger").match
