"""Handing mails to a mail server: kept connections, and which failure means what.

Keeps the promise that nobody is mailed twice unless the connection breaks between the end of a mail and the
server's answer, where SMTP itself cannot tell (RFC 1047). Such a repetition carries the same Message-ID.

* No connection, no greeting, a refused login or certificate, a connection lost before the answer, 421:
  `ServerDown`, which the breaker of the server counts (`breakers.py`). Once it is open, `send` raises
  `DestinationDown` before it makes a connection.
* 4xx, a lost connection, a timeout, a refused login or certificate: `MailNotSent`, to be tried again. A login
  is among them because passwords are rotated, and the mails of that hour must not be lost.
* 5xx: `PermanentError`, naming who or what was refused.
* Some recipients refused: if only for good (5xx), the others get the mail and the answer names the refused.
  If one of them only for now (4xx), nobody gets it yet and all are tried again together, because a later
  attempt cannot know who has it already. Recipients that must not wait for each other belong into actions of
  their own.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from mtrigger.actions.breakers import Breakers, Reaching
from mtrigger.actions.smtp_connecting import Connecting, Connection, MailNotSent, ServerDown
from mtrigger.actions.smtp_conversation import SERVICE_NOT_AVAILABLE, Answer, Conversation
from mtrigger.actions.smtp_replies import Refusal, listed, means_down, reason_of
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.errors import PermanentError

__all__ = ["MailNotSent", "SmtpPool", "SmtpServer"]

MAILS_PER_CONNECTION = 100
IDLE_SECONDS = 60.0
"""A kept connection is closed after this long without a mail."""

_DATA_SECONDS = 600.0
"""How long the answer to a mail may take (RFC 5321, 4.5.3.2.6): giving up earlier makes doubles."""
_QUIT_SECONDS = 2.0

_COMPLETED, _WILL_FORWARD, _START_OF_TEXT = 250, 251, 354
_AUTHENTICATION_REQUIRED = 530


class _ConnectionGone(Exception):  # noqa: N818 - not an error when the connection was a kept one
    """The server closed the connection before the mail was handed over: nobody got it."""


class SmtpPool:
    """Connections to one server, at most `server.connections`, reused one mail after the other."""

    def __init__(self, server: SmtpServer, breakers: Breakers) -> None:
        self.server = server
        self._name = server.place
        # With the user: an account that is locked out must not hold up the mails of another one.
        user = f"{server.user}@" if server.user else ""
        self._destination = f"smtp://{user}{self._name}"
        self._breakers = breakers
        self._places = asyncio.Semaphore(server.connections)
        self._idle: list[Connection] = []
        self._connecting = Connecting(server)
        self._closed = False

    async def send(self, sender: str, recipients: Sequence[str], message: bytes) -> str:
        """Hand `message` over for `recipients`, and return the server's answer ("250 2.0.0 OK …").

        Addresses are bare (`user@host`). Raises MailNotSent, PermanentError or DestinationDown; see the
        module.
        """
        self.check()
        async with self._places:
            with self._breakers.reaching(self._destination) as attempt:
                return await self._send(attempt, sender, recipients, message)

    def check(self) -> None:
        """Raise DestinationDown if `send` would do so at this moment."""
        self._breakers.check(self._destination)

    async def _send(self, attempt: Reaching, sender: str, recipients: Sequence[str], message: bytes) -> str:
        try:
            answer = await self._over_a_connection(sender, recipients, message)
        except ServerDown as down:
            attempt.failed(str(down).removeprefix(f"{self._name}: "))
            raise
        except (MailNotSent, PermanentError):
            attempt.reached()
            raise
        attempt.reached()
        return answer

    async def _over_a_connection(self, sender: str, recipients: Sequence[str], message: bytes) -> str:
        while self._idle:
            connection = self._idle.pop()
            if connection.closing is not None:
                connection.closing.cancel()
            with contextlib.suppress(_ConnectionGone):  # the server closed it meanwhile: take another
                return await self._use(connection, sender, recipients, message)
        try:
            return await self._use(await self._connecting.connect(), sender, recipients, message)
        except _ConnectionGone as gone:
            raise ServerDown(f"{self._name}: {gone}") from gone

    async def close(self) -> None:
        """Say goodbye on the connections that are idle; those in use are closed after their mail."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(self._quit(connection) for connection in idle))

    async def _use(
        self, connection: Connection, sender: str, recipients: Sequence[str], message: bytes
    ) -> str:
        try:
            answer = await self._hand_over(connection, sender, recipients, message)
        except (MailNotSent, PermanentError):
            await self._release(connection)
            raise
        except BaseException:
            connection.talk.end()  # cancelled or lost in the middle: its state is unknown
            raise
        await self._release(connection)
        return answer

    async def _release(self, connection: Connection) -> None:
        if connection.talk.over:
            return
        connection.mails += 1
        if self._closed or connection.mails >= MAILS_PER_CONNECTION:
            await self._quit(connection)
            return
        loop = asyncio.get_running_loop()
        connection.closing = loop.call_later(IDLE_SECONDS, self._retire, connection)
        self._idle.append(connection)

    def _retire(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            connection.talk.end()

    @staticmethod
    async def _quit(connection: Connection) -> None:
        if connection.closing is not None:
            connection.closing.cancel()
        # The mails are delivered; how the farewell goes changes nothing.
        with contextlib.suppress(OSError):
            await connection.talk.exchange([b"QUIT"], _QUIT_SECONDS)
        connection.talk.end()

    async def _hand_over(
        self, connection: Connection, sender: str, recipients: Sequence[str], message: bytes
    ) -> str:
        talk = connection.talk
        commands = self._envelope(connection, sender, recipients, len(message))
        try:
            if connection.unfinished:
                await self._say(talk, [b"RSET"])
            connection.unfinished = True
            # Together with the envelope where it can be, before it is known whether all of that is taken.
            answers = await self._say(talk, [*commands, b"DATA"] if talk.pipelining else commands)
            try:
                refusals = self._judged(answers, sender, recipients)
            except (MailNotSent, PermanentError):
                if answers[-1].code == _START_OF_TEXT:
                    talk.end()  # nothing else makes a server forget a mail whose text it waits for
                raise
            begun = answers[-1] if talk.pipelining else (await self._say(talk, [b"DATA"]))[0]
        except OSError as error:
            raise _ConnectionGone(reason_of(error, self.server.given_as)) from error
        answer = await self._data(talk, begun, recipients, message)
        connection.unfinished = False  # a mail that was taken leaves nothing behind: RFC 5321, 4.1.1.4
        refused = f"; refused for good: {listed(refusals)}" if refusals else ""
        return f"{answer}{refused}"

    async def _say(self, talk: Conversation, commands: Sequence[bytes]) -> list[Answer]:
        answers = await talk.exchange(commands, self.server.timeout)
        if answers[-1].code == SERVICE_NOT_AVAILABLE:
            raise _ConnectionGone(str(answers[-1]))
        return answers

    def _envelope(
        self, connection: Connection, sender: str, recipients: Sequence[str], size: int
    ) -> list[bytes]:
        """The commands that name the sender and each of the recipients."""
        beyond_ascii = [address for address in (sender, *recipients) if not address.isascii()]
        if beyond_ascii and not connection.takes_unicode:
            raise PermanentError(f"{self._name} cannot take the address {beyond_ascii[0]} (no SMTPUTF8)")
        options = (b" SMTPUTF8" if beyond_ascii else b"") + (
            b" SIZE=%d" % size if connection.takes_size else b""
        )
        return [
            b"MAIL FROM:<%s>%s" % (sender.encode(), options),
            *(b"RCPT TO:<%s>" % recipient.encode() for recipient in recipients),
        ]

    def _judged(self, answers: Sequence[Answer], sender: str, recipients: Sequence[str]) -> list[Refusal]:
        """Who is refused for good while others get the mail. Raises what keeps it from everybody."""
        self._check_sender(answers[0], sender)
        refusals = [
            Refusal(recipient, answer.code, str(answer))
            for recipient, answer in zip(recipients, answers[1:], strict=False)
            if answer.code not in (_COMPLETED, _WILL_FORWARD)
        ]
        waiting = [refusal for refusal in refusals if refusal.temporary]
        if waiting:
            others = "; the others wait for it" if len(refusals) < len(recipients) else ""
            raise MailNotSent(f"{self._name} does not take mail for now for {listed(waiting)}{others}")
        if len(refusals) == len(recipients):
            raise PermanentError(f"{self._name} refuses {listed(refusals)}")
        return refusals

    def _check_sender(self, answer: Answer, sender: str) -> None:
        if answer.code == _COMPLETED:
            return
        if answer.code == _AUTHENTICATION_REQUIRED:
            raise ServerDown(
                f"{self._name} wants a login first ({answer}): put user and password into "
                f"{self.server.given_as}; mails wait and are tried again"
            )
        if answer.code >= 500:
            raise PermanentError(f"{self._name} refuses the sender {sender}: {answer}")
        raise self._not_sent(answer)

    async def _data(
        self, talk: Conversation, begun: Answer, recipients: Sequence[str], message: bytes
    ) -> Answer:
        answer = begun
        if begun.code == _START_OF_TEXT:
            try:
                answer = await talk.text(message, max(self.server.timeout, _DATA_SECONDS))
            except OSError as error:
                reason = reason_of(error, self.server.given_as)
                raise ServerDown(
                    f"{self._name}: the connection broke before the answer to the mail ({reason}); "
                    "if it was taken, the next attempt repeats it with the same Message-ID"
                ) from error
        if answer.code == _COMPLETED:
            return answer
        if answer.code >= 500:
            raise PermanentError(f"{self._name} refuses the mail for {', '.join(recipients)}: {answer}")
        raise self._not_sent(answer)

    def _not_sent(self, answer: Answer) -> MailNotSent:
        kind = ServerDown if means_down(answer.code) else MailNotSent
        return kind(f"{self._name}: {answer}")
