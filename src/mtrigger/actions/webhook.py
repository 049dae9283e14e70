"""The action `webhook`: an HTTP request to another service.

Without a `body` it sends a Standard Webhooks message or a CloudEvent. What an answer means is decided in
`http_answers.py`. `webhook-id` is the delivery's id on every attempt, so that a receiver can tell a repeat.
"""

import time

from mtrigger.actions.base import ActionKind, Preview, Work
from mtrigger.actions.cloud_event import cloud_event
from mtrigger.actions.http import Request
from mtrigger.actions.http_calls import Caller, WebhookFailed, headers_for
from mtrigger.actions.json_templates import json_template, typed_leaf
from mtrigger.actions.services import Services
from mtrigger.actions.standard_message import standard_message
from mtrigger.actions.web_addresses import url_problem
from mtrigger.actions.webhook_settings import CONTROL, WebhookConfig, webhook_mistakes, webhook_reads
from mtrigger.actions.webhook_signing import signature, signing_key
from mtrigger.errors import PermanentError
from mtrigger.redaction import redact_url
from mtrigger.templates import Scope, scope_of
from mtrigger.templates.values import extended_json

__all__ = ["KIND", "Webhook", "WebhookConfig", "WebhookFailed"]

_JSON, _CLOUD_EVENT, _TEXT = "application/json", "application/cloudevents+json", "text/plain; charset=utf-8"


class Webhook:
    """Builds the request from its templates and sends it."""

    def __init__(self, config: WebhookConfig, services: Services) -> None:
        templates = services.templates
        self._caller = Caller(services.http, config.timeout, redact_url, config.retry_on)
        self._method = config.method
        self._url = templates.text(config.url)
        self._headers = {name: templates.text(value) for name, value in config.headers.items()}
        self._format = config.format
        self._body = json_template(config.body, typed_leaf(templates)) if config.has_body else None
        self._is_text = isinstance(config.body, str)
        self._keys = [signing_key(secret.get_secret_value()) for secret in config.secret or ()]

    async def run(self, work: Work) -> str:
        """Send it. Raises PermanentError if it cannot be built or is refused, RetryLater or WebhookFailed if
        it may be taken another time."""
        return await self._caller.call(self._request(work, int(time.time())))

    def preview(self, work: Work) -> Preview:
        """The request as it would be sent; values of headers that hold secrets are left out."""
        return self._caller.preview("webhook", self._request(work, int(time.time())))

    def _request(self, work: Work, timestamp: int) -> Request:
        scope = scope_of(work.scope)
        url = self._url.render(scope).strip()
        if (problem := url_problem(url)) is not None:
            raise PermanentError(f"url: {problem}")
        body, content_type = self._content(work, scope)
        headers = headers_for(work, content_type, timestamp)
        if self._keys:
            headers["webhook-signature"] = signature(self._keys, work.delivery_id, timestamp, body)
        for name, template in self._headers.items():
            value = template.render(scope).strip()
            if CONTROL.search(value):
                raise PermanentError(
                    f"headers.{name}: a header cannot hold line breaks or control characters"
                )
            headers[name.lower()] = value
        return Request(self._method, url, headers, body)

    def _content(self, work: Work, scope: Scope) -> tuple[bytes, str]:
        """The body and its type."""
        if self._body is None:
            if self._format == "cloudevents":
                return extended_json(cloud_event(work)).encode(), _CLOUD_EVENT
            return extended_json(standard_message(work)).encode(), _JSON
        filled = self._body(scope)
        return (str(filled).encode(), _TEXT) if self._is_text else (extended_json(filled).encode(), _JSON)


KIND = ActionKind("webhook", WebhookConfig, webhook_mistakes, webhook_reads, Webhook)
