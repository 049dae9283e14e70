"""Messages to a real RabbitMQ server: confirmed, refused with a reason, and never lost."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
from aio_pika.abc import AbstractQueue

from mtrigger.actions.breaker import FAILURES
from mtrigger.actions.breakers import DestinationDown
from mtrigger.actions.brokers import MessageNotTaken
from mtrigger.actions.rabbitmq import Rabbitmq, RabbitmqConfig
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.brokers import LOGIN, RABBITMQ_PORT, rabbitmq_queue, taken
from support.faulty_wire import FaultyWire
from support.works import DELIVERY_ID, work_for_document

WORK = work_for_document({"_id": 7, "name": "Ä\nB"})


@pytest.fixture
async def queue() -> AsyncIterator[AbstractQueue]:
    """An empty one."""
    async with rabbitmq_queue() as queue:
        yield queue


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """Closed afterwards."""
    services = Services(Templates(None))
    yield services
    await services.close()


@pytest.fixture
def wire() -> Iterator[FaultyWire]:
    """To the server."""
    with closing(FaultyWire(RABBITMQ_PORT)) as wire:
        yield wire


def action(services: Services, queue: str, port: int = RABBITMQ_PORT, **settings: object) -> Rabbitmq:
    """One that publishes to `queue`."""
    usual = {"url": f"amqp://{LOGIN}@127.0.0.1:{port}/", "routing_key": queue}
    return Rabbitmq(RabbitmqConfig.model_validate({**usual, **settings}), services)


async def test_a_message_arrives_with_its_id_and_is_confirmed(
    services: Services, queue: AbstractQueue
) -> None:
    """It holds what a webhook would post, and outlives the broker's restart."""
    assert await action(services, queue.name, headers={"who": "{{ document.name }}"}).run(WORK) == "confirmed"
    (message,) = await taken(queue)
    assert (message.message_id, message.content_type) == (DELIVERY_ID, "application/json")
    assert (message.delivery_mode, message.headers) == (2, {"who": "Ä\nB"})
    assert json.loads(message.body)["data"]["document"] == {"_id": 7, "name": "Ä\nB"}


@pytest.mark.parametrize(
    ("message", "body", "kind"),
    [
        ("{{ document }}", b'{"_id": 7, "name": "\xc3\x84\\nB"}', "application/json"),
        ("No {{ document._id }}", b"No 7", "text/plain; charset=utf-8"),
        ({"n": "{{ document._id }}"}, b'{"n": 7}', "application/json"),
    ],
    ids=["document", "text", "mapping"],
)
async def test_the_rule_says_what_is_sent(
    services: Services, queue: AbstractQueue, message: object, body: bytes, kind: str
) -> None:
    """Text, a mapping, or the document."""
    await action(services, queue.name, message=message, persistent=False).run(WORK)
    (found,) = await taken(queue)
    assert (found.body, found.content_type, found.delivery_mode) == (body, kind, 1)


async def test_a_message_that_reaches_no_queue_has_failed(services: Services, queue: AbstractQueue) -> None:
    """It is tried again, since consumers make the queues; unless it may be lost."""
    with pytest.raises(MessageNotTaken, match=r"no queue takes it .*bind a queue"):
        await action(services, f"{queue.name}-not").run(WORK)
    assert await action(services, f"{queue.name}-not", mandatory=False).run(WORK) == "confirmed"


async def test_an_exchange_that_is_not_there(services: Services, queue: AbstractQueue) -> None:
    """It fails its own messages for good, and costs the others nothing."""
    wrong = action(services, "x", exchange=f"{queue.name}-not")
    good = action(services, queue.name)
    outcomes = await asyncio.gather(wrong.run(WORK), good.run(WORK), wrong.run(WORK), return_exceptions=True)
    assert outcomes[1] == "confirmed"
    for outcome in (outcomes[0], outcomes[2]):
        assert isinstance(outcome, PermanentError)
        assert f"no exchange '{queue.name}-not'" in str(outcome)
    assert await good.run(WORK) == "confirmed"
    assert len(await taken(queue)) == 2


async def test_a_queue_that_is_full_answers_with_a_nack(services: Services, queue: AbstractQueue) -> None:
    """The message is tried again later."""
    name = f"{queue.name}-full"
    channel = await queue.channel.get_underlay_channel()
    await channel.queue_declare(name, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    made = action(services, name)
    await made.run(WORK)
    with pytest.raises(MessageNotTaken, match="nack"):
        await made.run(WORK)
    await channel.queue_delete(name)


async def test_a_connection_that_is_cut_is_made_again(
    services: Services, queue: AbstractQueue, wire: FaultyWire
) -> None:
    """At once, and it is no failure; one connection serves all."""
    made = action(services, queue.name, wire.port)
    await asyncio.gather(*(made.run(WORK) for _ in range(50)))
    assert wire.opened == 1
    wire.cut()
    await made.run(WORK)
    assert wire.opened == 2
    assert len(await taken(queue)) == 51


async def test_a_confirmation_that_never_comes(
    services: Services, queue: AbstractQueue, wire: FaultyWire
) -> None:
    """Fails the attempt; the next one takes another connection, and the id tells the repeat."""
    await action(services, queue.name, wire.port).run(WORK)
    wire.drop_replies()
    with pytest.raises(MessageNotTaken, match=r"no confirmation within 0\.1 s"):
        await action(services, queue.name, wire.port, timeout="100ms").run(WORK)
    wire.heal()
    assert await action(services, queue.name, wire.port).run(WORK) == "confirmed"
    assert {message.message_id for message in await taken(queue)} == {DELIVERY_ID}


async def test_a_server_that_is_away_is_left_alone(
    services: Services, queue: AbstractQueue, wire: FaultyWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few failures deliveries wait, until somebody gets through again."""
    monkeypatch.setattr("mtrigger.actions.breaker.FIRST_PAUSE", 0.01)
    made = action(services, queue.name, wire.port)
    wire.refuse()
    for _ in range(FAILURES):
        with pytest.raises(
            MessageNotTaken, match=f"amqp://guest@127.0.0.1:{wire.port}: .*Connect call failed"
        ):
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

    assert await through() == "confirmed"


@pytest.mark.parametrize(
    ("login", "password", "told"),
    [
        ("guest:s3cret@127.0.0.1:PORT/", "s3cret", "cannot log in .*check the user and the password"),
        ("guest:guest@127.0.0.1:PORT/not-there", "guest:guest", "is there a virtual host"),
    ],
    ids=["password", "virtual host"],
)
async def test_a_login_that_is_refused_says_so_without_the_password(
    services: Services,
    queue: AbstractQueue,
    caplog: pytest.LogCaptureFixture,
    login: str,
    password: str,
    told: str,
) -> None:
    """It is tried again: passwords are rotated."""
    caplog.set_level(logging.DEBUG)
    url = f"amqp://{login.replace('PORT', str(RABBITMQ_PORT))}"
    made = action(services, queue.name, url=url)
    with pytest.raises(MessageNotTaken, match=told) as raised:
        await made.run(WORK)
    shown = f"{raised.value}{made.preview(WORK)}{caplog.text}"
    assert password not in shown
