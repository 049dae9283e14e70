"""Handing mails to a mail server: kept connections, and which failure means what.

Keeps the promise that nobody is mailed twice unless the connection breaks between the end of a mail and the
server's answer, where SMTP itself cannot tell (RFC 1047). Such a repetition carries the same Message-ID.

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
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiosmtplib

from mtrigger.actions.smtp_replies import Refusal, in_one_line, listed, reason_of, reply_of
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.errors import PermanentError

__all__ = ["MailNotSent", "SmtpPool", "SmtpServer"]

MAILS_PER_CONNECTION = 100
IDLE_SECONDS = 60.0
"""A kept connection is closed after this long without a mail."""

_DATA_SECONDS = 600.0
"""How long the answer to a mail may take (RFC 5321, 4.5.3.2.6): giving up earlier makes doubles."""
_QUIT_SECONDS = 2.0

_COMPLETED, _WILL_FORWARD = 250, 251
_SERVICE_NOT_AVAILABLE = 421
_AUTHENTICATION_REQUIRED = 530


class MailNotSent(Exception):  # noqa: N818 - says what is the case; a later attempt may succeed
    """The mail server did not take the mail this time."""


class _ConnectionGone(Exception):  # noqa: N818 - not an error when the connection was a kept one
    """The server closed the connection before the mail was handed over: nobody got it."""


@dataclass(slots=True, eq=False)
class _Connection:
    client: aiosmtplib.SMTP
    mails: int = 0
    unfinished: bool = False
    closing: asyncio.TimerHandle | None = None


class SmtpPool:
    """Connections to one server, at most `server.connections`, reused one mail after the other."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self._places = asyncio.Semaphore(server.connections)
        self._idle: list[_Connection] = []
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def send(self, sender: str, recipients: Sequence[str], message: bytes) -> str:
        """Hand `message` over for `recipients`, and return the server's answer ("250 2.0.0 OK …").

        Addresses are bare (`user@host`). Raises MailNotSent or PermanentError; see the module.
        """
        async with self._places:
            while self._idle:
                connection = self._idle.pop()
                if connection.closing is not None:
                    connection.closing.cancel()
                with contextlib.suppress(_ConnectionGone):  # the server closed it meanwhile: take another
                    return await self._use(connection, sender, recipients, message)
            try:
                return await self._use(await self._connect(), sender, recipients, message)
            except _ConnectionGone as gone:
                raise MailNotSent(f"{self._name}: {gone}") from gone

    async def close(self) -> None:
        """Say goodbye on the connections that are idle; those in use are closed after their mail."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(self._quit(connection) for connection in idle))

    @property
    def _name(self) -> str:
        return f"{self.server.host}:{self.server.port}"

    async def _use(
        self, connection: _Connection, sender: str, recipients: Sequence[str], message: bytes
    ) -> str:
        try:
            answer = await self._hand_over(connection, sender, recipients, message)
        except (MailNotSent, PermanentError):
            await self._release(connection)
            raise
        except BaseException:
            connection.client.close()  # cancelled or lost in the middle: its state is unknown
            raise
        await self._release(connection)
        return answer

    async def _release(self, connection: _Connection) -> None:
        if not connection.client.is_connected:
            return
        connection.mails += 1
        if self._closed or connection.mails >= MAILS_PER_CONNECTION:
            await self._quit(connection)
            return
        loop = asyncio.get_running_loop()
        connection.closing = loop.call_later(IDLE_SECONDS, self._retire, connection)
        self._idle.append(connection)

    def _retire(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            connection.client.close()

    @staticmethod
    async def _quit(connection: _Connection) -> None:
        if connection.closing is not None:
            connection.closing.cancel()
        # The mails are delivered; how the farewell goes changes nothing.
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await connection.client.quit(timeout=_QUIT_SECONDS)
        connection.client.close()

    async def _connect(self) -> _Connection:
        server = self.server
        if self._tls is None and server.encryption != "none":
            self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=server.ca)
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=server.timeout,
            use_tls=server.encryption == "implicit",
            start_tls=False,  # done below, where its failures can be told apart
            tls_context=self._tls,
        )
        step = "cannot connect"
        try:
            await client.connect()
            if server.encryption == "starttls":
                step = "no encryption"
                await client.starttls()
            await _greet(client)
            if server.user:
                step = "cannot log in"
                await client.login(server.user, server.password)
        except aiosmtplib.SMTPAuthenticationError as error:
            client.close()
            raise MailNotSent(
                f"{self._name} refuses the login of {server.user} ({reply_of(error)}): check the user and "
                "the password in MTRIGGER_SMTP_URL; mails wait and are tried again"
            ) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            raise MailNotSent(f"{self._name}: {step}: {reason_of(error)}") from error
        except BaseException:
            client.close()
            raise
        return _Connection(client)

    async def _hand_over(
        self, connection: _Connection, sender: str, recipients: Sequence[str], message: bytes
    ) -> str:
        client = connection.client
        try:
            if connection.unfinished:
                await client.rset()
            connection.unfinished = True
            await self._begin(client, sender, recipients, message)
            refusals = [
                refusal
                for recipient in recipients
                if (refusal := await _recipient_refused(client, recipient)) is not None
            ]
        except aiosmtplib.SMTPResponseException as error:
            if error.code == _SERVICE_NOT_AVAILABLE:
                raise _ConnectionGone(reply_of(error)) from error
            raise MailNotSent(f"{self._name}: {reply_of(error)}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise _ConnectionGone(reason_of(error)) from error
        self._judge(refusals, recipients)
        answer = await self._data(client, recipients, message)
        connection.unfinished = False  # a mail that was taken leaves nothing behind: RFC 5321, 4.1.1.4
        refused = f"; refused for good: {listed(refusals)}" if refusals else ""
        return answer + refused

    async def _begin(
        self, client: aiosmtplib.SMTP, sender: str, recipients: Sequence[str], message: bytes
    ) -> None:
        beyond_ascii = [address for address in (sender, *recipients) if not address.isascii()]
        if beyond_ascii and not client.supports_extension("smtputf8"):
            raise PermanentError(f"{self._name} cannot take the address {beyond_ascii[0]} (no SMTPUTF8)")
        options = [b"SMTPUTF8"] if beyond_ascii else []
        if client.supports_extension("size"):
            options.append(b"SIZE=%d" % len(message))
        answer = await client.execute_command(b"MAIL", b"FROM:<%s>" % sender.encode(), *options)
        if answer.code != _COMPLETED:
            error = aiosmtplib.SMTPSenderRefused(answer.code, answer.message, sender)
            if error.code == _AUTHENTICATION_REQUIRED:
                raise MailNotSent(
                    f"{self._name} wants a login first ({reply_of(error)}): put user and password into "
                    "MTRIGGER_SMTP_URL; mails wait and are tried again"
                ) from error
            if error.code >= 500:
                reply = reply_of(error)
                raise PermanentError(f"{self._name} refuses the sender {sender}: {reply}") from error
            raise error

    def _judge(self, refusals: Sequence[Refusal], recipients: Sequence[str]) -> None:
        waiting = [refusal for refusal in refusals if refusal.temporary]
        if waiting:
            others = "; the others wait for it" if len(refusals) < len(recipients) else ""
            raise MailNotSent(f"{self._name} does not take mail for now for {listed(waiting)}{others}")
        if len(refusals) == len(recipients):
            raise PermanentError(f"{self._name} refuses {listed(refusals)}")

    async def _data(self, client: aiosmtplib.SMTP, recipients: Sequence[str], message: bytes) -> str:
        seconds = max(self.server.timeout, _DATA_SECONDS)
        try:
            response = await client.data(message, timeout=seconds)
        except aiosmtplib.SMTPDataError as error:
            if error.code >= 500:
                raise PermanentError(
                    f"{self._name} refuses the mail for {', '.join(recipients)}: {reply_of(error)}"
                ) from error
            raise MailNotSent(f"{self._name}: {reply_of(error)}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            raise MailNotSent(
                f"{self._name}: the connection broke before the answer to the mail ({reason_of(error)}); "
                "if it was taken, the next attempt repeats it with the same Message-ID"
            ) from error
        return f"{response.code} {in_one_line(response.message)}"


async def _greet(client: aiosmtplib.SMTP) -> None:
    """EHLO, so that the server's extensions are known; HELO for servers that have none."""
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


async def _recipient_refused(client: aiosmtplib.SMTP, recipient: str) -> Refusal | None:
    answer = await client.execute_command(b"RCPT", b"TO:<%s>" % recipient.encode())
    if answer.code in (_COMPLETED, _WILL_FORWARD):
        return None
    error = aiosmtplib.SMTPRecipientRefused(answer.code, answer.message, recipient)
    if error.code == _SERVICE_NOT_AVAILABLE:
        raise error
    return Refusal(recipient, error.code, reply_of(error))
