"""What people are shown: a trace of an event, and a condition in words."""

from datetime import UTC, datetime

import pytest
from bson.decimal128 import Decimal128

from mtrigger.conditions import parse, parse_mapping
from support.samples import event_at

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_trace_shows_which_part_held_and_what_was_seen() -> None:
    """Every part is evaluated, also behind one that decided."""
    condition = parse('amount > 10000 and (status == "paid" or not vip)')
    trace = condition.trace(event_at(document={"amount": 9000, "status": "paid"}), NOW)
    assert (trace.text, trace.held) == (condition.text, False)
    big, either = trace.parts
    assert (big.text, big.held, big.observed) == ("amount > 10000", False, "amount is 9000")
    assert (either.text, either.held) == ('status == "paid" or not vip', True)
    paid, not_vip = either.parts
    assert (paid.text, paid.held, paid.observed) == ('status == "paid"', True, "status is 'paid'")
    assert (not_vip.text, not_vip.held) == ("not vip", True)
    assert not_vip.parts[0].observed == "vip is missing"


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("n > 5", "n is 15000.50"),
        ("total > n", "total is missing; n is 15000.50"),
        ("tags == 1", "tags is ['a', 'b']"),
        ("items.price > 5", "items.price is 1, 2"),
        ("long == 1", "long is '" + "x" * 78 + "…"),
        ("exists(before)", "there is no pre-image"),
        ("changed(n)", "the operation is insert"),
        ("became(n > 5)", "the operation is insert"),
        ("$..price > 1", "$..price is 1, 2"),
        ('event.operation == "update"', "event.operation is 'insert'"),
    ],
)
def test_what_was_seen_is_shown_short(text: str, observed: str) -> None:
    """Values as people write them, cut where they are long."""
    document = {
        "n": Decimal128("15000.50"),
        "tags": ["a", "b"],
        "items": [{"price": 1}, {"price": 2}],
        "long": "x" * 1000,
    }
    assert parse(text).trace(event_at(document=document), NOW).observed == observed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("amount > 10000", "amount is greater than 10000"),
        ('a <= 5 and s in ["new", "paid"]', "a is at most 5 and s is one of 'new', 'paid'"),
        ("a == 1 or b == 2 and c == 3", "a is 1 or (b is 2 and c is 3)"),
        ("not (a == 1 or b == 2)", "it is not so that (a is 1 or b is 2)"),
        ("a != 1", "a is not 1"),
        ("a not in [1, 2]", "a is none of 1, 2"),
        ("not exists(a)", "a does not exist"),
        ('matches(s, "^a", "i")', "s matches '^a' (options i)"),
        ('startswith(s, "a")', "s starts with 'a'"),
        ("changed(a.b)", "a.b was changed"),
        ("became(a > 5)", "it has become true that a is greater than 5"),
        ('d < now() - duration("1h")', 'd is less than (now minus duration("1h"))'),
        ("len(tags) > 2", "the length of tags is greater than 2"),
        ('lower(s) == "x"', "s in lower case is 'x'"),
        ("paid", "paid is true"),
        ("true", "always"),
    ],
)
def test_a_condition_can_be_told_in_words(text: str, words: str) -> None:
    """For lists of rules and for people who do not read the language."""
    assert parse(text).describe() == words


def test_a_filter_can_be_told_in_words() -> None:
    """The same words as for an expression."""
    condition = parse_mapping({"a": {"$elemMatch": {"b": {"$size": 2}}}, "c": {"$type": "string"}})
    assert condition.describe() == "a has an element for which b has 2 elements and c is of type string"
