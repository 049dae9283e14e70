"""What conditions mean, in Python: the fixed cases, and what the event itself says."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.regex import Regex

from mtrigger.conditions import parse
from support.condition_cases import CASES, Case
from support.samples import event_at

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fixed_case_holds_as_in_mongodb(case: Case) -> None:
    """The same cases are held against a real server in the integration tests."""
    assert case.condition().holds(event_at(document=case.document), NOW) is case.held


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_trace_ends_with_the_same_answer_as_the_compiled_condition(case: Case) -> None:
    """The fast path and the exact path are two programs with one meaning."""
    condition, event = case.condition(), event_at(document=case.document)
    assert condition.trace(event, NOW).held is condition.holds(event, NOW)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ('event.operation == "insert"', True),
        ('event.operation in ["update", "delete"]', False),
        ('event.database == "shop" and event.collection == "orders"', True),
        ("event.key._id == 7", True),
        ("event.key.region == null", True),
        ('event.time >= date("2026-01-01")', True),
        ('startswith(event.id, "82")', True),
        ("exists(before)", False),
        ("before.amount == null", True),
        ("not exists(before.amount)", True),
    ],
)
def test_the_event_itself_can_be_asked_about(text: str, held: bool) -> None:
    """`event.…` leads to the facts of the change, `before.…` to the pre-image."""
    assert parse(text).holds(event_at(7, document={"_id": 7}), NOW) is held


def test_without_a_document_a_condition_sees_the_key() -> None:
    """A delete without a pre-image still has its key."""
    event = event_at(7, operation="delete")
    assert event.document is None
    assert parse("_id == 7").holds(event, NOW)
    assert not parse("exists(amount)").holds(event, NOW)


@pytest.mark.parametrize(
    ("operation", "before", "now", "held"),
    [
        ("update", {"s": "open"}, {"s": "paid"}, True),
        ("update", {"s": "new"}, {"s": "paid"}, False),
        ("update", {"s": "open"}, {"s": "shipped"}, False),
        ("update", None, {"s": "paid"}, False),
        ("replace", {"s": "open"}, {"s": "paid"}, True),
        ("replace", {"s": "open"}, {"s": "open"}, False),
        ("insert", None, {"s": "paid"}, False),
        ("delete", {"s": "open"}, None, False),
    ],
)
def test_changed_from_to_asks_both_sides_of_a_change(
    operation: str, before: dict[str, Any] | None, now: dict[str, Any] | None, *, held: bool
) -> None:
    """Without the document before, nobody knows what it changed from."""
    updated = now if operation == "update" else None
    event = event_at(7, operation=operation, before=before, document=now, updated=updated)
    condition = parse('s changed from "open" to "paid"')
    assert condition.holds(event, NOW) is held
    assert condition.trace(event, NOW).held is held


def test_the_pre_image_is_what_before_leads_to() -> None:
    """Crossing a line: below it before, above it now."""
    event = event_at(
        operation="update", document={"n": 12}, before={"n": 5}, updated={"n": 12}, image="post-image"
    )
    assert parse("before.n <= 10 and n > 10").holds(event, NOW)
    assert parse("n > before.n").holds(event, NOW)


UPDATE: dict[str, Any] = {"operation": "update", "document": {"a": {"b": 1}, "c": 2}, "image": "look-up"}


@pytest.mark.parametrize(
    ("path", "event", "held"),
    [
        ("a.b", {**UPDATE, "updated": {"a.b": 1}}, True),
        ("a", {**UPDATE, "updated": {"a.b": 1}}, True),
        ("a.b.c", {**UPDATE, "updated": {"a.b": 1}}, True),
        ("a.x", {**UPDATE, "updated": {"a.b": 1}}, False),
        ("ab", {**UPDATE, "updated": {"a": 1}}, False),
        ("a.b", {**UPDATE, "removed": ("a",)}, True),
        ("items.5", {**UPDATE, "truncated": ("items",)}, True),
        ("$.a['b']", {**UPDATE, "updated": {"a.b": 1}}, True),
        ("a", {"operation": "insert", "document": {"a": None}}, True),
        ("a", {"operation": "insert", "document": {"b": 1}}, False),
        ("a", {"operation": "delete"}, False),
        ("a", {"operation": "replace", "document": {"a": 1}}, True),
        ("a", {"operation": "replace", "document": {"a": 1}, "before": {"a": 1, "b": 2}}, False),
        ("a", {"operation": "replace", "document": {"a": 2}, "before": {"a": 1}}, True),
        ("a", {"operation": "replace", "document": {"a": 1}, "before": {"a": 1.0}}, True),
        ("a", {"operation": "replace", "document": {"a": 1}, "before": {"a": Int64(1)}}, True),
        ("a", {"operation": "replace", "document": {"a": None}, "before": {}}, True),
        ("a", {"operation": "replace", "document": {"a": [1]}, "before": {"a": 1}}, True),
        ("a", {"operation": "replace", "document": {"a": Regex("x")}, "before": {"a": Regex("x")}}, False),
    ],
)
def test_changed_says_whether_the_event_touched_a_path(path: str, event: dict[str, Any], held: bool) -> None:
    """The path itself, something above it or below it; for a replace, another value or another type."""
    assert parse(f"changed({path})").holds(event_at(**event), NOW) is held


@pytest.mark.parametrize(
    ("event", "held"),
    [
        ({"operation": "insert", "document": {"n": 11}}, True),
        ({"operation": "insert", "document": {"n": 9}}, False),
        ({**UPDATE, "document": {"n": 11}, "before": {"n": 9}, "updated": {"n": 11}}, True),
        ({**UPDATE, "document": {"n": 12}, "before": {"n": 11}, "updated": {"n": 12}}, False),
        ({**UPDATE, "document": {"n": 9}, "before": {"n": 11}, "updated": {"n": 9}}, False),
        ({**UPDATE, "document": {"n": 11}, "updated": {"n": 11}}, True),
        ({**UPDATE, "document": {"n": 11}, "updated": {"other": 1}}, False),
        ({"operation": "replace", "document": {"n": 11}, "before": {"n": 9}}, True),
        ({"operation": "replace", "document": {"n": 11}}, True),
        ({"operation": "delete", "document": {"n": 11}, "before": {"n": 11}}, False),
    ],
)
def test_became_holds_when_a_condition_begins_to_hold(event: dict[str, Any], held: bool) -> None:
    """It holds now and did not before; without a pre-image, something it reads was changed."""
    assert parse("became(n > 10)").holds(event_at(**event), NOW) is held


@pytest.mark.parametrize(
    ("text", "document", "held"),
    [
        ("$..price > 5", {"a": [{"b": {"price": 9}}]}, True),
        ("$..price > 5", {"a": [{"b": {"price": Decimal128("9")}}]}, True),
        ("$..price > 5", {}, False),
        ("exists($..price)", {"a": {"price": None}}, True),
        ("$.a[-1] == 3", {"a": [1, 2, 3]}, True),
        ("$.a[0:2] == 3", {"a": [1, 2, 3]}, False),
        ("$.items[?(@.kind == 'x')].price > 5", {"items": [{"kind": "x", "price": 6}]}, True),
        ("$.items[?(@.kind == 'x')].price > 5", {"items": [{"kind": "y", "price": 6}]}, False),
        ("len($.a[1:]) == 0", {"a": [1, [], 3]}, True),
    ],
)
def test_a_jsonpath_holds_if_any_value_it_finds_does(text: str, document: dict[str, Any], held: bool) -> None:
    """What is more than names, indexes and `[*]` is searched by jsonpath-ng."""
    assert parse(text).holds(event_at(document=document), NOW) is held


def _deep(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        document = {"a": document, "b": [document]} if levels < 10 else {"a": document}
    return document


@pytest.mark.parametrize("text", ["x == y", "$..a == 1", "x.a.a.a == y.a.a.a", "lower(x) == y", "len(x) > 1"])
def test_the_deepest_document_that_bson_allows_is_no_trouble(text: str) -> None:
    """A condition never raises, and nested as deep as it may be it does not run out of stack."""
    document = {"x": _deep(190), "y": _deep(190)}
    for nested in (text, "not (" * 40 + text + ")" * 40):
        assert parse(nested).holds(event_at(document=document), NOW) in (True, False)


def test_two_long_arrays_are_not_paired_without_end() -> None:
    """Documents are hostile: a comparison of two arrays looks at a bounded number of pairs."""
    document = {"a": [0] * 10_000, "b": [0] * 10_000}
    assert not parse("a == b").holds(event_at(document=document), NOW)
    assert not parse("a + b == 0").holds(event_at(document=document), NOW)
    assert parse("a == 0").holds(event_at(document=document), NOW)


def test_conditions_with_the_same_text_are_equal() -> None:
    """So that a reload can tell what has changed."""
    assert parse("a > 5") == parse("a > 5")
    assert hash(parse("a > 5")) == hash(parse("a > 5"))
    assert parse("a > 5") != parse("a  > 5")
