"""The action `slack`: a message by one of Slack's incoming webhooks
(https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

Values are escaped as Slack wants it, so that no document can call a channel (`<!channel>`) or hide where a
link leads.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import Field

from mtrigger.actions.base import ActionKind, ConfigMistake
from mtrigger.actions.chat import ChatConfig, ChatMessage, chat_mistakes, usual_text, with_note
from mtrigger.actions.json_templates import Filled, json_mistakes, json_template, json_texts
from mtrigger.actions.services import Services
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.templates import Scope, Template, Templates

_USUAL_TEXT = usual_text("*")


class SlackConfig(ChatConfig):
    """A message in Slack."""

    text: str | None = Field(
        default=None,
        min_length=1,
        description="The message in Slack's mrkdwn (a template); with `blocks` what a notification shows. "
        "Left out: the rule, what happened, and to which document",
    )
    blocks: list[dict[str, Any]] = Field(
        default_factory=list, description="Slack's Block Kit; strings are templates"
    )


def mrkdwn(value: str) -> str:
    """`value` as plain text in a message (https://docs.slack.dev/messaging/formatting-message-text)."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _message(text: Template, blocks: Filled, scope: Scope, note: str) -> dict[str, Any]:
    filled = blocks(scope)
    if filled and note:
        filled.append({"type": "context", "elements": [{"type": "plain_text", "text": note}]})
    return {"text": with_note(text, scope, note), **({"blocks": filled} if filled else {})}


def _leaf(templates: Templates) -> Callable[[str, str], Filled]:
    """Texts are always texts: no document brings blocks of its own. Only addresses are not escaped."""

    def make(name: str, source: str) -> Filled:
        is_address = name == "url" or name.endswith("_url")
        return (templates.text(source) if is_address else templates.escaped(source, mrkdwn)).render

    return make


def _text(config: SlackConfig) -> str:
    return config.text if config.text is not None else _USUAL_TEXT


def _texts(config: SlackConfig) -> list[str]:
    return [_text(config), *json_texts(config.blocks)]


def _mistakes(config: SlackConfig, templates: Templates) -> Iterator[ConfigMistake]:
    yield from chat_mistakes(config, templates)
    yield from text_mistakes(_text(config), ("text",), templates)
    yield from json_mistakes(config.blocks, ("blocks",), templates)


def _reads(config: SlackConfig, templates: Templates) -> frozenset[str] | None:
    return names_in(_texts(config), templates)


def _open(config: SlackConfig, services: Services) -> ChatMessage:
    text = services.templates.escaped(_text(config), mrkdwn)
    blocks = json_template(config.blocks, _leaf(services.templates))
    return ChatMessage("slack", config, services, _texts(config), partial(_message, text, blocks))


KIND = ActionKind("slack", SlackConfig, _mistakes, _reads, _open)
