"""The settings of a `nats` action in a rule file, and all that can be wrong with them beforehand."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field, SecretStr

from mtrigger.actions.base import ConfigMistake
from mtrigger.actions.broker_addresses import Address, parse_address
from mtrigger.actions.broker_settings import (
    BrokerConfig,
    address_mistakes,
    message_mistakes,
    message_reads,
)
from mtrigger.actions.nats_server import NatsServer
from mtrigger.actions.template_texts import text_mistakes
from mtrigger.templates import Templates, is_static

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
LONGEST_SUBJECT = 1_000
"""Bytes: a server ends the connection when a line of its protocol, which the subject is a part of, is longer
than 4,096 (`max_control_line`)."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STREAM = re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]+")  # docs.nats.io, "Naming of streams"
_OWN_HEADERS = frozenset({"nats-msg-id", "nats-expected-stream"})
_TAKES_PART = frozenset({"$KV", "$O"})
"""Subjects with a `$` are the server's own: a message on `$JS.API.STREAM.DELETE.X` deletes a stream. Those of
the key-value and the object store are ordinary ones."""


class NatsConfig(BrokerConfig):
    """A message to a stream of NATS JetStream."""

    subject: str = Field(min_length=1, description="The subject (a template)")
    stream: str = Field(default="", description="The stream that has to take it. Not a template")
    token: SecretStr | None = Field(default=None, description="A token to log in with. Not a template")
    nkey: SecretStr | None = Field(default=None, description="The seed of an NKey (SU…). Not a template")
    credentials: Path | None = Field(default=None, description="A file of credentials (.creds)")

    def server(self) -> NatsServer:
        """The broker. Raises ValueError without the address."""
        return NatsServer(
            addresses=self.addresses(parse_nats),
            user=self.user,
            password=_text(self.password),
            token=_text(self.token),
            nkey=_text(self.nkey),
            credentials=self.credentials,
            certificates=self.certificates,
        )


def parse_nats(url: str) -> Address:
    """Read `nats://` or `tls://`. Raises ValueError without the address."""
    address = parse_address(url, ("nats", 4222), ("tls", 4222))
    if address.path:
        raise ValueError("after the host there may be a port only")
    return address


def subject_problem(subject: str) -> str | None:
    """Why nothing can be published on a rendered subject."""
    tokens = subject.split(".")
    if not all(tokens):
        return "a subject is words with dots between them, none of them empty"
    if re.search(r"[\s\x00-\x1f\x7f]", subject):
        return "a subject cannot hold spaces or control characters"
    if "*" in tokens or ">" in tokens:
        return "nothing can be published on a subject with the wildcards * and >"
    if tokens[0].startswith("$") and tokens[0] not in _TAKES_PART:
        return f"`{tokens[0]}` begins the subjects of the server itself"
    if len(subject.encode()) > LONGEST_SUBJECT:
        return f"a subject may have {LONGEST_SUBJECT:,} bytes at most"
    return None


def nats_reads(config: NatsConfig, templates: Templates) -> frozenset[str] | None:
    """The names that it reads."""
    return message_reads(config, config.subject, templates)


def nats_mistakes(config: NatsConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong with `config` beyond its form, all of it."""
    yield from text_mistakes(config.subject, ("subject",), templates)
    if is_static(config.subject) and (problem := subject_problem(config.subject.strip())) is not None:
        yield ConfigMistake(("subject",), problem)
    if config.stream and not _STREAM.fullmatch(config.stream):
        yield ConfigMistake(("stream",), "the name of a stream has no spaces and none of . * > / \\")
    yield from message_mistakes(config, templates)
    for name, value in config.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield ConfigMistake(("headers", name), f"`{name}` cannot be the name of a header")
        if name.lower() in _OWN_HEADERS:
            yield ConfigMistake(("headers", name), f"`{name}` is set by mtrigger itself: leave it out")
        if is_static(value) and CONTROL.search(value.strip()):
            yield ConfigMistake(("headers", name), "a header cannot hold line breaks or control characters")
    yield from address_mistakes(config, parse_nats)
    yield from _login_mistakes(config)
    if find_spec("nats") is None:
        yield ConfigMistake(
            (), '`nats` needs the package nats-py, which is not installed: pip install "mtrigger[bridges]"'
        )
    elif config.nkey is not None:
        yield from _nkey_mistakes(config.nkey.get_secret_value())


def _login_mistakes(config: NatsConfig) -> Iterator[ConfigMistake]:
    ways = [name for name in ("user", "token", "nkey", "credentials") if getattr(config, name)]
    if len(ways) > 1:
        yield ConfigMistake((ways[1],), f"`{ways[0]}` is one way to log in, `{ways[1]}` another: keep one")
    if bool(config.user) != (config.password is not None):
        yield ConfigMistake(("user",) if config.user else ("password",), "`user` and `password` go together")
    if config.credentials is not None and not config.credentials.is_file():
        yield ConfigMistake(("credentials",), f"there is no file {config.credentials}")


def _nkey_mistakes(seed: str) -> Iterator[ConfigMistake]:
    import nkeys

    try:
        nkeys.from_seed(bytearray(seed.strip().encode())).sign(b"")
    except Exception:  # noqa: BLE001 - whatever it fails with, it cannot be used, and may not be shown
        yield ConfigMistake(("nkey",), "this is not the seed of an NKey of a user (SU…)")


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret is not None else ""
