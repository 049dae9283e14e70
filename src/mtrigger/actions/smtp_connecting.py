"""Making a connection to a mail server: TCP, TLS, greeting, login, and what each failure is called.

Promise: whatever goes wrong before the first mail is `ServerDown`, since no mail would have got further.
"""

import asyncio
import ssl
from dataclasses import dataclass

import aiosmtplib

from mtrigger.actions.smtp_conversation import Conversation
from mtrigger.actions.smtp_replies import reason_of, reply_of
from mtrigger.actions.smtp_server import SmtpServer


class MailNotSent(Exception):  # noqa: N818 - says what is the case; a later attempt may succeed
    """The mail server did not take the mail this time."""


class ServerDown(MailNotSent):
    """It would not have taken any other mail either: see `breakers.py`."""


@dataclass(slots=True, eq=False)
class Connection:
    """A conversation, and what its server can do besides."""

    talk: Conversation
    takes_unicode: bool
    takes_size: bool
    mails: int = 0
    unfinished: bool = False
    closing: asyncio.TimerHandle | None = None


class Connecting:
    """Makes connections to one server."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._tls: ssl.SSLContext | None = None

    async def connect(self) -> Connection:
        """A new connection. Raises ServerDown."""
        server = self._server
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
            raise ServerDown(
                f"{server.place} refuses the login of {server.user} ({reply_of(error)}): check the user and "
                f"the password in {server.given_as}; mails wait and are tried again"
            ) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            raise ServerDown(f"{server.place}: {step}: {reason_of(error, server.given_as)}") from error
        except BaseException:
            client.close()
            raise
        assert client.transport is not None, "it is connected"
        return Connection(
            Conversation(client.transport, pipelining=client.supports_extension("pipelining")),
            takes_unicode=client.supports_extension("smtputf8"),
            takes_size=client.supports_extension("size"),
        )


async def _greet(client: aiosmtplib.SMTP) -> None:
    """EHLO, so that the server's extensions are known; HELO for servers that have none."""
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()
