"""The action `notify`: a message to one of the many services that Apprise knows (the extra `[notify]`).

Promises: every address is a delivery of its own, so one failing channel never hides behind another and a
retry sends nothing twice to those that worked. The addresses are secrets: neither they nor their parts are
shown anywhere. Apprise's requests block, so they run in threads.
"""

import logging
import re
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field, SecretStr

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake, Preview, Work
from mtrigger.actions.blocking import BlockingCalls
from mtrigger.actions.services import Services
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.config_types import OneOrMore, Timeout
from mtrigger.templates import Templates, is_static, scope_of

THREADS = 32
"""Notifications at the same time, those of all rules together; further ones wait for a thread."""

_TALKATIVE = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")
"""Loggers that write addresses into the log."""

_SHORTEST_SECRET = 4
_calls = BlockingCalls(THREADS)


class NotifyConfig(ActionConfig):
    """A message through Apprise."""

    urls: OneOrMore[SecretStr] = Field(
        description="Apprise addresses (slack://…, tgram://…), each a delivery of its own. Not templates"
    )
    body: str = Field(min_length=1, description="The message (a template)")
    title: str = Field(default="", description="Its title, where the service has one (a template)")
    type: Literal["info", "success", "warning", "failure"] = Field(
        default="info", description="What kind of news it is: services show a colour or a sign"
    )
    timeout: Timeout = Field(default=60.0, description="After this the attempt has failed")


class NotificationFailed(Exception):  # noqa: N818 - reads as what happened, like WebhookFailed
    """The service did not take the message; the retry policy decides what becomes of it."""


class Notify:
    """Sends one message to one address."""

    def __init__(self, config: NotifyConfig, services: Services) -> None:
        (url,) = config.urls  # the loader has split it
        self._url = url.get_secret_value().strip()
        self._service = service_of(self._url)
        self._title = services.templates.text(config.title)
        self._body = services.templates.text(config.body)
        self._type = config.type
        self._timeout = config.timeout

    async def run(self, work: Work) -> str:
        """Send it. Raises NotificationFailed with what Apprise said, without the address."""
        scope = scope_of(work.scope)
        title, body = self._title.render(scope), self._body.render(scope)
        call = partial(_send, self._url, title, body, self._type)
        said = await _calls.run(f"the notification through {self._service}", call, self._timeout)
        if said is not None:
            told = hidden(said, self._url)
            raise NotificationFailed(
                f"{self._service} did not take the message" + (f": {told}" if told else "")
            )
        return f"sent through {self._service}"

    def preview(self, work: Work) -> Preview:
        """The message; of the address only the service's name."""
        scope = scope_of(work.scope)
        title, body = self._title.render(scope), self._body.render(scope)
        parts = {"Service": self._service, "Type": self._type, "Title": title, "Body": body}
        shown = {heading: text for heading, text in parts.items() if text}
        return Preview(f"notify through {self._service}: {title or body}", shown)


def service_of(url: str) -> str:
    """The name of the service as its addresses begin: `slack`."""
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)", url)
    return found[0].lower() if found else "?"


def hidden(text: str, url: str) -> str:
    """`text` without any part of `url` but its scheme, whether it is written there as in the address or as
    it was meant."""
    rest = url.partition("://")[2]
    written = [part for form in (rest, unquote(rest)) for part in re.split(r"[/?&=:@#,;\s]+", form)]
    for part in sorted({*written, *map(unquote, written)}, key=len, reverse=True):
        if len(part) >= _SHORTEST_SECRET:
            text = re.sub(re.escape(part), "***", text, flags=re.IGNORECASE)
    return text


def _send(url: str, title: str, body: str, kind: str) -> str | None:
    """Send it. Returns None when the service took it, else what Apprise said of it. Every call has a channel
    of its own: some keep state, and sleep between messages."""
    channel = _channel(url)
    if channel is None:
        return "Apprise cannot use the address"
    sender = _apprise().Apprise(asset=channel.asset)
    sender.add(channel)
    result = sender.notify(title=title, body=body, notify_type=kind, body_format="text")
    return None if result else " ".join(entry.message for entry in result.logs())


def _channel(url: str) -> Any:
    """Apprise's object for an address, None when it cannot use it."""
    apprise = _apprise()
    asset = apprise.AppriseAsset(
        app_id="mtrigger",
        app_desc="mtrigger",
        async_mode=False,
        service_timeout=0,  # ours holds; theirs would take a thread that keeps the process from its end
    )
    return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _apprise() -> Any:
    import apprise

    for name in _TALKATIVE:
        logging.getLogger(name).propagate = False  # what Apprise says of a failure is in its result, too
    return apprise


def _address_problem(url: str) -> str | None:
    """What is wrong with an address, without the address."""
    if not is_static(url):
        return "the address of a channel is no template"
    if _channel(url.strip()) is None:
        return (
            "Apprise cannot use this address; how each service's is written: "
            "https://github.com/caronc/apprise/wiki"
        )
    return None


def _mistakes(config: NotifyConfig, templates: Templates) -> Iterator[ConfigMistake]:
    yield from text_mistakes(config.title, ("title",), templates)
    yield from text_mistakes(config.body, ("body",), templates)
    if find_spec("apprise") is None:
        yield ConfigMistake(
            (), '`notify` needs Apprise, which is not installed: pip install "mtrigger[notify]"'
        )
        return
    for place, url in enumerate(config.urls):
        if (problem := _address_problem(url.get_secret_value())) is not None:
            yield ConfigMistake(("urls", place), problem)
    if config.concurrency > THREADS:
        yield ConfigMistake(
            ("concurrency",),
            f"notifications have {THREADS} threads, those of all rules together; write {THREADS} or less",
        )


def _reads(config: NotifyConfig, templates: Templates) -> frozenset[str] | None:
    return names_in([config.title, config.body], templates)


def _split(config: NotifyConfig) -> tuple[NotifyConfig, ...]:
    return tuple(config.model_copy(update={"urls": (url,)}) for url in config.urls)


KIND = ActionKind("notify", NotifyConfig, _mistakes, _reads, Notify, split=_split)
