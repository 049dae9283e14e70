"""The action `nats`: a message to a stream of NATS JetStream (the extra `[bridges]`).

Promise: it is delivered when the stream has said that it holds the message. `Nats-Msg-Id` is the delivery's
id on every attempt, so that a stream leaves out repeats within its own window for duplicates.
"""

from mtrigger.actions.base import ActionKind, Preview, Work
from mtrigger.actions.broker_messages import Content, ContentTemplate
from mtrigger.actions.nats_server import EXPECTED_STREAM, MESSAGE_ID, NatsMessage
from mtrigger.actions.nats_settings import (
    CONTROL,
    NatsConfig,
    nats_mistakes,
    nats_reads,
    subject_problem,
)
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError
from mtrigger.templates import scope_of

__all__ = ["KIND", "Nats", "NatsConfig"]


class Nats:
    """Makes the message from its templates and publishes it."""

    def __init__(self, config: NatsConfig, services: Services) -> None:
        self._broker = services.broker(config.server())
        self._subject = services.templates.text(config.subject)
        self._content = ContentTemplate(config, services.templates)
        self._stream = config.stream
        self._timeout = config.timeout

    async def run(self, work: Work) -> str:
        """Publish it. Raises PermanentError if it cannot be made or is refused, MessageNotTaken or
        DestinationDown if it may be taken another time."""
        subject, content = self._made(work)
        own = {MESSAGE_ID: work.delivery_id} | ({EXPECTED_STREAM: self._stream} if self._stream else {})
        message = NatsMessage(subject, content.body, content.headers | own)
        return await self._broker.publish(lambda connection: connection.publish(message), self._timeout)

    def preview(self, work: Work) -> Preview:
        """The message as it would be published; of the address no secrets."""
        subject, content = self._made(work)
        parts = {"Broker": self._broker.destination, "Subject": subject, "Stream": self._stream}
        return content.preview("nats", subject, **parts)

    def _made(self, work: Work) -> tuple[str, Content]:
        scope = scope_of(work.scope)
        subject = self._subject.render(scope).strip()
        if (problem := subject_problem(subject)) is not None:
            raise PermanentError(f"subject: {problem}")
        content = self._content.content(work, scope)
        for name, value in content.headers.items():
            if CONTROL.search(value):
                raise PermanentError(
                    f"headers.{name}: a header cannot hold line breaks or control characters"
                )
        return subject, content


KIND = ActionKind("nats", NatsConfig, nats_mistakes, nats_reads, Nats)
