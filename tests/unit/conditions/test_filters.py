"""What goes to the server: the exact filter, and the pushed one, which is never narrower."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.regex import Regex

from mtrigger.conditions import NotTranslatable, parse, parse_mapping

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("amount > 10000", {"amount": {"$gt": 10000}}),
        ("10000 < amount", {"amount": {"$gt": 10000}}),
        ("paid", {"paid": {"$eq": True}}),
        ("a != 1", {"$nor": [{"a": {"$eq": 1}}]}),
        ("a == 1 and b == 2", {"$and": [{"a": {"$eq": 1}}, {"b": {"$eq": 2}}]}),
        ("a not in [1]", {"$nor": [{"a": {"$in": [1]}}]}),
        ("exists(a.0.b)", {"a.0.b": {"$exists": True}}),
        ('matches(s, "^a", "i")', {"s": {"$regex": "^a", "$options": "i"}}),
        ('endswith(s, ".")', {"s": {"$regex": "\\.\\z"}}),
        ("$.a[*].b[*] == 1", {"a": {"$elemMatch": {"b": {"$elemMatch": {"$eq": 1}}}}}),
        ('d > now() - duration("1h")', {"d": {"$gt": NOW - timedelta(hours=1)}}),
        ("true", {}),
        ("1 > 2", {"$alwaysFalse": 1}),
        ("a == 1 or true", {}),
        ("a == 1 and not true", {"$alwaysFalse": 1}),
    ],
)
def test_a_condition_about_the_document_has_an_exact_filter(text: str, found: dict[str, Any]) -> None:
    """For `find`, over the documents themselves."""
    assert parse(text).filter(NOW) == found


@pytest.mark.parametrize(
    "text",
    [
        "before.a == 1",
        'event.operation == "insert"',
        "changed(a)",
        "became(a)",
        "$..a == 1",
        "len($..a) == 1",
        "$['a.b'] == 1",
        "$['$a'] == b",
        "exists(before)",
        "a == before.a",
    ],
)
def test_what_has_no_filter_is_refused_with_its_text(text: str) -> None:
    """More than the document, or a path that MongoDB cannot name."""
    with pytest.raises(NotTranslatable):
        parse(f"x > 5 and ({text})").filter(NOW)


@pytest.mark.parametrize(
    ("text", "found", "kept"),
    [
        ("a > 5", {"fullDocument.a": {"$gt": 5}}, ()),
        ('event.operation == "insert"', {"operationType": {"$eq": "insert"}}, ()),
        ("event.key._id == 5", {"documentKey._id": {"$eq": 5}}, ()),
        ('event.collection == "orders"', {"ns.coll": {"$eq": "orders"}}, ()),
        ("event.time > now()", {}, ("event.time > now()",)),
        ("a > 5 and $..b == 1", {"fullDocument.a": {"$gt": 5}}, ("$..b == 1",)),
        ("a > 5 or $..b == 1", {}, ("$..b == 1",)),
        ("not (a > 5 and $..b == 1)", {}, ("$..b == 1",)),
        ("not (a > 5 or $..b == 1)", {"$nor": [{"fullDocument.a": {"$gt": 5}}]}, ("$..b == 1",)),
        ("not not ($..b == 1)", {}, ("$..b == 1",)),
        ("a + 1 > 5", {}, ("a + 1 > 5",)),
        ("d < now()", {}, ("d < now()",)),
        ("before.a == 1", {"fullDocumentBeforeChange.a": {"$eq": 1}}, ()),
        ("before.a < a", {}, ("before.a < a",)),
        ("changed(a)", {"operationType": {"$in": ["insert", "update", "replace"]}}, ("changed(a)",)),
        ("not changed(a)", {}, ("changed(a)",)),
        (
            "became(a > 5)",
            {"$and": [{"operationType": {"$ne": "delete"}}, {"fullDocument.a": {"$gt": 5}}]},
            ("became(a > 5)",),
        ),
        ("not became(a > 5)", {}, ("became(a > 5)",)),
    ],
)
def test_a_part_that_stays_in_python_makes_the_pushed_filter_wider(
    text: str, found: dict[str, Any], kept: tuple[str, ...]
) -> None:
    """True for it in a condition, false for it under `not`; and the parts are named."""
    pushed = parse(text).pushdown("fullDocument")
    assert pushed.filter == found
    assert pushed.kept == kept
    assert pushed.exact is (not kept)


def test_the_pre_image_can_be_asked_for_where_the_document_is_the_pre_image() -> None:
    """A delete from a collection with pre-images: its document is its last state."""
    pushed = parse("a > 5 and before.b == 1").pushdown("fullDocumentBeforeChange")
    prefix = "fullDocumentBeforeChange"
    assert pushed.filter == {"$and": [{f"{prefix}.a": {"$gt": 5}}, {f"{prefix}.b": {"$eq": 1}}]}
    assert pushed.exact


@pytest.mark.parametrize(
    ("pattern", "is_pushed"),
    [
        ("^SO-[0-9]{5}$", True),
        ("urgent|asap", True),
        ("^a.*b", True),
        ("a.*b", False),  # quadratic for a backtracking engine: it begins anew at every place
        ("^(a+)+$", False),
        ("^(a|b)*c", False),
        ("^a*a*b", False),
        ("^a?a?a?a?a?a?a?b", False),
    ],
)
def test_a_regular_expression_that_could_keep_the_server_busy_stays_in_python(
    pattern: str, is_pushed: bool
) -> None:
    """PCRE backtracks; what it could take long for, or give up on, would stop or narrow the stream."""
    assert parse(f'matches(s, "{pattern}")').pushdown("fullDocument").exact is is_pushed
    assert parse_mapping({"s": {"$in": [Regex(pattern)]}}).pushdown("fullDocument").exact is is_pushed
    assert (
        parse_mapping({"s": {"$elemMatch": {"$regex": pattern}}}).pushdown("fullDocument").exact is is_pushed
    )
