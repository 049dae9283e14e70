"""The action `sms`: a text message through an HTTP gateway.

An action of another package is made of the same parts as those of mtrigger itself: settings, a class with
`run` and `preview`, and an `ActionKind` that an entry point names.
"""

import json
import re
from collections.abc import Iterator

from pydantic import Field, SecretStr

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake, Preview, Work
from mtrigger.actions.http import Answer, Request
from mtrigger.actions.services import Services
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.config_types import Timeout
from mtrigger.errors import PermanentError, RetryLater
from mtrigger.templates import Templates, is_static

LONGEST = 480
"""Characters of a message that a gateway sends, as three parts."""

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")  # E.164


class SmsConfig(ActionConfig):
    """What stands below `sms:` in a rule."""

    gateway: str = Field(min_length=1, description="The address of the gateway: https://…")
    to: str = Field(min_length=1, description="The number, as +4912345678 (a template)")
    text: str = Field(min_length=1, description="The message (a template)")
    token: SecretStr | None = Field(default=None, description="Proves to the gateway who we are")
    timeout: Timeout = Field(default=10.0, description="For the whole request")


class Sms:
    """One `sms` entry of a rule, its templates compiled. Attempts share it, so it keeps nothing."""

    def __init__(self, config: SmsConfig, services: Services) -> None:
        self._http = services.http
        self._to = services.templates.text(config.to)
        self._text = services.templates.text(config.text)
        self._gateway = config.gateway
        self._token = config.token
        self._timeout = config.timeout

    async def run(self, work: Work) -> str:
        """Send it. What is raised here decides: PermanentError ends the delivery, RetryLater says when to try
        again, and after anything else (no connection, no answer) the rule's retry policy says so."""
        answer = await self._http.send(self._request(work), self._timeout)
        return _judged(answer)

    def preview(self, work: Work) -> Preview:
        """What would be sent, for `mtrigger test` and `--dry-run`; without the token."""
        to, text = self._message(work)
        return Preview(f"sms to {to}: {text}", {"To": to, "Text": text})

    def _message(self, work: Work) -> tuple[str, str]:
        to = self._to.render(work.scope).strip()
        if not _NUMBER.fullmatch(to):
            raise PermanentError("to: this is not a number such as +4912345678")
        return to, self._text.render(work.scope)[:LONGEST]

    def _request(self, work: Work) -> Request:
        to, text = self._message(work)
        # The same id on every attempt lets the gateway tell a repeat.
        headers = {"content-type": "application/json", "idempotency-key": work.delivery_id}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token.get_secret_value()}"
        return Request("POST", self._gateway, headers, json.dumps({"to": to, "text": text}).encode())


class GatewayFailed(Exception):  # noqa: N818 - reads as what happened
    """The gateway did not take the message; the rule's retry policy decides."""


def _judged(answer: Answer) -> str:
    if 200 <= answer.status < 300:
        return str(answer)
    if answer.status == 429:
        raise RetryLater(after=30, reason=f"the gateway is busy: {answer}")
    if 400 <= answer.status < 500:
        raise PermanentError(f"the gateway refused the message: {answer}")
    raise GatewayFailed(f"the gateway answered {answer}")


def _mistakes(config: SmsConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What `mtrigger check` finds beyond the types. It must not touch the network."""
    yield from text_mistakes(config.to, ("to",), templates)
    yield from text_mistakes(config.text, ("text",), templates)
    if is_static(config.to) and not _NUMBER.fullmatch(config.to.strip()):
        yield ConfigMistake(("to",), "this is not a number such as +4912345678")
    if not config.gateway.startswith(("https://", "http://")):
        yield ConfigMistake(("gateway",), "the address must be https://host/… or http://host/…")


def _reads(config: SmsConfig, templates: Templates) -> frozenset[str] | None:
    """Which names its templates read: what nobody reads need not be fetched (None: who knows)."""
    return names_in([config.to, config.text], templates)


KIND = ActionKind("sms", SmsConfig, _mistakes, _reads, Sms)
