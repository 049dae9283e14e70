"""The action by itself: what it sends, and what it makes of the answers."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from mtrigger_sms import KIND, GatewayFailed, SmsConfig

from mtrigger.actions.base import Work
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError, RetryLater
from mtrigger.templates import Templates


class Gateway:
    """A gateway on a free port of this machine, which answers with `status`."""

    def __init__(self) -> None:
        self.status = 202
        self.url = ""
        self.received: list[tuple[Any, dict[str, str]]] = []

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Keep the message."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append((json.loads(await request.read()), headers))
        return web.Response(status=self.status)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway that takes everything."""
    gateway = Gateway()
    runner = web.ServerRunner(web.Server(gateway.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield gateway
    await runner.cleanup()


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """What mtrigger gives an action."""
    services = Services(Templates(None))
    yield services
    await services.close()


def work(document: dict[str, Any]) -> Work:
    """The first attempt at a delivery for an inserted document."""
    now = datetime(2026, 1, 31, tzinfo=UTC)
    return Work({"document": document, "now": now}, "big-order", "sms", "0123456789abcdef", 1)


def config(gateway: str, to: str = "{{ document.phone }}") -> SmsConfig:
    """Settings of a rule."""
    return SmsConfig.model_validate(
        {"gateway": gateway, "to": to, "text": "Order {{ document._id }}", "token": "secret"}
    )


async def test_a_message_is_sent(gateway: Gateway, services: Services) -> None:
    """With the token, and the same id on every attempt."""
    action = KIND.open(config(gateway.url), services)
    assert await action.run(work({"_id": 7, "phone": "+4912345678"})) == "202 Accepted"
    ((message, headers),) = gateway.received
    assert message == {"to": "+4912345678", "text": "Order 7"}
    assert headers["authorization"] == "Bearer secret"
    assert headers["idempotency-key"] == "0123456789abcdef"


@pytest.mark.parametrize(
    ("status", "error"), [(400, PermanentError), (429, RetryLater), (500, GatewayFailed)]
)
async def test_an_answer_decides(
    gateway: Gateway, services: Services, status: int, error: type[Exception]
) -> None:
    """Never again, later, or as the rule says."""
    gateway.status = status
    with pytest.raises(error):
        await KIND.open(config(gateway.url), services).run(work({"_id": 7, "phone": "+4912345678"}))


async def test_a_number_from_a_document_must_be_one(gateway: Gateway, services: Services) -> None:
    """What documents hold is not to be trusted."""
    with pytest.raises(PermanentError):
        await KIND.open(config(gateway.url), services).run(work({"_id": 7, "phone": "0123\n"}))
    assert gateway.received == []


def test_mistakes_are_found_before_any_event_comes() -> None:
    """With the path that leads to each."""
    found = KIND.mistakes(config("ftp://x", to="0123"), Templates(None))
    assert [mistake.path for mistake in found] == [("to",), ("gateway",)]


async def test_a_preview_shows_no_token(services: Services) -> None:
    """It is shown to whoever tests a rule."""
    preview = KIND.open(config("http://x"), services).preview(work({"_id": 7, "phone": "+4912345678"}))
    assert "secret" not in str(preview)
    assert preview.parts["Text"] == "Order 7"
