"""Addresses of brokers, read and checked; what may be shown of them, and how to encrypt on the way there.

No password or token is part of a message, a name or a repr.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """One server of a broker. `user`, `password` and `path` (what follows the first `/`) are as they are
    meant, without percent-encoding."""

    host: str
    port: int
    encrypted: bool
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    path: str = ""

    @property
    def place(self) -> str:
        """Host and port, as messages name it."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: the only authorities to trust (None: the system's), and the client's own certificate."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """How to encrypt, which takes a moment to make. Raises OSError (also ssl.SSLError)."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


def parse_address(url: str, plain: tuple[str, int], encrypted: tuple[str, int]) -> Address:
    """Read `scheme://user:password@host:port/path`; `plain` and `encrypted` are the schemes that may stand
    there, each with its port. Raises ValueError, without the address: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the port or the brackets of the address cannot be read") from None
    if parts.scheme not in (plain[0], encrypted[0]):
        raise ValueError(f"the address has to begin with {plain[0]}:// or {encrypted[0]}://")
    if not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"the address is written {plain[0]}://user:password@host:{plain[1]}, no options")
    if any(character.isspace() or not character.isprintable() for character in unquote(url)):
        raise ValueError("the address holds a space or a control character")
    is_encrypted = parts.scheme == encrypted[0]
    return Address(
        host=parts.hostname,
        port=port or (encrypted if is_encrypted else plain)[1],
        encrypted=is_encrypted,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        path=unquote(parts.path.removeprefix("/")),
    )


def destination_of(scheme: str, user: str, addresses: Sequence[Address], path: str = "") -> str:
    """`amqp://user@host:5672,other:5672/path`: with the user, because an account that is locked out must not
    hold up the messages of another one."""
    places = ",".join(address.place for address in addresses)
    return f"{scheme}://{f'{user}@' if user else ''}{places}{f'/{path}' if path else ''}"
