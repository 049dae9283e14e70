"""A webhook's request: the message, its signature, and what can never be part of it."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook as Verifier

from mtrigger.actions.services import Services
from mtrigger.actions.webhook import KIND, Webhook, WebhookConfig
from mtrigger.actions.webhook_signing import signature, signing_key
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.works import DELIVERY_ID, work_for_document

URL = "https://example.com/hook"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(**settings: Any) -> Webhook:
    """A webhook with these settings."""
    return KIND.open(WebhookConfig(url=settings.pop("url", URL), **settings), Services(Templates(None)))  # type: ignore[return-value]  # it is one


def parts(action: Webhook, document: dict[str, Any]) -> tuple[dict[str, str], str]:
    """The headers and the body of the preview."""
    preview = action.preview(work_for_document(document))
    headers = dict(line.split(": ", 1) for line in preview.parts["Headers"].splitlines())
    return headers, preview.parts["Body"]


def test_without_a_body_it_is_a_standard_webhooks_message() -> None:
    """The contract's shape, in relaxed Extended JSON."""
    key = ObjectId("65b8f0f0f0f0f0f0f0f0f0f0")
    document = {
        "_id": key,
        "amount": Decimal128("15000.50"),
        "count": Int64(2**40),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    headers, body = parts(webhook(), document)
    as_json = {
        "_id": {"$oid": str(key)},
        "amount": {"$numberDecimal": "15000.50"},
        "count": 2**40,
        "at": {"$date": "2026-01-01T00:00:00Z"},
    }
    assert json.loads(body) == {
        "type": "big-order",
        "timestamp": "2026-01-31T10:00:00.500Z",
        "data": {
            "rule": "big-order",
            "operation": "insert",
            "namespace": "shop.orders",
            "document": as_json,
            "before": None,
            "changed": as_json,
            "delivery_id": DELIVERY_ID,
        },
    }
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == DELIVERY_ID
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("secret", [WHSEC, "a plain secret, ü"])
def test_a_signature_is_accepted_by_the_reference_implementation(secret: str) -> None:
    """The package `standardwebhooks` verifies it, and refuses it for another body."""
    body = '{"a": "ü"}'
    timestamp = int(datetime.now(UTC).timestamp())
    made = signature([signing_key(secret)], DELIVERY_ID, timestamp, body.encode())
    headers = {"webhook-id": DELIVERY_ID, "webhook-timestamp": str(timestamp), "webhook-signature": made}
    verifier = Verifier(secret if secret == WHSEC else secret.encode())
    assert verifier.verify(body, headers) == {"a": "ü"}
    with pytest.raises(Exception, match="No matching signature"):
        verifier.verify(body + " ", headers)


def test_while_a_secret_is_changed_either_of_two_verifies() -> None:
    """Signatures by the new one and by the old one, parted by a space; a third one fits none of them."""
    old, new, other = (f"whsec_{base64.b64encode(name * 8).decode()}" for name in (b"old", b"new", b"oth"))
    body = b'{"a": 1}'
    timestamp = int(datetime.now(UTC).timestamp())
    made = signature([signing_key(new), signing_key(old)], DELIVERY_ID, timestamp, body)
    headers = {"webhook-id": DELIVERY_ID, "webhook-timestamp": str(timestamp), "webhook-signature": made}

    assert [part.partition(",")[0] for part in made.split(" ")] == ["v1", "v1"]
    for secret in (old, new):
        assert Verifier(secret).verify(body, headers) == {"a": 1}
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(other).verify(body, headers)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_é"])
def test_a_secret_that_signs_nothing_is_a_mistake(secret: str) -> None:
    """Also as the second of two; anybody could sign with an empty one. The place is told, not the secret."""
    for given, path in ((secret, ("secret",)), (["fine", secret], ("secret", 1))):
        config = WebhookConfig.model_validate({"url": URL, "secret": given})
        assert [mistake.path for mistake in KIND.mistakes(config, Templates(None))] == [path]


def test_a_message_says_how_many_were_held_back_if_any_were() -> None:
    """So that a receiver can tell, whoever wrote the rule."""
    plain = webhook().preview(work_for_document({}, held_back=0))
    told = webhook().preview(work_for_document({}, held_back=3))
    assert "held_back" not in json.loads(plain.parts["Body"])["data"]
    assert json.loads(told.parts["Body"])["data"]["held_back"] == 3


def test_a_format_beside_a_body_is_a_mistake() -> None:
    """It would mean nothing, whichever format it is; `body: null` is a body."""
    for body in ({"a": 1}, None):
        config = WebhookConfig.model_validate({"url": URL, "format": "standard", "body": body})
        (mistake,) = KIND.mistakes(config, Templates(None))
        assert mistake.path == ("format",)
        assert "keep one of the two" in mistake.message


@pytest.mark.parametrize("status", [200, 399, 600, "404", True])
def test_only_statuses_of_failure_can_be_tried_again(status: object) -> None:
    """Numbers from 400 to 599."""
    with pytest.raises(ValidationError):
        WebhookConfig.model_validate({"url": URL, "retry_on": [status]})


def test_a_json_body_keeps_the_types_that_json_knows() -> None:
    """A string that is one expression alone is its value; dates and decimals are text, as elsewhere."""
    body = {
        "text": "Order {{ document.id }}: {{ document.amount }}",
        "amount": "{{ document.amount }}",
        "exact": "{{ document.exact }}",
        "at": "{{ document.at }}",
        "items": ["{{ document.items }}", "{{ document.paid }}", "{{ document.none }}", 1, None, True],
    }
    document = {
        "id": 7,
        "amount": 12.5,
        "exact": Decimal128("1.10"),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "items": [{"n": 1}],
        "paid": True,
        "none": None,
    }
    headers, sent = parts(webhook(body=body), document)
    assert json.loads(sent) == {
        "text": "Order 7: 12.5",
        "amount": 12.5,
        "exact": "1.10",
        "at": "2026-01-01T00:00:00Z",
        "items": [[{"n": 1}], True, None, 1, None, True],
    }
    assert headers["content-type"] == "application/json"


def test_a_text_body_is_sent_as_it_is_rendered() -> None:
    """As plain text, unless the rule says what it is."""
    headers, sent = parts(webhook(body="<{{ document.a }}>"), {"a": "ü&"})
    assert (sent, headers["content-type"]) == ("<ü&>", "text/plain; charset=utf-8")
    headers, _ = parts(webhook(body="<a/>", headers={"Content-Type": "application/xml"}), {})
    assert headers["content-type"] == "application/xml"


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Webhook-Id"])
def test_what_a_request_says_of_itself_is_not_the_rules_to_say(name: str) -> None:
    """A wrong length makes the rest of a body another request; another id would not fit the signature."""
    config = WebhookConfig.model_validate({"url": URL, "headers": {"Host": "shop.example", name: "5"}})
    (mistake,) = KIND.mistakes(config, Templates(None))
    assert mistake.path == ("headers", name)
    assert "set by mtrigger itself" in mistake.message


def test_a_document_cannot_add_a_header() -> None:
    """Line breaks in a value are an error, never a second header, and trying again is pointless."""
    action = webhook(headers={"x-name": "{{ document.name }}"})
    with pytest.raises(PermanentError, match=r"headers\.x-name"):
        action.preview(work_for_document({"name": "a\r\nx-evil: 1"}))


@pytest.mark.parametrize(
    "host", ["file:///etc/passwd", "http://", "//example.com", "http://a b/", "http://a:99999/", "x"]
)
def test_a_document_cannot_lead_to_another_scheme(host: str) -> None:
    """Only http and https, with a host; the address is not repeated in the message."""
    with pytest.raises(PermanentError, match=r"^url: the address (must be http://host/… or|holds spaces)"):
        webhook(url="{{ document.url }}").preview(work_for_document({"url": host}))


def test_a_preview_shows_no_secret() -> None:
    """Neither user and query of the address nor headers that carry keys."""
    action = webhook(
        url="https://user:hunter2@example.com/hook?token=hunter2",
        headers={"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2", "x-plain": "shown"},
        secret="hunter2",
    )
    preview = action.preview(work_for_document({}))
    assert "hunter2" not in repr(preview)
    assert "https://example.com/hook" in preview.summary
    assert "x-plain: shown" in preview.parts["Headers"]
