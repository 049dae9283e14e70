"""Messages to a real NATS server with JetStream: taken once, refused with a reason, and never lost."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest

from mtrigger.actions.breaker import FAILURES
from mtrigger.actions.breakers import DestinationDown
from mtrigger.actions.brokers import MessageNotTaken
from mtrigger.actions.nats import Nats, NatsConfig
from mtrigger.actions.nats_server import NatsServer
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.brokers import NATS_PORT, Stream, nats_stream
from support.faulty_wire import FaultyWire
from support.works import DELIVERY_ID, work_for_document

WORK = work_for_document({"_id": 7, "country": "de", "name": "Ä"})


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    """An empty one."""
    async with nats_stream() as stream:
        yield stream


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """Closed afterwards."""
    services = Services(Templates(None))
    yield services
    await services.close()


@pytest.fixture
def wire() -> Iterator[FaultyWire]:
    """To the server."""
    with closing(FaultyWire(NATS_PORT)) as wire:
        yield wire


def action(services: Services, to: Stream, port: int = NATS_PORT, **settings: object) -> Nats:
    """One that publishes to a stream."""
    url = f"nats://127.0.0.1:{port}"
    usual = {"url": url, "subject": f"{to.name}.{{{{ document.country }}}}"}
    return Nats(NatsConfig.model_validate({**usual, **settings}), services)


async def test_a_message_arrives_with_its_id_and_is_confirmed(services: Services, stream: Stream) -> None:
    """It holds what a webhook would post, or what the rule says."""
    assert await action(services, stream).run(WORK) == f"stream {stream.name}, message 1"
    ((subject, headers, body),) = await stream.messages()
    assert (subject, headers) == (f"{stream.name}.de", {"Nats-Msg-Id": DELIVERY_ID})
    assert json.loads(body)["data"]["document"] == {"_id": 7, "country": "de", "name": "Ä"}


async def test_the_same_delivery_twice_is_one_message(services: Services, stream: Stream) -> None:
    """Within the stream's own window for duplicates."""
    headers = {"who": "{{ document.country }}"}
    made = action(services, stream, message={"n": "{{ document._id }}"}, headers=headers)
    await made.run(WORK)
    assert (await made.run(WORK)).endswith("message 1, which had it already")
    ((_, sent, body),) = await stream.messages()
    assert (json.loads(body), sent["who"]) == ({"n": 7}, "de")


async def test_what_is_refused_for_good_says_why(services: Services, stream: Stream) -> None:
    """A stream that is not the expected one, a subject that none takes, a message too large. None of them
    costs the others their connection."""
    refusals = {
        "expected stream does not match": action(services, stream, stream="another"),
        "no stream takes the subject": action(services, stream, subject=f"{stream.name}-not.x"),
        "more than the": action(services, stream, message="x" * 1_048_576),
        "a header cannot hold line breaks": action(
            services, stream, headers={"x": "{{ 'a\\r\\nNats-Rollup: all' }}"}
        ),
        "begins the subjects of the server itself": action(services, stream, subject="{{ '$JS' }}.API.INFO"),
        "wildcards": action(services, stream, subject=f"{stream.name}.{{{{ '>' }}}}"),
    }
    good = action(services, stream)
    await good.run(WORK)
    for reason, refused in refusals.items():
        with pytest.raises(PermanentError, match=reason.replace("$", r"\$")):
            await refused.run(WORK)
    assert await stream.count() == 1
    assert (await good.run(WORK)).endswith("already")


async def test_a_connection_that_is_cut_is_made_again(
    services: Services, stream: Stream, wire: FaultyWire
) -> None:
    """At once, and it is no failure; one connection serves all."""
    made = action(services, stream, wire.port)
    await asyncio.gather(*(made.run(WORK) for _ in range(50)))
    assert wire.opened == 1
    wire.cut()
    assert (await made.run(WORK)).endswith("already")
    assert (wire.opened, await stream.count()) == (2, 1)


async def test_a_confirmation_that_never_comes(services: Services, stream: Stream, wire: FaultyWire) -> None:
    """Fails the attempt; the next one takes another connection, and the stream has the message once."""
    await action(services, stream, wire.port).run(work_for_document({"_id": 0, "country": "fr"}))
    wire.drop_replies()
    with pytest.raises(MessageNotTaken, match=r"no confirmation within 0\.1 s"):
        await action(services, stream, wire.port, timeout="100ms").run(WORK)
    wire.heal()
    await action(services, stream, wire.port).run(WORK)
    assert await stream.count() == 1


async def test_a_server_that_is_away_is_left_alone(
    services: Services, stream: Stream, wire: FaultyWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few failures deliveries wait, until somebody gets through again."""
    monkeypatch.setattr("mtrigger.actions.breaker.FIRST_PAUSE", 0.01)
    made = action(services, stream, wire.port)
    wire.refuse()
    for _ in range(FAILURES):
        with pytest.raises(MessageNotTaken, match=f"nats://127.0.0.1:{wire.port}: .*Connect call failed"):
            await made.run(WORK)
    with pytest.raises(DestinationDown):
        await made.run(WORK)
    wire.heal()

    async def through() -> str:
        while True:
            try:
                return await made.run(WORK)
            except DestinationDown as down:
                await asyncio.sleep(down.retry_in)

    assert (await through()).endswith("message 1")


async def test_secrets_are_not_shown(
    services: Services, stream: Stream, wire: FaultyWire, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of the address nor of a token, in errors, previews, settings or logs."""
    caplog.set_level(logging.DEBUG)
    secrets = [
        {"url": f"nats://shop:s3cret@127.0.0.1:{wire.port}"},
        {"url": f"nats://s3cret@127.0.0.1:{wire.port}"},
        {"token": "s3cret"},
    ]
    wire.refuse()
    for settings in secrets:
        made = action(services, stream, wire.port, **settings)
        with pytest.raises(MessageNotTaken) as raised:
            await made.run(WORK)
        config = NatsConfig.model_validate({"url": "nats://x", "subject": "x", **settings})
        told = [str(raised.value), str(made.preview(WORK)), repr(config), repr(config.server())]
        assert "s3cret" not in "".join(told) + caplog.text


async def test_an_encrypted_address_is_never_spoken_to_in_plain(stream: Stream, wire: FaultyWire) -> None:
    """Also when the server, or whoever stands between, offers no encryption."""
    config = NatsConfig.model_validate({"url": f"tls://u:p@127.0.0.1:{wire.port}", "subject": "x"})
    server: NatsServer = config.server()
    with pytest.raises(MessageNotTaken, match="SSL"):
        await server.connect()
