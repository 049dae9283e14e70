"""The action `teams`: an Adaptive Card for the Teams workflow "When a Teams webhook request is received"
(https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).

The card's texts know a little Markdown; values are escaped, so that no document can dress up a link.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import Field

from mtrigger.actions.base import ActionKind, ConfigMistake
from mtrigger.actions.chat import ChatConfig, ChatMessage, chat_mistakes, usual_text, with_note
from mtrigger.actions.services import Services
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.templates import Scope, Template, Templates

_USUAL_TEXT = usual_text("**")

_SIGNS = re.compile(r"[\\`*_\[\]<>~#|]")
_BULLETS = re.compile(r"^(\s*)([-+]|\d+[.)])(?=\s)", re.MULTILINE)


class TeamsConfig(ChatConfig):
    """A message in Microsoft Teams."""

    title: str | None = Field(default=None, description="A heading above the text (a template)")
    text: str | None = Field(
        default=None,
        min_length=1,
        description="The message, in the Markdown of Adaptive Cards (a template). "
        "Left out: the rule, what happened, and to which document",
    )


def markdown(value: str) -> str:
    """`value` as plain text in a card: nothing in it is bold, a list or a link."""
    marked = _SIGNS.sub(r"\\\g<0>", value)
    return _BULLETS.sub(lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", marked)


def _message(title: Template | None, text: Template, scope: Scope, note: str) -> dict[str, Any]:
    body = [{"type": "TextBlock", "text": with_note(text, scope, note), "wrap": True}]
    if title is not None:
        heading = {"type": "TextBlock", "text": title.render(scope), "size": "Large", "weight": "Bolder"}
        body.insert(0, {**heading, "wrap": True})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}]}


def _text(config: TeamsConfig) -> str:
    return config.text if config.text is not None else _USUAL_TEXT


def _texts(config: TeamsConfig) -> list[str]:
    return [_text(config), *([config.title] if config.title is not None else [])]


def _mistakes(config: TeamsConfig, templates: Templates) -> Iterator[ConfigMistake]:
    yield from chat_mistakes(config, templates)
    yield from text_mistakes(_text(config), ("text",), templates)
    if config.title is not None:
        yield from text_mistakes(config.title, ("title",), templates)


def _reads(config: TeamsConfig, templates: Templates) -> frozenset[str] | None:
    return names_in(_texts(config), templates)


def _open(config: TeamsConfig, services: Services) -> ChatMessage:
    escaped = partial(services.templates.escaped, escape=markdown)
    title = escaped(config.title) if config.title is not None else None
    return ChatMessage(
        "teams", config, services, _texts(config), partial(_message, title, escaped(_text(config)))
    )


KIND = ActionKind("teams", TeamsConfig, _mistakes, _reads, _open)
