"""Where mail is handed over: the address in MTRIGGER_SMTP_URL or in a rule's `smtp:`, read and checked.

A password is never part of a message, a log line or a repr.
"""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mtrigger.config_types import parse_duration
from mtrigger.errors import SettingsError

Encryption = Literal["starttls", "implicit", "none"]

_PORTS: dict[Encryption, int] = {"starttls": 587, "implicit": 465, "none": 25}
_OPTIONS = ("tls", "timeout", "connections", "ca")
_MOST_CONNECTIONS = 100
SMTP_VARIABLE = "MTRIGGER_SMTP_URL"
_EXAMPLE = "smtp://user:password@host:587?tls=starttls"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server. `timeout` is in seconds, for each step of a conversation; `connections` how many may be
    open at once; `ca` a PEM file with the only authorities to trust, None for the system's. `given_as` is
    where the address stands, for messages: the same server given in two places is one server."""

    host: str
    port: int
    encryption: Encryption = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 30.0
    connections: int = 4
    ca: Path | None = None
    given_as: str = field(default=SMTP_VARIABLE, compare=False)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"smtp://{user}{self.host}:{self.port}?tls={self.encryption}"

    @property
    def place(self) -> str:
        """Host and port, as messages name it."""
        return f"{self.host}:{self.port}"

    @property
    def default_sender(self) -> str:
        """The user, if it is a mail address, else an empty text."""
        return self.user if "@" in self.user else ""

    @classmethod
    def parse(cls, url: str, given_as: str = SMTP_VARIABLE) -> Self:
        """Read `smtp://user:password@host:587?tls=starttls|implicit|none` or `smtps://host:465`.

        User and password are percent-decoded. The encryption is `starttls` unless the scheme is smtps or
        `tls` says otherwise. More options: `timeout=30s`, `connections=4`, `ca=/path/ca.pem`. Raises
        SettingsError, which names `given_as`.
        """
        try:
            return cls._read(url, given_as)
        except _WrongAddress as wrong:
            raise SettingsError(
                f"The SMTP address ({given_as}) cannot be used: {wrong}. Write it as {_EXAMPLE}; "
                "percent-encode special characters of the password (@ is %40, / is %2F)."
            ) from None

    @classmethod
    def _read(cls, url: str, given_as: str) -> Self:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _WrongAddress("its port or its brackets cannot be read") from None
        if parts.scheme not in ("smtp", "smtps"):
            raise _WrongAddress("it has to begin with smtp:// or smtps://")
        if not parts.hostname or parts.path not in ("", "/") or parts.fragment:
            raise _WrongAddress("after the host there may be a port and options only")
        if any(character.isspace() or not character.isprintable() for character in unquote(parts.netloc)):
            raise _WrongAddress("it contains a space or a control character")
        options = _options(parts)
        encryption = _encryption(parts.scheme, options.get("tls"))
        return cls(
            host=parts.hostname,
            port=port or _PORTS[encryption],
            encryption=encryption,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            timeout=_timeout(options.get("timeout", "30s")),
            connections=_connections(options.get("connections", "4")),
            ca=_authorities(options.get("ca", "")),
            given_as=given_as,
        )


class _WrongAddress(Exception):  # noqa: N818 - what is wrong, without the address: it holds a password
    """Says what keeps an address from being used."""


def _options(parts: SplitResult) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS:
            close = difflib.get_close_matches(name, _OPTIONS, n=1)
            raise _WrongAddress(
                "it has an unknown option" + (f"; did you mean {close[0]}=?" if close else "")
            )
        if name in options:
            raise _WrongAddress(f"it has the option {name} twice")
        options[name] = value
    return options


def _encryption(scheme: str, tls: str | None) -> Encryption:
    if scheme == "smtps":
        if tls not in (None, "implicit"):
            raise _WrongAddress("smtps:// means tls=implicit; write smtp:// for anything else")
        return "implicit"
    for encryption in _PORTS:
        if encryption == (tls or "starttls"):
            return encryption
    raise _WrongAddress("tls is one of starttls, implicit, none")


def _timeout(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise _WrongAddress(f"timeout: {error}") from None
    if seconds <= 0:
        raise _WrongAddress("timeout must be longer than nothing")
    return seconds


def _connections(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_CONNECTIONS:
        raise _WrongAddress(f"connections is a whole number from 1 to {_MOST_CONNECTIONS}")
    return int(text)


def _authorities(text: str) -> Path | None:
    if text and not Path(text).is_file():
        raise _WrongAddress(f"there is no file {text} with the authorities to trust (ca=)")
    return Path(text) if text else None
