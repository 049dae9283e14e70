"""Brokers that stand on their usual loopback ports, and names there that nobody else uses.

A test that needs one is skipped where there is none, and fails in CI, where there has to be one.
"""

import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import aio_pika
import nats
import pytest
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from nats.aio.client import Client
from nats.js import JetStreamContext

NATS_PORT, RABBITMQ_PORT = 4222, 5672
LOGIN = "guest:guest"


def broker_or_skip(name: str, port: int) -> None:
    """Skip the test unless something listens on `port`."""
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=2)):
            return
    except OSError as error:
        reason = f"no {name} on 127.0.0.1:{port}: {error}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Stream:
    """A stream of JetStream with a subject of its own: `name` and all below it."""

    def __init__(self, client: Client) -> None:
        self.name = f"mtrigger-test-{uuid.uuid4().hex[:12]}"
        self.context: JetStreamContext = client.jetstream()

    async def make(self) -> None:
        """Make it (again)."""
        await self.context.add_stream(name=self.name, subjects=[f"{self.name}.>"])

    async def drop(self) -> None:
        """Delete it with all it holds."""
        await self.context.delete_stream(self.name)

    async def count(self) -> int:
        """How many messages it holds."""
        return (await self.context.stream_info(self.name)).state.messages

    async def messages(self) -> list[tuple[str, dict[str, str], bytes]]:
        """Subject, headers and body of each, in order."""
        found = [await self.context.get_msg(self.name, seq) for seq in range(1, await self.count() + 1)]
        return [(msg.subject or "", dict(msg.headers or {}), msg.data or b"") for msg in found]


@asynccontextmanager
async def nats_stream() -> AsyncIterator[Stream]:
    """An empty stream, gone afterwards."""
    broker_or_skip("NATS", NATS_PORT)
    client = await nats.connect(f"nats://127.0.0.1:{NATS_PORT}", allow_reconnect=False)
    stream = Stream(client)
    await stream.make()
    try:
        yield stream
    finally:
        await stream.drop()
        await client.close()


async def taken(queue: AbstractQueue) -> list[AbstractIncomingMessage]:
    """All messages that are in the queue, taken out of it."""
    found = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        found.append(message)
    return found


@asynccontextmanager
async def rabbitmq_queue() -> AsyncIterator[AbstractQueue]:
    """An empty queue, gone afterwards."""
    broker_or_skip("RabbitMQ", RABBITMQ_PORT)
    connection = await aio_pika.connect(f"amqp://{LOGIN}@127.0.0.1:{RABBITMQ_PORT}/")
    channel = await connection.channel()
    queue = await channel.declare_queue(f"mtrigger-test-{uuid.uuid4().hex[:12]}")
    try:
        yield queue
    finally:
        await queue.delete(if_unused=False, if_empty=False)
        await connection.close()
