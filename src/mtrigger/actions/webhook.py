"""The action `webhook`: an HTTP request to another service.

Without a `body` it sends a Standard Webhooks message
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). An answer of 2xx
is delivery; everything else is a failure that the rule's retry policy decides on. `webhook-id` is the
delivery's id on every attempt, so that a receiver can tell a repeat. Redirects are not followed: they would
carry a document elsewhere.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake, Preview, Work
from mtrigger.actions.http import REQUESTS_TO_A_HOST, Request
from mtrigger.actions.services import Services
from mtrigger.actions.standard_message import standard_message
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.config_types import Timeout
from mtrigger.errors import PermanentError
from mtrigger.redaction import redact_url
from mtrigger.templates import SCOPE_NAMES, Templates, is_static, scope_of
from mtrigger.templates.values import extended_json

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECRET_HEADER = re.compile(r"(?i)auth|cookie|key|secret|token|signature|password")
_SHOWN_OF_ANSWER = 200
_BAD_URL = "the address must be http://host/… or https://host/…"

Json = str | int | float | bool | None | list[Any] | dict[str, Any]


class WebhookConfig(ActionConfig):
    """An HTTP request."""

    url: str = Field(min_length=1, repr=False, description="http:// or https:// (a template)")
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict, repr=False, description="Values are templates")
    body: Json = Field(
        default=None,
        description="A text, or a mapping or list that is sent as JSON; strings are templates. "
        "Left out: the Standard Webhooks message",
    )
    secret: SecretStr | None = Field(
        default=None, description="Signs the request: whsec_… (base64) or any text. Not a template"
    )
    timeout: Timeout = Field(default=30.0, description="For the whole request")


class WebhookFailed(Exception):  # noqa: N818 - reads as what happened, like MailNotSent
    """The request was not answered with 2xx; the retry policy decides what becomes of it."""


class Webhook:
    """Builds the request from its templates and sends it."""

    def __init__(self, config: WebhookConfig, services: Services) -> None:
        templates = services.templates
        self._http = services.http
        self._method = config.method
        self._timeout = config.timeout
        self._url = templates.text(config.url)
        self._headers = {name: templates.text(value) for name, value in config.headers.items()}
        self._body = _body_template(config.body, templates) if "body" in config.model_fields_set else None
        self._is_text = isinstance(config.body, str)
        self._key = signing_key(config.secret.get_secret_value()) if config.secret else None

    async def run(self, work: Work) -> str:
        """Send it. Raises PermanentError if it cannot be built, WebhookFailed unless answered with 2xx."""
        import aiohttp

        request = self._request(work, int(time.time()))
        try:
            answer = await self._http.send(request, self._timeout)
        except aiohttp.InvalidURL:
            raise PermanentError(f"{_shown(request)}: {_BAD_URL}") from None
        except TimeoutError:
            raise WebhookFailed(f"{_shown(request)}: no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError, EOFError) as error:
            raise WebhookFailed(
                f"{_shown(request)}: {type(error).__name__}: {_without(request.url, str(error))}"
            ) from None
        if 200 <= answer.status < 300:
            return str(answer)
        said = " ".join(answer.beginning.decode("utf-8", "replace").split())[:_SHOWN_OF_ANSWER]
        raise WebhookFailed(f"{_shown(request)} answered {answer}" + (f": {said}" if said else ""))

    def preview(self, work: Work) -> Preview:
        """The request as it would be sent; values of headers that hold secrets are left out."""
        request = self._request(work, int(time.time()))
        headers = "\n".join(
            f"{name}: {'***' if _SECRET_HEADER.search(name) else value}"
            for name, value in request.headers.items()
        )
        parts = {"Request": _shown(request), "Headers": headers, "Body": request.body.decode()}
        return Preview(f"webhook: {_shown(request)}", parts)

    def _request(self, work: Work, timestamp: int) -> Request:
        scope = scope_of(work.scope)
        url = self._url.render(scope).strip()
        if (problem := url_problem(url)) is not None:
            raise PermanentError(f"url: {problem}")
        if self._body is None:
            body, content_type = extended_json(standard_message(work)).encode(), "application/json"
        elif self._is_text:
            body, content_type = str(self._body(scope)).encode(), "text/plain; charset=utf-8"
        else:
            body, content_type = extended_json(self._body(scope)).encode(), "application/json"
        headers = {
            "content-type": content_type,
            "user-agent": "mtrigger",
            "webhook-id": work.delivery_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, work.delivery_id, timestamp, body)
        for name, template in self._headers.items():
            value = template.render(scope).strip()
            if _CONTROL.search(value):
                raise PermanentError(
                    f"headers.{name}: a header cannot hold line breaks or control characters"
                )
            headers[name.lower()] = value
        return Request(self._method, url, headers, body)


def signing_key(secret: str) -> bytes:
    """The key of a secret: `whsec_…` is base64, any other text is taken as it is. Raises ValueError."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:  # of which binascii.Error is one
        raise ValueError("what follows whsec_ is not base64") from None


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`, version 1 (HMAC-SHA256) of Standard Webhooks."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


@lru_cache(1_000)
def url_problem(url: str) -> str | None:
    """What is wrong with a rendered address, without the address: it may hold a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        return _BAD_URL
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        return "the address holds spaces or control characters; pass values through | urlencode"
    return None


def _body_template(body: Json, templates: Templates) -> Callable[[Mapping[str, Any]], Any]:
    """A function from scope to body. A string that is one `{{ … }}` alone keeps the types that JSON knows."""
    if isinstance(body, dict):
        members = {name: _body_template(value, templates) for name, value in body.items()}
        return lambda scope: {name: member(scope) for name, member in members.items()}
    if isinstance(body, list):
        items = [_body_template(value, templates) for value in body]
        return lambda scope: [item(scope) for item in items]
    if not isinstance(body, str):
        return lambda scope: body
    text, value = templates.text(body), templates.value(body)

    def leaf(scope: Mapping[str, Any]) -> Any:
        found = value.render(scope)
        return (
            found
            if found is None or isinstance(found, (bool, int, float, dict, list))
            else text.render(scope)
        )

    return leaf


def _shown(request: Request) -> str:
    return f"{request.method} {redact_url(request.url)}"


def _without(url: str, text: str) -> str:
    """An error's text with the address in it redacted."""
    return text.replace(url, redact_url(url))


def _body_mistakes(body: Json, path: tuple[str | int, ...], templates: Templates) -> Iterator[ConfigMistake]:
    if isinstance(body, str):
        yield from text_mistakes(body, path, templates)
    elif isinstance(body, (dict, list)):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from _body_mistakes(value, (*path, key), templates)


def _texts(body: Json) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict | list):
        for value in body.values() if isinstance(body, dict) else body:
            yield from _texts(value)


def _reads(config: WebhookConfig, templates: Templates) -> frozenset[str] | None:
    """The standard message holds all there is to say about a change."""
    if "body" not in config.model_fields_set:
        return SCOPE_NAMES
    return names_in([config.url, *config.headers.values(), *_texts(config.body)], templates)


def _mistakes(config: WebhookConfig, templates: Templates) -> Iterator[ConfigMistake]:
    yield from text_mistakes(config.url, ("url",), templates)
    if is_static(config.url) and (problem := url_problem(config.url.strip())) is not None:
        yield ConfigMistake(("url",), problem)
    for name, value in config.headers.items():
        yield from text_mistakes(value, ("headers", name), templates)
        if not _HEADER_NAME.fullmatch(name):
            yield ConfigMistake(("headers", name), f"`{name}` cannot be the name of a header")
        if is_static(value) and _CONTROL.search(value.strip()):
            yield ConfigMistake(("headers", name), "a header cannot hold line breaks or control characters")
    yield from _body_mistakes(config.body, ("body",), templates)
    if config.concurrency > REQUESTS_TO_A_HOST:
        most = REQUESTS_TO_A_HOST
        yield ConfigMistake(
            ("concurrency",),
            f"one host gets {most} requests at the same time at most; write {most} or less",
        )
    if config.secret is not None:
        try:
            signing_key(config.secret.get_secret_value())
        except ValueError as error:
            yield ConfigMistake(("secret",), str(error))


KIND = ActionKind("webhook", WebhookConfig, _mistakes, _reads, Webhook)
