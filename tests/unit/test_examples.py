"""Examples become the events that a change stream would have sent."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.planning import filled_in
from mtrigger.resume_tokens import cluster_time_of
from mtrigger.trying.examples import difference, made_event, read_document, read_events

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "updated", "removed"),
    [
        ({}, {}, {}, []),
        ({"a": 1}, {"a": 1}, {}, []),
        ({"a": 1}, {"a": 2}, {"a": 2}, []),
        ({"a": 1}, {}, {}, ["a"]),
        ({}, {"a": None}, {"a": None}, []),
        ({"a": 1}, {"a": 1.0}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, {"a": True}, []),
        ({"a": 1}, {"a": Int64(1)}, {"a": Int64(1)}, []),
        ({"a": Decimal128("1.0")}, {"a": Decimal128("1.00")}, {"a": Decimal128("1.00")}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a.b": 3}, ["a.c"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, {"a.b.c": 2}, []),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}, []),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 3]}, []),
        ({"a": {"x.y": 1}}, {"a": {"x.y": 2}}, {"a": {"x.y": 2}}, []),
        ({"a": {"x.y": 1, "b": 1}}, {"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {}}, {"a": {"b": 1}}, {"a.b": 1}, []),
    ],
)
def test_an_update_sets_and_removes_what_differs(
    before: dict[str, Any], after: dict[str, Any], updated: dict[str, Any], removed: list[str]
) -> None:
    """By value and BSON type, sub-documents field by field."""
    found, gone = difference(before, after)
    assert (found, gone) == (updated, removed)
    assert list(map(type, found.values())) == list(map(type, updated.values()))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
_DOCUMENTS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


@given(_DOCUMENTS, _DOCUMENTS)
def test_what_an_update_sets_and_removes_makes_the_document_after_it(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Applied to the document before, the difference gives the document after."""
    key = {"_id": 1}
    event = made_event({**key, **after}, "update", {**key, **before}, "a.b", NOW)
    assert filled_in(event, {**key, **before}).document == {**key, **after}


def test_an_update_without_a_document_before_counts_as_setting_every_field() -> None:
    """So that `fields` and `changed` hold for whatever the example names."""
    event = made_event({"_id": 5, "a": 1, "b": {"c": 2}}, "update", None, "shop.orders", NOW)
    assert event.touched == ("a", "b")
    assert event.before is None
    assert event.document == {"_id": 5, "a": 1, "b": {"c": 2}}


def test_a_delete_has_the_document_as_its_pre_image() -> None:
    """The last known state, as the stream would send it."""
    event = made_event({"_id": 5, "a": 1}, "delete", None, "shop.orders", NOW)
    assert event.document == event.before == {"_id": 5, "a": 1}
    assert event.image == "pre-image"


def test_every_made_event_has_a_key_a_time_and_a_token() -> None:
    """What each live event has."""
    event = made_event({"a": 1}, "insert", None, "shop.orders.eu", NOW)
    assert event.document is not None
    assert list(event.document) == ["_id", "a"]
    assert event.key == {"_id": event.document["_id"]}
    assert (event.database, event.collection) == ("shop", "orders.eu")
    assert event.time == NOW
    assert cluster_time_of(event.token) == event.cluster_time


def test_the_documents_before_and_after_a_change_are_one_document() -> None:
    """An `_id` that only one of them names is the other's, too."""
    event = made_event({"a": 1}, "replace", {"_id": 5, "a": 0}, "a.b", NOW)
    assert event.document == {"_id": 5, "a": 1}
    assert event.key == {"_id": 5}


def test_an_insert_has_no_document_before_it() -> None:
    """Refused, with what to write instead."""
    with pytest.raises(ValueError, match="operation: update"):
        made_event({}, "insert", {}, "a.b", NOW)


def test_a_written_document_keeps_its_types() -> None:
    """Extended JSON, dates aware."""
    text = (
        '{"n": {"$numberLong": "5"}, "d": {"$numberDecimal": "1.50"}, "t": {"$date": "2026-01-31T10:00:00Z"}}'
    )
    document = read_document(text)
    assert isinstance(document["n"], Int64)
    assert document["d"] == Decimal128("1.50")
    assert document["t"] == NOW


def test_a_written_event_is_completed() -> None:
    """A resume token, times and the document's key may be left out; what is there is kept."""
    (event,) = read_events(
        '{"operationType": "insert", "ns": {"db": "a", "coll": "b"}, "fullDocument": {"_id": 3}}'
    )
    assert event.key == {"_id": 3}
    assert event.document == {"_id": 3}
    assert cluster_time_of(event.token) == event.cluster_time
    assert event.time.tzinfo is not None


@given(st.text())
def test_text_is_events_or_is_refused(text: str) -> None:
    """Whatever the text, a ValueError with a message is all that is raised."""
    with suppress(ValueError):
        assert read_events(text)
