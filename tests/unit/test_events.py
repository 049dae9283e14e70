"""Events, from what a change stream yields."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import DatetimeMS
from bson.timestamp import Timestamp

from mtrigger.events import ChangeEvent
from mtrigger.resume_tokens import cluster_time_of
from support.samples import event_at, token_at

Document = dict[str, Any]
TIME = Timestamp(1_769_853_600, 3)


def change(operation: str = "insert", **fields: Any) -> Document:
    """A change as the server sends it."""
    return {
        "_id": {"_data": token_at(3)},
        "operationType": operation,
        "clusterTime": TIME,
        "wallTime": datetime(2026, 1, 31, 10, 0, 0, 123000, tzinfo=UTC),
        "ns": {"db": "shop", "coll": "orders"},
        "documentKey": {"_id": 1},
        **fields,
    }


def test_an_insert_carries_its_document() -> None:
    """With everything that says where and when."""
    event = ChangeEvent.from_change(change(fullDocument={"_id": 1, "amount": 5}))

    assert (event.operation, event.namespace, event.key) == ("insert", "shop.orders", {"_id": 1})
    assert (event.document, event.image) == ({"_id": 1, "amount": 5}, "stored")
    assert (event.token, event.cluster_time) == (token_at(3), TIME)
    assert event.time == datetime(2026, 1, 31, 10, 0, 0, 123000, tzinfo=UTC)


def test_an_update_tells_which_paths_it_touched() -> None:
    """Set, removed and truncated; without a post-image its document is not known."""
    description = {
        "updatedFields": {"a.b": 1, "c": None},
        "removedFields": ["d"],
        "truncatedArrays": [{"field": "items", "newSize": 2}],
    }
    event = ChangeEvent.from_change(change("update", updateDescription=description))

    assert (event.document, event.image) == (None, "none")
    assert event.touched == ("a.b", "c", "d", "items")
    assert event.changed == {"a.b": 1, "c": None, "d": None}


@pytest.mark.parametrize(
    ("operation", "fields", "document", "image"),
    [
        ("update", {"fullDocument": {"_id": 1}}, {"_id": 1}, "post-image"),
        ("update", {"fullDocument": None}, None, "none"),
        ("replace", {"fullDocument": {"_id": 1}}, {"_id": 1}, "stored"),
        ("delete", {"fullDocumentBeforeChange": {"_id": 1, "a": 2}}, {"_id": 1, "a": 2}, "pre-image"),
        ("delete", {"fullDocumentBeforeChange": None}, None, "none"),
        ("delete", {}, None, "none"),
    ],
)
def test_an_event_says_where_its_document_comes_from(
    operation: str, fields: Document, document: Document | None, image: str
) -> None:
    """Exactly as it was after the change, as it was before a delete, or not known."""
    event = ChangeEvent.from_change(change(operation, **fields))

    assert (event.document, event.image) == (document, image)


@pytest.mark.parametrize(
    ("before", "document", "changed"),
    [
        (None, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a": {"b": 2}}),
    ],
)
def test_a_replace_is_compared_with_its_pre_image(
    before: Document | None, document: Document, changed: Document
) -> None:
    """Without one, everything counts as new."""
    assert event_at(1, operation="replace", before=before, document=document).changed == changed


@pytest.mark.parametrize("wall_time", [None, DatetimeMS(2**60)])
def test_without_a_usable_wall_time_the_cluster_time_counts(wall_time: Any) -> None:
    """To the second."""
    event = ChangeEvent.from_change(change(wallTime=wall_time))

    assert event.time == datetime.fromtimestamp(TIME.time, UTC)


def test_events_without_a_document_or_a_collection_are_kept_as_they_are() -> None:
    """An invalidate, a drop, and kinds that do not exist yet."""
    bare = {"_id": {"_data": token_at(3)}, "operationType": "invalidate"}

    event = ChangeEvent.from_change(bare)

    assert (event.operation, event.namespace, event.key, event.document) == ("invalidate", "", {}, None)
    assert ChangeEvent.from_change(change("newKind")).operation == "newKind"


def test_a_token_tells_its_time() -> None:
    """Of events and of idle positions alike."""
    assert cluster_time_of("82697DD2A000000003" + "2B0229296E04") == Timestamp(0x697DD2A0, 3)


@pytest.mark.parametrize(
    "token", ["", "82", "83697DD2A0000000032B", "82xyzw1234567890AB", "not a token at all"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """It comes from an operator's command line, or from a damaged row."""
    with pytest.raises(ValueError, match=r"token|int\(\)"):
        cluster_time_of(token)
