"""The message that goes to a broker: made from a rule's templates, and bounded before anything is sent."""

from dataclasses import dataclass

from mtrigger.actions.base import Preview, Work
from mtrigger.actions.broker_settings import LONGEST_HEADERS, BrokerConfig
from mtrigger.actions.json_templates import json_template, typed_leaf
from mtrigger.actions.standard_message import standard_message
from mtrigger.errors import PermanentError
from mtrigger.templates import Scope, Templates
from mtrigger.templates.values import extended_json

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Content:
    """What a message holds: its body, what kind of thing that is, and the headers that the rule gives it."""

    body: bytes
    content_type: str
    headers: dict[str, str]

    def preview(self, kind: str, target: str, **parts: str) -> Preview:
        """It, for a person; `target` says where it goes, `parts` what else there is to know."""
        headers = "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        shown = {**parts, "Headers": headers, "Message": self.body.decode()}
        return Preview(f"{kind}: {target}", {name: text for name, text in shown.items() if text})


class ContentTemplate:
    """Makes the contents of one action's messages."""

    def __init__(self, config: BrokerConfig, templates: Templates) -> None:
        self._message = json_template(config.message, typed_leaf(templates)) if config.has_message else None
        self._text = templates.text(config.message) if isinstance(config.message, str) else None
        self._headers = {name: templates.text(value) for name, value in config.headers.items()}

    def content(self, work: Work, scope: Scope) -> Content:
        """That of one message. Raises PermanentError if it cannot be made, or no broker could take it."""
        headers = {name: template.render(scope).strip() for name, template in self._headers.items()}
        size = sum(len(name.encode()) + len(value.encode()) for name, value in headers.items())
        if size > LONGEST_HEADERS:
            raise PermanentError(f"headers: {size:,} bytes, more than the {LONGEST_HEADERS:,} that are sent")
        if self._message is None:
            return Content(extended_json(standard_message(work)).encode(), _JSON, headers)
        filled = self._message(scope)
        if self._text is not None and not isinstance(filled, dict | list):  # `{{ document }}` alone is JSON
            return Content(self._text.render(scope).encode(), _TEXT, headers)
        return Content(extended_json(filled).encode(), _JSON, headers)
