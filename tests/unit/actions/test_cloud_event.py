"""A delivery as a CloudEvent, read by the reference implementation."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.objectid import ObjectId
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from mtrigger.actions.services import Services
from mtrigger.actions.webhook import KIND, WebhookConfig
from mtrigger.templates import Templates
from support.works import DELIVERY_ID, work_for_document

TIME = datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)


def event_of(**given: Any) -> BaseCloudEvent:
    """What the package `cloudevents` makes of the message for such an event."""
    event = {
        "operation": "insert",
        "database": "shop",
        "collection": "orders",
        "key": {"_id": 7},
        "time": TIME,
        "id": "8265",
        **given,
    }
    config = WebhookConfig.model_validate({"url": "https://example.com/hook", "format": "cloudevents"})
    action = KIND.open(config, Services(Templates(None)))
    preview = action.preview(work_for_document({"_id": 7, "amount": 12000}, event=event))
    headers = dict(line.split(": ", 1) for line in preview.parts["Headers"].splitlines())
    assert headers["content-type"] == "application/cloudevents+json"
    return from_structured_event(HTTPMessage(headers=headers, body=preview.parts["Body"].encode()))


def test_it_says_what_happened_where_to_what_and_when() -> None:
    """The id is the delivery's; the data is that of the standard message."""
    event = event_of()
    assert (event.get_specversion(), event.get_id()) == ("1.0", DELIVERY_ID)
    assert (event.get_source(), event.get_type()) == ("/shop/orders", "com.mongodb.insert")
    assert (event.get_subject(), event.get_time()) == ("7", TIME)
    assert event.get_datacontenttype() == "application/json"
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["document"] == {"_id": 7, "amount": 12000}
    assert data["rule"] == "big-order"


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("update", "com.mongodb.update"),
        ("replace", "com.mongodb.replace"),
        ("delete", "com.mongodb.delete"),
        ("dead_letter", "mtrigger.dead_letter"),
    ],
)
def test_its_type_is_named_after_whoever_made_it(operation: str, kind: str) -> None:
    """A dead letter is nothing that MongoDB knows of."""
    assert event_of(operation=operation).get_type() == kind


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ({"_id": ObjectId("65b8f0f0f0f0f0f0f0f0f0f0")}, "65b8f0f0f0f0f0f0f0f0f0f0"),
        ({"_id": "SO-1 ü"}, "SO-1 ü"),
        ({"_id": {"a": 1}}, '{"a": 1}'),
        ({"region": "eu", "_id": 7}, '{"region": "eu", "_id": 7}'),
        ({"_id": "a\r\nb\x85"}, "a%0D%0Ab%C2%85"),
        ({"_id": ""}, None),
        ({"_id": None}, None),
        ({}, None),
    ],
)
def test_its_subject_is_the_documents_key(key: dict[str, Any], subject: str | None) -> None:
    """Without control characters, which no attribute may hold; left out where it would be empty."""
    assert event_of(key=key).get_subject() == subject


def test_names_cannot_leave_their_place_in_the_source() -> None:
    """The source is a URI reference."""
    assert event_of(database="shöp", collection="a/b c.d").get_source() == "/sh%C3%B6p/a%2Fb%20c.d"


def test_an_event_without_a_subject_has_no_empty_one() -> None:
    """The specification forbids empty attributes."""
    config = WebhookConfig.model_validate({"url": "https://example.com/hook", "format": "cloudevents"})
    action = KIND.open(config, Services(Templates(None)))
    body = action.preview(work_for_document({"_id": None})).parts["Body"]
    assert "subject" not in json.loads(body)
