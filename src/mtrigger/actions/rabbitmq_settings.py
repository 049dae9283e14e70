"""The settings of a `rabbitmq` action in a rule file, and all that can be wrong with them beforehand."""

from collections.abc import Iterator
from importlib.util import find_spec

from pydantic import Field

from mtrigger.actions.base import ConfigMistake
from mtrigger.actions.broker_addresses import Address, parse_address
from mtrigger.actions.broker_settings import (
    BrokerConfig,
    address_mistakes,
    message_mistakes,
    message_reads,
)
from mtrigger.actions.rabbitmq_server import RabbitmqServer
from mtrigger.actions.template_texts import text_mistakes
from mtrigger.config_types import Flag
from mtrigger.templates import Templates, is_static

LONGEST_NAME = 255
"""Bytes of a short string in AMQP 0-9-1 (4.2.5.3): exchanges, routing keys, names of headers."""


class RabbitmqConfig(BrokerConfig):
    """A message to an exchange of RabbitMQ (AMQP 0-9-1)."""

    exchange: str = Field(
        default="",
        description="The exchange (default: the one to the queue `routing_key`). No template",
    )
    routing_key: str = Field(default="", description="The routing key (a template)")
    mandatory: Flag = Field(
        default=True, description="Whether a message that reaches no queue has failed; else it is lost"
    )
    persistent: Flag = Field(default=True, description="Whether it outlives a restart of the broker")
    content_type: str = Field(
        default="", description="What the message is (default: application/json, or text/plain). No template"
    )

    def server(self) -> RabbitmqServer:
        """The broker. Raises ValueError without the address."""
        password = self.password.get_secret_value() if self.password is not None else ""
        return RabbitmqServer(self.addresses(parse_amqp), self.user, password, self.certificates)


def parse_amqp(url: str) -> Address:
    """Read `amqp://user:password@host:5672/virtual-host` or `amqps://…`. Raises ValueError without the
    address."""
    return parse_address(url, ("amqp", 5672), ("amqps", 5671))


def rabbitmq_reads(config: RabbitmqConfig, templates: Templates) -> frozenset[str] | None:
    """The names that it reads."""
    return message_reads(config, config.routing_key, templates)


def rabbitmq_mistakes(config: RabbitmqConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong with `config` beyond its form, all of it."""
    yield from text_mistakes(config.routing_key, ("routing_key",), templates)
    for name in ("exchange", "routing_key", "content_type"):
        text: str = getattr(config, name)
        if not is_static(text):
            if name != "routing_key":
                yield ConfigMistake((name,), "this is no template: only the routing key can be one")
        elif len(text.encode()) > LONGEST_NAME:
            yield ConfigMistake((name,), f"this may have {LONGEST_NAME} bytes at most")
    if not config.exchange and not config.routing_key:
        yield ConfigMistake(
            (), "where does it go? Give an `exchange`, or a queue's name as `routing_key`, or both"
        )
    yield from message_mistakes(config, templates)
    for name in config.headers:
        if not name or len(name.encode()) > LONGEST_NAME:
            yield ConfigMistake(("headers", name), f"the name of a header has 1 to {LONGEST_NAME} bytes")
    yield from address_mistakes(config, parse_amqp)
    if bool(config.user) != (config.password is not None):
        yield ConfigMistake(("user",) if config.user else ("password",), "`user` and `password` go together")
    if find_spec("aio_pika") is None:
        yield ConfigMistake(
            (),
            '`rabbitmq` needs the package aio-pika, which is not installed: pip install "mtrigger[bridges]"',
        )
