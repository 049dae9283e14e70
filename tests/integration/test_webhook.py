"""The webhook against a real HTTP server: what is delivered, and what is left to the retry policy."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from mtrigger import actions
from mtrigger.actions import http
from mtrigger.actions.base import Action
from mtrigger.actions.services import Services
from mtrigger.actions.webhook import KIND, WebhookConfig, WebhookFailed
from mtrigger.errors import PermanentError, RetryLater
from mtrigger.templates import Templates
from support.http_sink import Answer, HttpSink
from support.polling import eventually
from support.works import DELIVERY_ID, work_for_document

WORK = work_for_document({"_id": 1, "amount": 12000})
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """What actions share, closed afterwards."""
    services = Services(Templates(None))
    yield services
    await services.close()


def webhook(services: Services, **settings: Any) -> Action:
    return KIND.open(WebhookConfig.model_validate(settings), services)


async def test_a_signed_message_arrives_and_can_be_verified(http_sink: HttpSink, services: Services) -> None:
    """A receiver that follows Standard Webhooks needs nothing special for mtrigger."""
    http_sink.answer_next(Answer(status=204))
    action = webhook(services, url=f"{http_sink.url}/hook?a=1", secret=SECRET)
    assert await action.run(WORK) == "204 No Content"
    (request,) = http_sink.requests
    assert (request.method, request.path, request.query) == ("POST", "/hook", "a=1")
    assert request.headers["webhook-id"] == DELIVERY_ID
    received = Verifier(SECRET).verify(request.body, dict(request.headers))
    assert received["data"]["document"] == {"_id": 1, "amount": 12000}


async def test_method_headers_and_body_are_the_rules_own(http_sink: HttpSink, services: Services) -> None:
    """Every string is a template."""
    action = webhook(
        services,
        url=http_sink.url + "/orders/{{ document._id }}",
        method="PUT",
        headers={"X-Amount": "{{ document.amount }}"},
        body={"amount": "{{ document.amount }}"},
    )
    assert await action.run(WORK) == "200 OK"
    (request,) = http_sink.requests
    assert (request.method, request.path, request.headers["x-amount"]) == ("PUT", "/orders/1", "12000")
    assert request.json() == {"amount": 12000}


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        *((status, PermanentError) for status in (301, 302, 307, 400, 401, 404, 410, 422)),
        *((status, WebhookFailed) for status in (408, 425, 429, 500, 503)),
    ],
)
async def test_any_other_answer_is_a_failure_that_tells_what_was_said(
    http_sink: HttpSink, services: Services, status: int, failure: type[Exception]
) -> None:
    """The first 200 characters of the answer, the address without its secrets. No redirect is followed."""
    http_sink.answer_next(
        Answer(status, {"location": f"{http_sink.url}/elsewhere"}, b"no\r\n such  thing " + b"x" * 300)
    )
    action = webhook(
        services, url=f"{http_sink.url.replace('http://', 'http://user:hunter2@')}/hook?key=hunter2"
    )
    with pytest.raises(failure) as raised:
        await action.run(WORK)
    message = str(raised.value)
    assert message.startswith(f"POST {http_sink.url}/hook answered {status} ")
    assert f"no such thing {'x' * 180}" in message
    assert "x" * 200 not in message
    assert "hunter2" not in message
    assert len(http_sink.requests) == 1


async def test_a_receiver_is_left_alone_for_as_long_as_it_asks(
    http_sink: HttpSink, services: Services
) -> None:
    """With a header of any case; for an hour at most."""
    http_sink.answer_next(Answer(429, {"RETRY-AFTER": "90"}, b"slow down"))
    http_sink.answer_next(Answer(503, {"retry-after": "99999999"}))
    action = webhook(services, url=f"{http_sink.url}/hook")
    with pytest.raises(RetryLater) as raised:
        await action.run(WORK)
    assert raised.value.after == 90.0
    assert str(raised.value) == (
        f"POST {http_sink.url}/hook answered 429 Too Many Requests (it asks to wait for 90s): slow down"
    )
    with pytest.raises(RetryLater) as raised:
        await action.run(WORK)
    assert raised.value.after == 3600.0


async def test_a_rule_may_have_more_statuses_tried_again(http_sink: HttpSink, services: Services) -> None:
    """And only those."""
    http_sink.answer_next(Answer(404))
    http_sink.answer_next(Answer(400))
    action = webhook(services, url=http_sink.url, retry_on=[404, 409])
    with pytest.raises(WebhookFailed):
        await action.run(WORK)
    with pytest.raises(PermanentError):
        await action.run(WORK)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("SINK/new?token=hunter2", "SINK/new"),
        ("http://user:hunter2@other.example/new#hunter2", "http://other.example/new"),
        ("../new?token=hunter2", "SINK/new"),
        ("http://[hunter2", "an address that cannot be read"),
        ("", "it does not say where"),
    ],
)
async def test_a_redirect_is_told_and_not_followed(
    http_sink: HttpSink, services: Services, location: str, shown: str
) -> None:
    """Without what may be secret in it, and with the way out."""
    headers = {"location": location.replace("SINK", http_sink.url)} if location else {}
    http_sink.answer_next(Answer(308, headers))
    with pytest.raises(PermanentError) as raised:
        await webhook(services, url=f"{http_sink.url}/a/hook").run(WORK)
    message = str(raised.value)
    assert f"a redirect to {shown.replace('SINK', http_sink.url)}, which is not followed" in message
    assert "put the new address into `url`" in message
    assert "hunter2" not in message
    assert len(http_sink.requests) == 1


@pytest.mark.parametrize("kind", ["slack", "teams"])
@pytest.mark.parametrize("status", [302, 404, 429, 500])
async def test_an_answer_that_repeats_the_address_of_a_room_gives_nothing_away(
    http_sink: HttpSink, services: Services, kind: str, status: int
) -> None:
    """Error pages do; and a redirect to another room is a secret, too."""
    room = "/services/T0/B0/hunter2?sig=hunter2"
    said = f"The requested URL {room} or {http_sink.url}{room} or /services/T0/B0/hunter2 was not found, "
    said += "see http://user:hunter2@rooms.example/hunter2"
    http_sink.answer_next(Answer(status, {"location": f"{http_sink.url}/services/hunter2"}, said.encode()))
    found = actions.kind(kind)
    action = found.open(found.config.model_validate({"url": http_sink.url + room}), services)
    with pytest.raises((PermanentError, WebhookFailed)) as raised:
        await action.run(WORK)
    message = str(raised.value)
    assert "hunter2" not in message
    assert message.startswith(f"POST {http_sink.url}/… answered {status} ")
    assert "was not found, see http://rooms.example/…" in message


@pytest.mark.parametrize("kind", ["slack", "teams"])
async def test_a_room_that_cannot_be_reached_gives_nothing_away(
    http_sink: HttpSink, services: Services, kind: str
) -> None:
    """Nor does an exception."""
    http_sink.stop()
    found = actions.kind(kind)
    action = found.open(found.config.model_validate({"url": f"{http_sink.url}/hunter2"}), services)
    with pytest.raises(WebhookFailed, match=f"POST {http_sink.url}/…: ClientConnectorError") as raised:
        await action.run(WORK)
    assert "hunter2" not in str(raised.value)


async def test_a_rotated_secret_verifies_by_both(http_sink: HttpSink, services: Services) -> None:
    """With the package `standardwebhooks`, as a receiver would."""
    new = "whsec_" + SECRET[6:][::-1]
    await webhook(services, url=http_sink.url, secret=[new, SECRET]).run(WORK)
    (request,) = http_sink.requests
    for secret in (new, SECRET):
        assert Verifier(secret).verify(request.body, dict(request.headers))["type"] == "big-order"


async def test_an_answer_without_end_is_read_in_part_only(http_sink: HttpSink, services: Services) -> None:
    """Ten megabytes of error page become one line."""
    http_sink.answer_next(Answer(500, body=b"x" * 10_000_000))
    with pytest.raises(WebhookFailed) as raised:
        await webhook(services, url=http_sink.url).run(WORK)
    assert len(str(raised.value)) < 400


async def test_a_server_that_is_not_there_is_a_failure(http_sink: HttpSink, services: Services) -> None:
    """The message says which one."""
    http_sink.stop()
    with pytest.raises(
        WebhookFailed, match=rf"POST {http_sink.url}/hook: ClientConnectorError: .*{http_sink.port}"
    ):
        await webhook(services, url=f"{http_sink.url}/hook?key=hunter2").run(WORK)


async def test_a_slow_server_is_a_failure(http_sink: HttpSink, services: Services) -> None:
    """After the rule's own timeout."""
    http_sink.answer_next(Answer(delay=30))
    with pytest.raises(WebhookFailed, match=r"no answer within 0\.1 s"):
        await webhook(services, url=http_sink.url, timeout="100ms").run(WORK)


async def test_one_connection_serves_many_requests_of_all_webhooks(
    http_sink: HttpSink, services: Services
) -> None:
    """It is kept, whatever the answer was."""
    http_sink.answer_next(Answer(500, body=b"x" * 1_000))
    with pytest.raises(WebhookFailed):
        await webhook(services, url=f"{http_sink.url}/a").run(WORK)
    for path in ("/a", "/b", "/b"):
        await webhook(services, url=http_sink.url + path).run(WORK)
    assert http_sink.connections == 1


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(
    http_sink: HttpSink, services: Services, method: str
) -> None:
    """As happens when the receiver is restarted: the request goes out once more."""
    action = webhook(services, url=http_sink.url, method=method)
    await action.run(WORK)
    http_sink.stop()
    http_sink.start()
    assert await action.run(WORK) == "200 OK"
    assert [request.headers["webhook-id"] for request in http_sink.requests] == [DELIVERY_ID] * 2


async def test_a_host_gets_so_many_requests_at_once_and_no_more(
    http_sink: HttpSink, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever rules they are of; what waits for its place longer than its timeout has lost nothing."""
    monkeypatch.setattr(http, "REQUESTS_TO_A_HOST", 4)
    http_sink.answer_always(Answer(delay=0.1))
    actions = [webhook(services, url=f"{http_sink.url}/{n}", timeout="250ms") for n in range(24)]
    assert await asyncio.gather(*(action.run(WORK) for action in actions)) == ["200 OK"] * 24
    assert http_sink.most_at_once == 4


async def test_a_slow_host_holds_up_no_other_one(
    http_sink: HttpSink, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host is a name and a port."""
    monkeypatch.setattr(http, "REQUESTS_TO_A_HOST", 1)
    http_sink.answer_path("/slow", Answer(delay=30))
    slow = asyncio.create_task(webhook(services, url=f"{http_sink.url}/slow").run(WORK))
    await eventually(lambda: http_sink.requests)
    other = http_sink.url.replace("127.0.0.1", "localhost")
    assert await webhook(services, url=other).run(WORK) == "200 OK"
    slow.cancel()
