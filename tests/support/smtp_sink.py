"""A real SMTP server that keeps what it is sent and can be told to refuse, to vanish and to come back."""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal, cast
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from support.certificates import Authority
from support.loop_thread import LoopThread

Encryption = Literal["none", "starttls", "implicit"]
Command = Literal["MAIL", "RCPT", "DATA"]


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """A mail the sink said 250 to: its envelope, its text, and the connection it came over (from 1)."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    raw: bytes
    encrypted: bool
    user: str
    connection: int


class SmtpSink:
    """Listens on a free loopback port from the start.

    `mails` are those accepted, in order; `connections` counts the connections made; `logins` the user names
    that were let in. With `users` (name -> password) it insists on a login; with encryption `starttls` it
    insists on TLS before anything else. While `pipelining` is set it offers that to those who connect.
    """

    def __init__(
        self,
        encryption: Encryption = "none",
        authority: Authority | None = None,
        users: Mapping[str, str] | None = None,
        *,
        certificate_name: str = "localhost",
    ) -> None:
        self.mails: list[ReceivedMail] = []
        self.connections = 0
        self.logins: list[str] = []
        self.port = 0
        self.pipelining = False
        self._encryption: Encryption = encryption
        self._authority = authority
        self._users = dict(users or {})
        self._tls = None
        if encryption != "none":
            assert authority is not None, "a server with TLS needs an authority that signs its certificate"
            self._tls = authority.server_context(certificate_name)
        self._answers: dict[Command, deque[str]] = {"MAIL": deque(), "RCPT": deque(), "DATA": deque()}
        self._refused: dict[str, str] = {}
        self._thread = LoopThread("smtp-sink")
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self.start()

    @property
    def url(self) -> str:
        """The address for MTRIGGER_SMTP_URL, with the first user's name and password."""
        login = "".join(
            f"{quote(name, '')}:{quote(word, '')}@" for name, word in list(self._users.items())[:1]
        )
        authority = f"&ca={quote(str(self._authority.file))}" if self._authority else ""
        return f"smtp://{login}localhost:{self.port}?tls={self._encryption}{authority}"

    def answer_next(self, reply: str, *, to: Command = "DATA", times: int = 1) -> None:
        """Answer the next `times` commands `to` with `reply`, such as "451 4.3.0 try again later"."""
        self._answers[to].extend([reply] * times)

    def refuse(self, recipient: str, reply: str = "550 5.1.1 no such user") -> None:
        """Answer RCPT for this address with `reply`, from now on."""
        self._refused[recipient] = reply

    def accept(self, recipient: str) -> None:
        """Take mails for this address again."""
        self._refused.pop(recipient, None)

    def stop(self) -> None:
        """Close the port and every connection, without a word to the clients. What was received is kept."""
        self._thread.run(self._close_server())

    def drop_connections(self) -> None:
        """Close every connection but go on listening, as a server does with those that are idle."""
        self._thread.run(self._drop())

    def start(self) -> None:
        """Listen (again), on the same port as before."""
        self._thread.run(self._open_server())

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._thread.close()

    async def _open_server(self) -> None:
        loop = asyncio.get_running_loop()
        # `localhost` may be tried as ::1 first, which is refused at once: clients go on to 127.0.0.1.
        self._server = await loop.create_server(
            self._connect,
            "127.0.0.1",
            self.port,
            ssl=self._tls if self._encryption == "implicit" else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._drop()

    async def _drop(self) -> None:
        for connection in list(self._open):
            connection.abort()

    def _connect(self) -> "_Connection":
        self.connections += 1
        return _Connection(
            _Handler(self, self.connections),
            self._open,
            hostname="sink.example",
            enable_SMTPUTF8=True,
            tls_context=self._tls if self._encryption == "starttls" else None,
            require_starttls=self._encryption == "starttls",
            auth_require_tls=self._encryption == "starttls",
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        if isinstance(data, LoginPassword):
            name, word = data.login.decode(), data.password.decode()
            if self._users.get(name) == word:
                self.logins.append(name)
                return AuthResult(success=True, auth_data=name)
        return AuthResult(success=False, handled=False)

    @property
    def insists_on_login(self) -> bool:
        """Whether mail is taken only after a login."""
        return bool(self._users)

    def reply_to(self, command: Command) -> str | None:
        """The scripted answer to `command` that is next, None for the usual one."""
        return self._answers[command].popleft() if self._answers[command] else None

    def refusal_of(self, recipient: str) -> str | None:
        """What RCPT for `recipient` is refused with, None if it is welcome."""
        return self._refused.get(recipient)


class _Connection(SMTP):
    """One connection that can be cut from our side."""

    def __init__(self, handler: "_Handler", registry: "set[_Connection]", **settings: Any) -> None:
        super().__init__(handler, **settings)
        self._registry = registry

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._registry.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._registry.discard(self)

    def abort(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()


def _user(session: Session) -> str:
    name: object = session.auth_data
    return name if isinstance(name, str) else ""


class _Handler:
    """The hooks aiosmtpd calls by name, one object a connection."""

    def __init__(self, sink: SmtpSink, connection: int) -> None:
        self._sink = sink
        self._connection = connection

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return ["250-PIPELINING", *responses] if self._sink.pipelining else responses

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._sink.insists_on_login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if reply := self._sink.reply_to("MAIL"):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self._sink.refusal_of(address) or self._sink.reply_to("RCPT"):
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if reply := self._sink.reply_to("DATA"):
            return reply
        assert server.transport is not None, "a command has come in"
        raw = envelope.original_content or b""
        self._sink.mails.append(
            ReceivedMail(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                message=message_from_bytes(raw, policy=policy.default),
                raw=raw,
                encrypted=isinstance(server.transport.get_extra_info("ssl_object"), ssl.SSLObject),
                user=_user(session),
                connection=self._connection,
            )
        )
        return f"250 2.0.0 OK queued as {len(self._sink.mails)}"
