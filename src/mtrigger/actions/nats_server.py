"""A NATS server with JetStream: how to log in there, and messages over one connection.

Promises: a message counts as taken when a stream says that it has it; when the connection ends, all who wait
for that are told at once; an address that is to be encrypted never gets a word in plain, whatever the server
says before.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from nats.aio.client import Client
    from nats.js.errors import APIError

MESSAGE_ID, EXPECTED_STREAM = "Nats-Msg-Id", "Nats-Expected-Stream"

_PING_SECONDS = 20
_CLOSE_SECONDS = 1.0
_LONGEST_WAIT = 3600.0
_WRONG_FOR_NOW = frozenset({408, 409, 429})
"""Codes below 500 that say nothing against the message itself."""


@dataclass(frozen=True, slots=True)
class NatsMessage:
    """A message, ready to be sent: its headers name its id and the stream it is for."""

    subject: str
    body: bytes
    headers: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes that count against the server's `max_payload`: those of the headers do."""
        lines = sum(len(name.encode()) + len(value.encode()) + 4 for name, value in self.headers.items())
        return len("NATS/1.0\r\n\r\n") + lines + len(self.body)


@dataclass(frozen=True, slots=True)
class NatsServer:
    """Where it is, and one way to log in: none of them is ever shown but the user."""

    addresses: tuple[Address, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    nkey: str = field(default="", repr=False)
    credentials: Path | None = None
    certificates: Certificates = field(default_factory=Certificates)

    @property
    def destination(self) -> str:
        """`nats://user@host:4222`."""
        first = self.addresses[0]
        user = self.user or (first.user if first.password else "")  # a user alone is a token
        return destination_of("tls" if first.encrypted else "nats", user, self.addresses)

    async def connect(self) -> "NatsConnection":
        """A new connection. Raises BrokerDown."""
        return await first_that_answers(self.addresses, self._connect)

    async def _connect(self, address: Address) -> "NatsConnection":
        import nats.errors

        encryption = await asyncio.to_thread(self.certificates.context) if address.encrypted else None
        client = _client_class()()
        connection = NatsConnection(client)
        try:
            await client.connect(
                f"nats://{address.place}",
                name="mtrigger",
                allow_reconnect=False,  # the next message makes a new connection, as soon as it is due
                connect_timeout=int(CONNECT_SECONDS),
                ping_interval=_PING_SECONDS,
                tls=encryption,
                tls_hostname=address.host if encryption is not None else None,
                error_cb=connection.told,
                closed_cb=connection.closed,
                **self._login(address),
            )
        except BaseException as error:
            await connection.close()
            if isinstance(error, nats.errors.Error | ssl.SSLError | ValueError):
                raise BrokerDown(_refused(error)) from error
            raise
        connection.established()
        return connection

    def _login(self, address: Address) -> dict[str, Any]:
        if self.credentials is not None:
            return {"user_credentials": self.credentials}
        if self.nkey:
            return {"nkeys_seed_str": self.nkey}
        token = self.token or ("" if address.password else address.user)
        if token and not self.user:
            return {"token": token}
        user, password = (self.user, self.password) if self.user else (address.user, address.password)
        return {"user": user, "password": password} if user else {}


class NatsConnection:
    """One connection for many messages at the same time."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._established = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting: dict[asyncio.Future[str], str] = {}

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as is known."""
        return not self._ended.done() and self._client.is_connected

    def established(self) -> None:
        """From now on errors concern single messages, or end it."""
        self._established = True

    async def told(self, error: Exception) -> None:
        """What goes wrong beside what is asked for: before it is established that ends the attempt, since the
        client would go on for ever; later it may be about the subject of a message."""
        if not self._established:
            raise error
        text = str(error)
        if "permissions violation" in text:
            for refusal, subject in self._waiting.items():
                if f'"{subject.lower()}"' in text and not refusal.done():
                    refusal.set_result(in_one_line(text))

    async def closed(self) -> None:
        """It has ended, whoever wanted it."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def publish(self, message: NatsMessage) -> str:
        """Hand it over; the stream and its number there. Raises Interrupted, MessageNotTaken or
        PermanentError."""
        if message.size > self._client.max_payload:  # the server would end the connection
            raise PermanentError(
                f"the message has {message.size:,} bytes, more than the {self._client.max_payload:,} that "
                "the server takes (its `max_payload`)"
            )
        refusal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[refusal] = message.subject
        publishing = asyncio.ensure_future(self._publish(message))
        publishing.add_done_callback(_noted)
        try:
            await asyncio.wait((publishing, refusal, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if publishing.done():
                return publishing.result()
            if refusal.done():
                raise PermanentError(f"the server does not allow it: {refusal.result()}")
            raise Interrupted(in_one_line(self._client.last_error or "the server has closed it"))
        finally:
            publishing.cancel()
            del self._waiting[refusal]

    async def close(self) -> None:
        """End it."""
        with suppress(Exception):  # how the farewell goes changes nothing
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()
        await self.closed()

    async def _publish(self, message: NatsMessage) -> str:
        import nats.errors
        import nats.js.errors

        try:
            answer = await self._client.jetstream().publish(
                message.subject, message.body, headers=dict(message.headers), timeout=_LONGEST_WAIT
            )
        except nats.js.errors.NoStreamResponseError:
            raise await self._no_stream(message.subject) from None
        except nats.js.errors.APIError as error:
            raise _judged(error) from error
        except (nats.errors.Error, OSError) as error:
            raise Interrupted(reason_of(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise PermanentError(
                f"what answers on the subject {message.subject} is no stream: choose another subject"
            ) from error
        duplicate = ", which had it already" if answer.duplicate else ""
        return f"stream {answer.stream}, message {answer.seq}{duplicate}"

    async def _no_stream(self, subject: str) -> Exception:
        """Nobody has answered: there is no stream for the subject, or it is without a leader just now."""
        import nats.errors
        import nats.js.errors

        try:
            name = await self._client.jetstream().find_stream_name_by_subject(subject)
        except nats.js.errors.NotFoundError:
            return PermanentError(
                f"no stream takes the subject {subject}: make one that does "
                "(`nats stream add`), then `mtrigger deliveries retry`"
            )
        except (nats.errors.Error, OSError, ValueError) as error:
            return MessageNotTaken(f"JetStream does not answer on {subject}: {reason_of(error)}")
        return MessageNotTaken(f"the stream {name} does not answer for now")


def _judged(error: "APIError") -> Exception:
    """What the refusal of a stream means."""
    text = in_one_line(f"{error.description} (code {error.code}, {error.err_code})")
    if error.code is None or error.code >= 500 or error.code in _WRONG_FOR_NOW:
        return MessageNotTaken(f"the stream does not take it for now: {text}")
    return PermanentError(f"the stream refuses it: {text}")


def _refused(error: BaseException) -> str:
    reason = reason_of(error)
    if "authoriz" in reason.lower() or "authentic" in reason.lower():
        return f"cannot log in ({reason}): check user and secrets; messages wait and are tried again"
    return f"cannot connect: {reason}"


def _noted(publishing: "asyncio.Task[str]") -> None:
    """What comes of it when nobody waits any more is no news."""
    if not publishing.cancelled():
        publishing.exception()


@cache
def _client_class() -> "type[Client]":
    from nats.aio.client import Client

    silence("nats")

    class EncryptedIfMeant(Client):
        """Encrypts where a context for it was given: the client itself only does when the server, in plain,
        asks for it, and would send the login in plain to whoever does not."""

        async def _process_info(self, info: dict[str, Any], *more: Any, **named: Any) -> None:
            if "tls" in self.options:
                info["tls_required"] = True
            await super()._process_info(info, *more, **named)

    return EncryptedIfMeant
