"""Messages to a chat room by the room's own address: what `slack` and `teams` have in common.

They are webhooks whose body is fixed by the chat. The address is the key to the room, so nothing but its host
is ever shown. A room is read by people: one message at a time, unless a rule says more.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from pydantic import Field, SecretStr

from mtrigger.actions.base import ActionConfig, ConfigMistake, Preview, Work
from mtrigger.actions.held_back import HELD_BACK, held_back_note
from mtrigger.actions.http import Request
from mtrigger.actions.http_calls import Caller, headers_for
from mtrigger.actions.services import Services
from mtrigger.actions.template_texts import names_in
from mtrigger.actions.web_addresses import host_alone, url_problem
from mtrigger.actions.webhook_settings import too_many_at_once
from mtrigger.config_types import Count, Timeout
from mtrigger.templates import Scope, Template, Templates, is_static, scope_of
from mtrigger.templates.values import extended_json

_WHAT_HAPPENED = (
    "{% if resolved %} is over{% endif %}: {{ event.operation }}"
    "{% if event.collection %} in {{ event.database }}.{{ event.collection }}{% endif %}"
    "{% if event.key %}, {{ event.key._id | default(event.key) }}"
    "{% if count > 1 %} and {{ count - 1 }} more{% endif %}"
    "{% else %} at {{ event.time }}{% if count > 1 %}, documents: {{ count }}{% endif %}{% endif %}"
    "{% for name in group %}, {{ name }}: {{ group[name] }}{% endfor %}"
)

Message = Callable[[Scope, str], object]
"""The body for one delivery, as JSON knows it; the text is a last paragraph, "" for none."""


class ChatConfig(ActionConfig):
    """What every chat's settings begin with."""

    url: SecretStr = Field(
        min_length=1, description="The address that the chat gave out for the room: a secret, not a template"
    )
    timeout: Timeout = Field(default=30.0, description="For the whole request")
    concurrency: Count = Field(
        default=1, description="How many attempts of this action may run at the same time"
    )


class ChatMessage:
    """Posts what `message` makes of a delivery; `texts` are the templates it is made from."""

    def __init__(
        self, kind: str, config: ChatConfig, services: Services, texts: Iterable[str], message: Message
    ) -> None:
        self._kind = kind
        self._caller = Caller(services.http, config.timeout, host_alone)
        self._url = config.url.get_secret_value().strip()
        self._message = message
        read = names_in(texts, services.templates)
        self._tells_what_was_held_back = read is not None and HELD_BACK in read

    async def run(self, work: Work) -> str:
        """Send it. Raises PermanentError, RetryLater or WebhookFailed."""
        return await self._caller.call(self._request(work))

    def preview(self, work: Work) -> Preview:
        """The request as it would be sent, but for the room's address."""
        return self._caller.preview(self._kind, self._request(work))

    def _request(self, work: Work) -> Request:
        note = "" if self._tells_what_was_held_back else held_back_note(work, "message")
        body = extended_json(self._message(scope_of(work.scope), note)).encode()
        return Request("POST", self._url, headers_for(work, "application/json", int(time.time())), body)


def usual_text(bold: str) -> str:
    """The template of a message whose rule gives none: the rule, what happened where and when, to which
    document and how many more. `bold` is the chat's sign for bold text."""
    return f"{bold}{{{{ rule.name }}}}{bold}{_WHAT_HAPPENED}"


def with_note(text: Template, scope: Scope, note: str) -> str:
    """The text, and the note as a paragraph of its own."""
    rendered = text.render(scope)
    return f"{rendered.rstrip()}\n\n{note}" if note else rendered


def chat_mistakes(config: ChatConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong with the settings that all chats have."""
    url = config.url.get_secret_value().strip()
    if not is_static(url):
        yield ConfigMistake(("url",), "the address is no template: it is the same for every event")
    elif (problem := url_problem(url)) is not None:
        yield ConfigMistake(("url",), problem)
    yield from too_many_at_once(config)
