"""A RabbitMQ server: how to log in there, and messages over one connection, each confirmed.

Promises: a message counts as taken when the broker confirms it; and whatever closes a channel harms nobody
but the message that it is about. Each exchange has a channel of its own, and those who lose it because of
somebody else's message send theirs again.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mtrigger.actions.broker_addresses import Address, Certificates, destination_of
from mtrigger.actions.brokers import (
    CONNECT_SECONDS,
    BrokerDown,
    Interrupted,
    MessageNotTaken,
    first_that_answers,
    in_one_line,
    reason_of,
    silence,
)
from mtrigger.errors import PermanentError

if TYPE_CHECKING:
    import aio_pika
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

_CLOSE_SECONDS = 3.0
_TOPIC = re.compile(r"\btopic '(.*?)' in exchange\b")
_SIZE = re.compile(r"\bmessage size (\d+)\b")


@dataclass(frozen=True, slots=True)
class RabbitmqMessage:
    """A message, ready to be sent. One that is `mandatory` has failed when it reaches no queue."""

    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, str]
    id: str
    content_type: str
    mandatory: bool = True
    persistent: bool = True


@dataclass(frozen=True, slots=True)
class RabbitmqServer:
    """Where it is, and how to log in: `user` and `password` hold where an address has none of its own."""

    addresses: tuple[Address, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    certificates: Certificates = field(default_factory=Certificates)

    @property
    def destination(self) -> str:
        """`amqp://user@host:5672`, with the virtual host where it has a name."""
        first = self.addresses[0]
        path = first.path if first.path != "/" else ""
        return destination_of(
            "amqps" if first.encrypted else "amqp", self.user or first.user, self.addresses, path
        )

    async def connect(self) -> "RabbitmqConnection":
        """A new connection. Raises BrokerDown."""
        return await first_that_answers(self.addresses, self._connect)

    async def _connect(self, address: Address) -> "RabbitmqConnection":
        import aio_pika
        from aio_pika.exceptions import (
            AMQPError,
            AuthenticationError,
            InvalidFrameError,
            ProbableAuthenticationError,
        )

        silence("aio_pika", "aiormq")
        user, password = (self.user, self.password) if self.user else (address.user, address.password)
        encryption = await asyncio.to_thread(self.certificates.context) if address.encrypted else None
        try:
            connection = await aio_pika.connect(
                host=address.host,
                port=address.port,
                login=user or "guest",
                password=password if user else "guest",
                virtualhost=address.path or "/",
                ssl=address.encrypted,
                ssl_context=encryption,
                timeout=CONNECT_SECONDS,
                client_properties={"connection_name": "mtrigger"},
            )
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise BrokerDown(
                f"cannot log in ({in_one_line(error)}): check the user and the password; "
                "messages wait and are tried again"
            ) from error
        except InvalidFrameError as error:  # what the server says is lost there
            raise BrokerDown(
                f"the server ends the connection: is there a virtual host `{address.path or '/'}`, and may "
                "the user go there?"
            ) from error
        except (AMQPError, RuntimeError, EOFError) as error:
            raise BrokerDown(f"cannot connect: {reason_of(error)}") from error
        return RabbitmqConnection(connection)


class RabbitmqConnection:
    """One connection for many messages at the same time."""

    def __init__(self, connection: "AbstractConnection") -> None:
        self._connection = connection
        self._channels: dict[str, tuple[AbstractChannel, AbstractExchange]] = {}
        self._opening = asyncio.Lock()
        self._broken = False

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as is known."""
        return not self._broken and self._connection.connected.is_set() and not self._connection.is_closed

    async def publish(self, message: RabbitmqMessage) -> str:
        """Hand it over; what the broker says. Raises Interrupted, MessageNotTaken or PermanentError."""
        from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed, DeliveryError, PublishError

        try:
            exchange = await self._exchange(message.exchange)
            await exchange.publish(_as_sent(message), message.routing_key, mandatory=message.mandatory)
        except PublishError as error:
            raise MessageNotTaken(
                f"no queue takes it ({in_one_line(error.args[0])}): exchange `{message.exchange}`, routing "
                f"key `{message.routing_key}`; bind a queue, or write `mandatory: false` if it may be lost"
            ) from error
        except DeliveryError as error:
            raise MessageNotTaken("the broker does not take it for now (it answers with a nack)") from error
        except ChannelClosed as error:
            text = in_one_line(error)
            if concerns(text, message):
                raise PermanentError(f"the broker refuses it: {text}") from error
            raise Interrupted(text) from error
        except CONNECTION_EXCEPTIONS as error:
            self._broken = True  # the client itself takes a moment to see it
            raise Interrupted(reason_of(error)) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._broken = True
            raise Interrupted("the connection has ended") from error  # what the client says to those who wait
        return "confirmed"

    async def close(self) -> None:
        """End it."""
        with suppress(Exception):  # how the farewell goes changes nothing
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._connection.close()

    async def _exchange(self, name: str) -> "AbstractExchange":
        async with self._opening:
            found = self._channels.get(name)
            if found is None or found[0].is_closed:
                channel = self._connection.channel(publisher_confirms=True, on_return_raises=True)
                await channel.initialize()
                exchange = (
                    await channel.get_exchange(name, ensure=False) if name else channel.default_exchange
                )
                found = self._channels[name] = (channel, exchange)
            return found[1]


def concerns(text: str, message: RabbitmqMessage) -> bool:
    """Whether a channel was closed, with this text, because of `message`: a topic or a size names one of
    those that went over the channel, everything else holds for all of them."""
    if topic := _TOPIC.search(text):
        return topic[1] == message.routing_key
    if size := _SIZE.search(text):
        return int(size[1]) == len(message.body)
    return True


def _as_sent(message: RabbitmqMessage) -> "aio_pika.Message":
    import aio_pika

    return aio_pika.Message(
        message.body,
        headers=dict(message.headers),
        content_type=message.content_type,
        delivery_mode=aio_pika.DeliveryMode(2 if message.persistent else 1),
        message_id=message.id,
        app_id="mtrigger",
    )
