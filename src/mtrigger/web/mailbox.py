"""The mailbox as two servers on one event loop: SMTP takes the mails, HTTP shows them.

For a developer's machine: it takes any mail without a login and delivers none of them.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

from mtrigger import __version__
from mtrigger.errors import SettingsError
from mtrigger.web.mailbox_pages import mailbox_app
from mtrigger.web.mailbox_store import Mailbox

__all__ = ["Mailbox", "MailboxServer"]

LARGEST_MAIL = 32 * 1024 * 1024
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

Address = tuple[str, int]


class MailboxServer:
    """Takes mails into `mailbox` and shows them, between `start` and `stop`. A port of 0 takes a free one."""

    def __init__(self, smtp: Address = ("127.0.0.1", 1025), http: Address = ("127.0.0.1", 8025)) -> None:
        self.mailbox = Mailbox()
        self._smtp_address = smtp
        self._http_address = http
        self._smtp: asyncio.Server | None = None
        self._http: _WebServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._connections: set[_Reception] = set()
        self.smtp_port = smtp[1]
        self.http_port = http[1]

    @property
    def smtp_url(self) -> str:
        """What to put into MTRIGGER_SMTP_URL."""
        return f"smtp://{_reachable(self._smtp_address[0])}:{self.smtp_port}?tls=none"

    @property
    def http_url(self) -> str:
        """What to open in a browser."""
        return f"http://{_reachable(self._http_address[0])}:{self.http_port}/"

    async def start(self) -> None:
        """Listen on both addresses. Raises SettingsError when one of them cannot be had."""
        web_socket = _listening_socket(self._http_address, "web page")
        mail_socket = None
        try:
            mail_socket = _listening_socket(self._smtp_address, "SMTP server")
            self._smtp = await asyncio.get_running_loop().create_server(self._receive, sock=mail_socket)
        except BaseException:
            web_socket.close()
            if mail_socket is not None:
                mail_socket.close()
            raise
        self.smtp_port = mail_socket.getsockname()[1]
        self.http_port = web_socket.getsockname()[1]
        hosts = _LOCAL_NAMES if _is_loopback(self._http_address[0]) else ("*",)
        config = uvicorn.Config(
            mailbox_app(self.mailbox, hosts, self._stopping),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._http = _WebServer(config)
        self._serving = asyncio.create_task(self._http.serve(sockets=[web_socket]))

    async def stop(self) -> None:
        """Close both servers and every connection."""
        self._stopping.set()
        if self._smtp is not None:
            self._smtp.close()
        for connection in list(self._connections):
            connection.abort()
        if self._http is not None and self._serving is not None:
            self._http.should_exit = True
            await self._serving

    def _receive(self) -> "_Reception":
        return _Reception(_Keeper(self.mailbox), self._connections)


class _Keeper:
    """What aiosmtpd calls when a whole mail is there."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        mail = self._mailbox.receive(
            envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b""
        )
        return f"250 2.0.0 kept as mail {mail.number}"


class _Reception(SMTP):
    """One SMTP connection, which can be cut when the server stops."""

    def __init__(self, keeper: _Keeper, connections: "set[_Reception]") -> None:
        super().__init__(
            keeper,
            data_size_limit=LARGEST_MAIL,
            enable_SMTPUTF8=True,
            hostname="mtrigger-mailbox",
            ident=f"mtrigger mailbox {__version__}",
            loop=asyncio.get_running_loop(),
        )
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._connections.discard(self)

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()


class _WebServer(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the mailbox decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening_socket(address: Address, what: str) -> socket.socket:
    host, port = address
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _taken(address, what, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(place)
        listener.listen()
    except OSError as error:
        listener.close()
        raise _taken(address, what, error) from error
    return listener


def _taken(address: Address, what: str, error: OSError) -> SettingsError:
    return SettingsError(
        f"The mailbox's {what} cannot listen on {address[0]}:{address[1]}: {error.strerror or error}. "
        "Choose another address (port 0 takes a free one)."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reachable(host: str) -> str:
    """A host that a client on this machine can use, in the form an address needs."""
    shown: Any = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared with
    return f"[{shown}]" if ":" in shown else str(shown)
