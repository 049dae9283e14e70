"""The settings of a `webhook` action in a rule file, and all that can be wrong with them beforehand."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, SecretStr, Strict

from mtrigger.actions.base import ActionConfig, ConfigMistake
from mtrigger.actions.http import REQUESTS_TO_A_HOST
from mtrigger.actions.json_templates import Json, json_mistakes, json_texts
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.actions.web_addresses import url_problem
from mtrigger.actions.webhook_signing import signing_key
from mtrigger.config_types import OneOrMore, Timeout
from mtrigger.templates import SCOPE_NAMES, Templates, is_static

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1

_OWN_HEADERS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})
_FRAMING_HEADERS = frozenset({"connection", "content-length", "expect", "transfer-encoding", "upgrade"})
"""They say where a message ends, or who speaks how over the connection (RFC 9112): the request knows that. A
wrong one would make the rest of a body the beginning of the next request."""

FailedStatus = Annotated[int, Strict(), Field(ge=400, le=599)]


class WebhookConfig(ActionConfig):
    """An HTTP request."""

    url: str = Field(
        min_length=1,
        repr=False,
        description="Where it goes: http:// or https:// (a template; values in it: `| urlencode`)",
    )
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = Field(
        default="POST", description="The method of the request"
    )
    headers: dict[str, str] = Field(
        default_factory=dict, repr=False, description="Further headers; values are templates"
    )
    format: Literal["standard", "cloudevents"] = Field(
        default="standard",
        description="The message when there is no `body`: Standard Webhooks or CloudEvents",
    )
    body: Json = Field(
        default=None,
        description="A text, or a mapping or list that is sent as JSON; strings are templates. "
        "Left out: the message that `format` names",
    )
    secret: OneOrMore[SecretStr] | None = Field(
        default=None,
        description="Signs the request: whsec_… (base64) or any text. Not a template. While it is being "
        "changed, a list: the request then has a signature by each",
    )
    retry_on: tuple[FailedStatus, ...] = Field(
        default=(), description="Statuses to be tried again besides 408, 425, 429 and 5xx"
    )
    timeout: Timeout = Field(default=30.0, description="For the whole request")

    @property
    def has_body(self) -> bool:
        """Whether the rule says what to send; `body: null` says it, too."""
        return "body" in self.model_fields_set


def webhook_reads(config: WebhookConfig, templates: Templates) -> frozenset[str] | None:
    """The standard message holds all there is to say about a change."""
    if not config.has_body:
        return SCOPE_NAMES
    return names_in([config.url, *config.headers.values(), *json_texts(config.body)], templates)


def webhook_mistakes(config: WebhookConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong with `config` beyond its form, all of it."""
    yield from text_mistakes(config.url, ("url",), templates)
    if is_static(config.url) and (problem := url_problem(config.url.strip())) is not None:
        yield ConfigMistake(("url",), problem)
    for name, value in config.headers.items():
        yield from text_mistakes(value, ("headers", name), templates)
        if not _HEADER_NAME.fullmatch(name):
            yield ConfigMistake(("headers", name), f"`{name}` cannot be the name of a header")
        if name.lower() in _OWN_HEADERS | _FRAMING_HEADERS:
            yield ConfigMistake(("headers", name), f"`{name}` is set by mtrigger itself: leave it out")
        if is_static(value) and CONTROL.search(value.strip()):
            yield ConfigMistake(("headers", name), "a header cannot hold line breaks or control characters")
    yield from json_mistakes(config.body, ("body",), templates)
    if config.has_body and "format" in config.model_fields_set:
        yield ConfigMistake(
            ("format",), "`format` names the message that is sent without a `body`: keep one of the two"
        )
    yield from too_many_at_once(config)
    yield from _secret_mistakes(config.secret or ())


def too_many_at_once(config: ActionConfig) -> Iterator[ConfigMistake]:
    """More attempts at the same time than one host gets requests."""
    if config.concurrency > REQUESTS_TO_A_HOST:
        yield ConfigMistake(
            ("concurrency",),
            f"one host gets {REQUESTS_TO_A_HOST} requests at the same time at most; "
            f"write {REQUESTS_TO_A_HOST} or less",
        )


def _secret_mistakes(secrets: tuple[SecretStr, ...]) -> Iterator[ConfigMistake]:
    for place, secret in enumerate(secrets):
        try:
            signing_key(secret.get_secret_value())
        except ValueError as error:
            yield ConfigMistake(("secret", place) if len(secrets) > 1 else ("secret",), str(error))
