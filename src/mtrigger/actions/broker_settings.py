"""What the settings of `nats` and `rabbitmq` have in common, and what can be wrong with it beforehand."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from mtrigger.actions.base import ActionConfig, ConfigMistake
from mtrigger.actions.broker_addresses import Address, Certificates
from mtrigger.actions.brokers import MESSAGES_AT_ONCE
from mtrigger.actions.json_templates import Json, json_mistakes, json_texts
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.config_types import OneOrMore, Timeout
from mtrigger.templates import SCOPE_NAMES, Templates, is_static

LONGEST_HEADERS = 64 * 1024
"""Bytes of all headers of a message. Brokers take them within one frame or line, and end the connection,
which is everybody's, when that grows too long."""


class TlsConfig(BaseModel):
    """Certificates, where those of the system are not enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: Path | None = Field(None, description="A PEM file with the only authorities to trust")
    certificate: Path | None = Field(None, description="A PEM file with our own certificate")
    key: Path | None = Field(None, description="A PEM file with its key, if that is not in `certificate`")


class BrokerConfig(ActionConfig):
    """A message to a broker."""

    url: OneOrMore[SecretStr] = Field(
        description="The address of the broker; a list of them: tried in turn. Not a template"
    )
    user: str = Field(default="", description="The user, if it is not in `url`")
    password: SecretStr | None = Field(default=None, description="The password. Not a template")
    tls: TlsConfig | None = Field(default=None, description="Certificates, for encrypted addresses")
    message: Json = Field(
        default=None,
        description="A text, or a mapping or list that is sent as JSON; strings are templates. "
        "Left out: the message that a webhook posts by default",
    )
    headers: dict[str, str] = Field(
        default_factory=dict, repr=False, description="Headers of the message; values are templates"
    )
    timeout: Timeout = Field(default=30.0, description="Until the broker has confirmed the message")

    @property
    def has_message(self) -> bool:
        """Whether the rule says what to send; `message: null` says it, too."""
        return "message" in self.model_fields_set

    def addresses(self, parse: Callable[[str], Address]) -> tuple[Address, ...]:
        """Where the broker is. Raises ValueError without the address."""
        return tuple(parse(url.get_secret_value().strip()) for url in self.url)

    @property
    def certificates(self) -> Certificates:
        """What to trust."""
        tls = self.tls
        return Certificates(tls.ca, tls.certificate, tls.key) if tls is not None else Certificates()


def message_reads(config: BrokerConfig, target: str, templates: Templates) -> frozenset[str] | None:
    """The names that the message and its headers read, and `target`, a template that says where it goes. The
    standard message holds all there is to say about a change."""
    if not config.has_message:
        return SCOPE_NAMES
    return names_in([target, *config.headers.values(), *json_texts(config.message)], templates)


def message_mistakes(config: BrokerConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong with the message, its headers and the number of attempts."""
    yield from json_mistakes(config.message, ("message",), templates)
    for name, value in config.headers.items():
        yield from text_mistakes(value, ("headers", name), templates)
    if config.concurrency > MESSAGES_AT_ONCE:
        yield ConfigMistake(
            ("concurrency",),
            f"{MESSAGES_AT_ONCE} messages at most wait for one broker at the same time; "
            f"write {MESSAGES_AT_ONCE} or less",
        )


def address_mistakes(config: BrokerConfig, parse: Callable[[str], Address]) -> Iterator[ConfigMistake]:
    """What is wrong with the addresses and how to get there. None of them is told."""
    encrypted = []
    for place, url in enumerate(config.url):
        path = ("url", place) if len(config.url) > 1 else ("url",)
        text = url.get_secret_value().strip()
        if not is_static(text):
            yield ConfigMistake(path, "the address of a broker is no template")
            continue
        try:
            encrypted.append(parse(text).encrypted)
        except ValueError as error:
            yield ConfigMistake(path, str(error))
    if len(set(encrypted)) > 1:
        yield ConfigMistake(("url",), "either all addresses of a broker are encrypted or none")
    if config.tls is None:
        return
    if encrypted and not encrypted[0]:
        yield ConfigMistake(("tls",), "the address is not an encrypted one: change how it begins")
    for name in ("ca", "certificate", "key"):
        file: Path | None = getattr(config.tls, name)
        if file is not None and not file.is_file():
            yield ConfigMistake(("tls", name), f"there is no file {file}")
    if config.tls.key is not None and config.tls.certificate is None:
        yield ConfigMistake(("tls", "key"), "a key goes with a `certificate`")
