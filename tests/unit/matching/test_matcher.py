"""Which rules hold for an event: the answer of trying each, without trying each."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtrigger.conditions import Condition, parse, parse_mapping
from mtrigger.errors import ConditionError
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher, touches
from mtrigger.rules import Collections, Rule
from support.random_conditions import expressions, filters
from support.random_documents import document
from support.samples import NOW, event_at

OPERATIONS = ("insert", "update", "replace", "delete")
FIELDS = ("a", "b", "a.b", "a.0", "o.p", "l.p", "s", "n")
UPDATES = ("a", "a.b.c", "a.0.b", "b", "o", "o.p", "l.0.p", "l.1", "s", "m", "nope")


def rule_of(name: str, condition: Condition | None, **wanted: Any) -> Rule:
    return Rule(name, Collections(("shop.orders",)), (), condition=condition, **wanted)


def rules_of(texts: Iterable[str], **wanted: Any) -> list[Rule]:
    return [rule_of(f"rule-{number}", parse(text), **wanted) for number, text in enumerate(texts)]


def naive(rules: Iterable[Rule], event: ChangeEvent) -> list[Rule]:
    """The definition: every rule is tried."""
    return [
        rule
        for rule in rules
        if rule.wants(event.operation)
        and rule.collections.include(event.namespace)
        and (not rule.fields or touches(event, rule.fields))
        and (rule.condition is None or rule.condition.holds(event, NOW))
    ]


def condition_of(written: str | dict[str, Any]) -> Condition | None:
    try:
        return parse(written) if isinstance(written, str) else parse_mapping(written)
    except ConditionError:
        return None


def event_of(chance: random.Random) -> ChangeEvent:
    """Any change of a random document, with whatever images there may be."""
    operation = chance.choice(OPERATIONS)
    before = document(chance) if chance.random() < 0.5 else None
    after = document(chance) if operation in ("insert", "replace") or chance.random() < 0.6 else None
    paths = chance.sample(UPDATES, chance.randrange(4)) if operation == "update" else []
    return replace(
        event_at(operation=operation, before=before, updated=dict.fromkeys(paths, 1), removed=("t",)),
        document=after,
    )


constant = st.sampled_from(("0", "1", "2", "5", "7", '"a"', '"b"', "true", "null", 'date("2026-01-31")'))
joint = st.sampled_from(("and", "or"))
narrow = st.tuples(
    st.sampled_from("abnmsd"), st.sampled_from(("==", "==", ">", ">=", "<", "<=")), constant
).map(" ".join)
written = st.one_of(
    expressions,
    expressions.map("became({})".format),
    filters,
    narrow,
    st.tuples(narrow, joint, narrow, joint, narrow).map(" ".join),
    narrow.map("before.{}".format),
    st.sampled_from(OPERATIONS).map('event.operation == "{}"'.format),
)


def tried(rules: Iterable[Rule]) -> list[str]:
    """The names of the rules whose conditions are evaluated from now on."""
    names: list[str] = []

    def counting(name: str, holds: Callable[[ChangeEvent, datetime], bool]) -> Any:
        def counted(event: ChangeEvent, now: datetime) -> bool:
            names.append(name)
            return holds(event, now)

        return counted

    for rule in rules:
        assert rule.condition is not None
        vars(rule.condition)["holds"] = counting(rule.name, rule.condition.holds)
    return names


DOCUMENT = {"customer": "C7", "status": "paid", "amount": 7.5, "tags": [3, "C7", 5], "f7": 1}


@pytest.mark.parametrize(
    ("text", "holding", "evaluated"),
    [
        ('customer == "C{n}"', {7}, 0),
        ('customer == "C{n}" and amount > 5', {7}, 1),
        ('customer == "C{n}" and lower(status) == "new"', set(), 1),
        ('customer in ["C{n}", "D{n}"] and len(status) == 4', {7}, 1),
        ('customer == "C{n}" or customer == "D{n}"', {7}, 0),
        ('tags == "C{n}" and status == "paid"', {7}, 1),
        ("tags == {n}", {3, 5}, 0),
        ("amount == {n}.5", {7}, 0),
        ("amount < 8 - {n}", {0}, 0),
        ("amount > {n}", set(range(8)), 0),
        ("amount > {n} and len(status) > 9", set(), 8),
        ("{n} < amount <= {n} + 1", {7}, 1),
        ("{n} < tags < {n} + 2", {2, 3, 4}, 3),
        ('status == "paid" and customer == "C{n}"', {7}, 1),
        ('status == "paid" and {n} < amount <= {n} + 1', {7}, 1),
        ('status == "paid" and $.tags[*] == {n} and len(tags) == 3', {3, 5}, 2),
        ("f{n} == 1", {7}, 0),
        ("f{n} == 1 and len(f{n}) == 1", set(), 1),
        ("deleted == null and amount == {n}.5", {7}, 1),
        ("became(amount == {n}.5)", {7}, 1),
        ("event.key._id == {n}", {1}, 0),
        ("false and n == {n}", set(), 0),
    ],
)
@pytest.mark.parametrize("many", [40, 400])
def test_what_is_evaluated_grows_with_what_holds_and_not_with_the_rules(
    text: str, holding: set[int], evaluated: int, many: int
) -> None:
    """As many evaluations among 400 rules as among 40; none where the index knows already."""
    rules = rules_of(text.replace("{n}", str(number)) for number in range(many))
    names = tried(rules)
    found = Matcher(rules).matches(event_at(document=DOCUMENT), NOW)
    assert {int(rule.name.removeprefix("rule-")) for rule in found} == holding
    assert len(names) == evaluated


def test_an_update_evaluates_only_rules_whose_fields_it_touched() -> None:
    """With conditions that no index knows anything about."""
    rules = [
        rule_of(f"rule-{number}", parse("len(customer) == 2"), fields=(f"f{number}", f"g{number}.x"))
        for number in range(300)
    ]
    names = tried(rules)
    event = replace(event_at(operation="update", updated={"f3": 1, "g5.x.0": 2}), document=DOCUMENT)
    assert Matcher(rules).matches(event, NOW) == [rules[3], rules[5]]
    assert names == ["rule-3", "rule-5"]


def test_what_holds_is_left_out_where_its_fields_are_untouched() -> None:
    """Also of rules that the index knows to hold."""
    rules = [rule_of(str(number), parse('customer == "C7"'), fields=(f"f{number}",)) for number in range(40)]
    event = replace(event_at(operation="update", removed=("f3",)), document=DOCUMENT)
    assert Matcher(rules).matches(event, NOW) == [rules[3]]


def test_equal_numbers_are_found_whatever_their_types() -> None:
    """int, long, double and decimal, exact beyond what a double can tell apart."""
    rules = rules_of([*(f"n == {number}" for number in range(40)), "n == 9007199254740993"])
    found = [
        [rule.name for rule in Matcher(rules).matches(event_at(document={"n": value}), NOW)]
        for value in (5, Int64(5), 5.0, Decimal128("5.00"), -0.0, True, "5", Int64(2**53 + 1), 2.0**53)
    ]
    assert found == [["rule-5"]] * 4 + [["rule-0"], [], [], ["rule-40"], []]


@pytest.mark.parametrize("text", ['tags in [{n}, [3, "C7", 5]]', 'tags == {n} or tags == [3, "C7", 5]'])
def test_what_cannot_be_looked_up_is_compared(text: str) -> None:
    """An array as a whole, among values that can be."""
    rules = rules_of(text.replace("{n}", str(number)) for number in range(100, 140))
    assert Matcher(rules).matches(event_at(document=DOCUMENT), NOW) == rules


def test_an_update_without_its_document_could_be_wanted_by_every_rule() -> None:
    """What its document will turn out to be is not known before it is looked up."""
    rules = rules_of(f"customer == {number}" for number in range(100))
    event = event_at(operation="update", updated={"customer": 3})
    assert Matcher(rules).candidates(event) == tuple(rules)


def test_rules_of_thousands_of_collections_are_kept_apart() -> None:
    """By the name where it is given in full; patterns apply to each."""
    rules = [
        replace(rule_of(str(number), None), collections=Collections((f"shop.c{number}",)))
        for number in range(2_000)
    ]
    rules.insert(1_000, replace(rule_of("any", None), collections=Collections(("shop.*", "shop.c7"))))
    matcher = Matcher(rules)
    assert [rule.name for rule in matcher.matches(event_at(namespace="shop.c7"), NOW)] == ["7", "any"]
    assert [rule.name for rule in matcher.matches(event_at(namespace="shop.c1500"), NOW)] == ["any", "1500"]
    assert matcher.matches(event_at(namespace="crm.c7"), NOW) == []


@given(
    st.lists(st.tuples(written, st.sets(st.sampled_from(FIELDS), max_size=2)), min_size=10, max_size=40),
    st.lists(st.integers(0, 2**32), min_size=20, max_size=20),
)
@settings(max_examples=70, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_rules_give_the_answer_of_trying_each(
    demands: list[tuple[str | dict[str, Any], set[str]]], seeds: list[int]
) -> None:
    """Random rules, random changes: the same rules in the same order."""
    rules = [
        rule_of(
            str(number), condition_of(demand), fields=tuple(sorted(fields)), operations=frozenset(OPERATIONS)
        )
        for number, (demand, fields) in enumerate(demands)
    ]
    matcher = Matcher(rules)
    for seed in seeds:
        event = event_of(random.Random(seed))
        assert matcher.matches(event, NOW) == naive(rules, event)
        assert set(naive(rules, event)) <= set(matcher.candidates(event))
