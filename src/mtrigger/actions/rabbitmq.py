"""The action `rabbitmq`: a message to an exchange of RabbitMQ (the extra `[bridges]`).

Promise: it is delivered when the broker has confirmed it, and unless the rule says otherwise that means that
a queue has it. `message_id` is the delivery's id on every attempt, so that a consumer can tell a repeat.
"""

from mtrigger.actions.base import ActionKind, Preview, Work
from mtrigger.actions.broker_messages import Content, ContentTemplate
from mtrigger.actions.rabbitmq_server import RabbitmqMessage
from mtrigger.actions.rabbitmq_settings import (
    LONGEST_NAME,
    RabbitmqConfig,
    rabbitmq_mistakes,
    rabbitmq_reads,
)
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError
from mtrigger.templates import scope_of

__all__ = ["KIND", "Rabbitmq", "RabbitmqConfig"]


class Rabbitmq:
    """Makes the message from its templates and publishes it."""

    def __init__(self, config: RabbitmqConfig, services: Services) -> None:
        self._config = config
        self._broker = services.broker(config.server())
        self._routing_key = services.templates.text(config.routing_key)
        self._content = ContentTemplate(config, services.templates)

    async def run(self, work: Work) -> str:
        """Publish it. Raises PermanentError if it cannot be made or is refused, MessageNotTaken or
        DestinationDown if it may be taken another time."""
        routing_key, content = self._made(work)
        message = RabbitmqMessage(
            exchange=self._config.exchange,
            routing_key=routing_key,
            body=content.body,
            headers=content.headers,
            id=work.delivery_id,
            content_type=self._config.content_type or content.content_type,
            mandatory=self._config.mandatory,
            persistent=self._config.persistent,
        )
        return await self._broker.publish(
            lambda connection: connection.publish(message), self._config.timeout
        )

    def preview(self, work: Work) -> Preview:
        """The message as it would be published; of the address no secrets."""
        routing_key, content = self._made(work)
        exchange = self._config.exchange
        target = f"{exchange} {routing_key}".strip()
        parts = {"Broker": self._broker.destination, "Exchange": exchange, "Routing key": routing_key}
        return content.preview("rabbitmq", target, **parts)

    def _made(self, work: Work) -> tuple[str, Content]:
        scope = scope_of(work.scope)
        routing_key = self._routing_key.render(scope)
        if len(routing_key.encode()) > LONGEST_NAME:
            raise PermanentError(f"routing_key: it may have {LONGEST_NAME} bytes at most")
        return routing_key, self._content.content(work, scope)


KIND = ActionKind("rabbitmq", RabbitmqConfig, rabbitmq_mistakes, rabbitmq_reads, Rabbitmq)
