"""Handing messages to a broker that confirms them: one connection for each broker and login, and what each
failure means.

* No connection, a refused login or certificate, no confirmation in time: `BrokerDown` or `MessageNotTaken`,
  which the breaker of the broker counts (`breakers.py`); once that is open, `publish` raises
  `DestinationDown` before it sends anything. A login is among them because passwords are rotated.
* A connection that breaks before the confirmation is no failure by itself: the message goes out again, on
  another one and with the same id.
* A broker that takes no such message for now: `MessageNotTaken`, to be tried again. Never: `PermanentError`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from mtrigger.actions.breakers import Breakers, Reaching
from mtrigger.actions.broker_addresses import Address
from mtrigger.actions.kept_connection import Connection, KeptConnection
from mtrigger.errors import PermanentError
from mtrigger.redaction import redact_uri

MESSAGES_AT_ONCE = 200
"""Messages that may wait for the confirmation of one broker; further ones wait for a place."""
CONNECT_SECONDS = 10.0
_TRIES = 3
_SHOWN_REPLY = 300


class MessageNotTaken(Exception):  # noqa: N818 - says what is the case, like MailNotSent
    """The broker did not take it this time; the retry policy decides what becomes of it."""


class BrokerDown(MessageNotTaken):
    """It would not have taken any other message either."""


class Interrupted(Exception):  # noqa: N818 - no error when the next connection is better
    """The connection, or what the message went over, ended before the confirmation."""


ConnectionT = TypeVar("ConnectionT", bound=Connection)
ConnectionT_co = TypeVar("ConnectionT_co", bound=Connection, covariant=True)


class Server(Protocol[ConnectionT_co]):
    """A broker and how to log in there; equal ones share a connection, so they can be hashed."""

    @property
    def destination(self) -> str:
        """What people are shown of it, and what its breaker is called: no secrets."""
        ...

    async def connect(self) -> ConnectionT_co:
        """A new connection. Raises BrokerDown."""
        ...


class Broker(Generic[ConnectionT]):
    """All that is published to one broker with one login."""

    def __init__(self, server: Server[ConnectionT], breakers: Breakers) -> None:
        self.destination = server.destination
        self._breakers = breakers
        self._places = asyncio.Semaphore(MESSAGES_AT_ONCE)
        self._kept = KeptConnection(server.connect)

    async def publish(self, send: Callable[[ConnectionT], Awaitable[str]], seconds: float) -> str:
        """What `send` returns, which hands over one message within `seconds`, as often as it takes. It raises
        Interrupted, PermanentError or MessageNotTaken. Raises those two and DestinationDown."""
        self._breakers.check(self.destination)
        async with self._places:
            with self._breakers.reaching(self.destination) as attempt:
                return await self._publish(attempt, send, seconds)

    async def close(self) -> None:
        """End the connection. No message may be under way any more."""
        await self._kept.close()

    async def _publish(
        self, attempt: Reaching, send: Callable[[ConnectionT], Awaitable[str]], seconds: float
    ) -> str:
        try:
            async with asyncio.timeout(seconds):
                answer = await self._until_confirmed(send)
        except TimeoutError:
            why = f"no confirmation within {seconds:g} s"
            attempt.failed(why)
            raise MessageNotTaken(f"{self.destination}: {why}") from None
        except BrokerDown as down:
            attempt.failed(str(down))
            raise MessageNotTaken(f"{self.destination}: {down}") from down
        except (MessageNotTaken, PermanentError):
            attempt.reached()
            raise
        attempt.reached()
        return answer

    async def _until_confirmed(self, send: Callable[[ConnectionT], Awaitable[str]]) -> str:
        why = ""
        for _ in range(_TRIES):
            async with self._kept.use() as connection:
                try:
                    return await send(connection)
                except Interrupted as interrupted:
                    why = str(interrupted)
                except (asyncio.CancelledError, TimeoutError):
                    self._kept.give_up(connection)  # it may be dead, and nobody tells
                    raise
        raise BrokerDown(f"the connection broke before the confirmation: {why}")


async def first_that_answers(
    addresses: Sequence[Address], connect: Callable[[Address], Awaitable[ConnectionT]]
) -> ConnectionT:
    """A connection to the first of `addresses` that gives one. Raises BrokerDown with the reasons of all."""
    reasons = []
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await connect(address)
        except TimeoutError:
            reasons.append((address.place, f"cannot connect within {CONNECT_SECONDS:g} s"))
        except (BrokerDown, OSError) as error:
            reasons.append((address.place, reason_of(error)))
    if len(reasons) == 1:
        raise BrokerDown(reasons[0][1])
    raise BrokerDown("; ".join(f"{place}: {reason}" for place, reason in reasons))


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line without secrets, with the way out where there is one."""
    import ssl

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted: {cause.verify_message}; "
                "give the authority that signed it with `tls: {ca: file.pem}`"
            )
        cause = cause.__cause__ or cause.__context__
    return in_one_line(str(error)) or type(error).__name__


def silence(*libraries: str) -> None:
    """Keep what clients log out of our log: it names addresses, and each delivery's own log says it all."""
    for name in libraries:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else Python prints it


def in_one_line(text: Any) -> str:
    """One printable line: a broker's answer is foreign text."""
    line = redact_uri(" ".join("".join(c if c.isprintable() else " " for c in str(text)).split()))
    return line if len(line) <= _SHOWN_REPLY else line[:_SHOWN_REPLY] + "…"
