"""The action `publish`: one message in a topic.

It makes the message as a value (`mtrigger.effects`), which becomes durable together with the delivery's
outcome. Promise: the message's id is the delivery's, so whatever is repeated, the topic holds it once; and it
tells which rule it comes from and what had caused that, so that rules which feed each other over topics are
found out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import bson
from bson.errors import BSONError
from pydantic import Field

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake, Need, Preview, Work
from mtrigger.actions.json_templates import Json, bson_leaf, filled, json_mistakes, json_template, json_texts
from mtrigger.actions.services import Services
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.config_types import Count
from mtrigger.effects import STATE, Cause, Effect
from mtrigger.errors import PermanentError
from mtrigger.messages import LARGEST_MESSAGE, Message, collection_of, fields_of, name_mistake
from mtrigger.templates import Templates, is_static, scope_of
from mtrigger.templates.values import extended_json

_OF_SEVERAL = ("documents", "count", "more", "sums")


class PublishConfig(ActionConfig):
    """A message in a topic, exactly once for each delivery."""

    concurrency: Count = Field(
        default=500,
        description="How many attempts of this action may run at the same time, and so share a transaction",
    )
    topic: str = Field(min_length=1, description="The topic's name (a template)", examples=["BIZ-BIGORDER"])
    message: Json = Field(
        default=None,
        description="What is published: any value of templates; left out: the document after the change",
    )
    key: Json = Field(
        default=None,
        description="Messages of one key are consumed in their order; left out: the document's `_id`",
    )
    headers: dict[str, str] = Field(default={}, description="Texts beside the message, by name (templates)")


class Publish:
    """One topic, with the message of each delivery."""

    def __init__(self, config: PublishConfig, services: Services) -> None:
        templates, given = services.templates, config.model_fields_set
        leaf = bson_leaf(templates)
        self._topic = templates.text(config.topic)
        self._body = json_template(config.message, leaf) if "message" in given else None
        self._key = json_template(config.key, leaf) if "key" in given else None
        self._headers = {name: templates.text(text) for name, text in config.headers.items()}

    async def run(self, work: Work) -> Effect:
        """The message to be stored. Raises PermanentError if there can be none."""
        return self._effect(work)

    def preview(self, work: Work) -> Preview:
        """The topic, and the message as it would be stored."""
        effect = self._effect(work)
        topic, message = self._topic.render(work.scope), effect.value
        parts = {"Topic": topic, "Key": extended_json(message["key"])}
        if message["headers"]:
            parts["Headers"] = extended_json(message["headers"], indent=2)
        parts["Message"] = extended_json(message["body"], indent=2)
        return Preview(f"publish: {topic}", parts)

    def _effect(self, work: Work) -> Effect:
        scope = scope_of(work.scope)
        topic = filled("topic", self._topic.render, scope)
        if mistake := name_mistake(topic):
            raise PermanentError(f"topic: {mistake}")
        message = Message(
            id=work.delivery_id,
            key=filled("key", self._key, scope) if self._key is not None else work.subject,
            time=work.scope["now"],
            headers={name: filled("headers", text.render, scope) for name, text in self._headers.items()},
            body=filled("message", self._body, scope) if self._body is not None else _body(work),
            source=_source(work),
        )
        stored = fields_of(message)
        _check(stored)
        return Effect(STATE, collection_of(topic), "insert", value=stored, own_id=True)


def _check(message: Mapping[str, Any]) -> None:
    """Raise PermanentError if `message` cannot be stored."""
    try:
        size = len(bson.encode(message))
    except (BSONError, OverflowError, RecursionError) as error:
        raise PermanentError(f"message: it cannot be encoded as BSON: {error}") from error
    if size > LARGEST_MESSAGE:
        raise PermanentError(
            f"message: it has {size:,} bytes, and {LARGEST_MESSAGE:,} is the most; publish less (`message:`)"
        )


def _body(work: Work) -> Any:
    """What is published where the rule does not say: a message is passed on as it is."""
    if work.several:
        return {name: work.scope[name] for name in _OF_SEVERAL}
    message = work.scope.get("message")
    return work.scope["document"] if message is None else message["body"]


def _source(work: Work) -> dict[str, Any]:
    """Where the message comes from. `depth` and `through` are what a rule that consumes it goes by."""
    event = work.scope["event"]
    cause = Cause.of(work.rule, work.depth, work.through)
    return {
        "rule": work.rule,
        "action": work.action,
        "delivery": work.delivery_id,
        "event": {name: event[name] for name in ("database", "collection", "operation", "key", "time")},
        "depth": cause.depth,
        "through": list(cause.through),
    }


def _mistakes(config: PublishConfig, templates: Templates) -> Iterator[ConfigMistake]:
    if is_static(config.topic):
        if mistake := name_mistake(config.topic):
            yield ConfigMistake(("topic",), mistake)
    else:
        yield from text_mistakes(config.topic, ("topic",), templates)
    yield from json_mistakes(config.message, ("message",), templates)
    yield from json_mistakes(config.key, ("key",), templates)
    for name, text in config.headers.items():
        if not name or "." in name or name.startswith("$") or "\0" in name:
            message = f"{name!r} is no name of a header: it would not be found as message.headers.NAME"
            yield ConfigMistake(("headers", name), message)
        yield from text_mistakes(text, ("headers", name), templates)


def _reads(config: PublishConfig, templates: Templates) -> frozenset[str] | None:
    texts = [config.topic, *json_texts(config.message), *json_texts(config.key), *config.headers.values()]
    found = names_in(texts, templates)
    if found is None or "message" in config.model_fields_set:
        return found
    return found | {"document", "message", *_OF_SEVERAL}


def _needs(config: PublishConfig) -> frozenset[Need]:
    return frozenset({"topics"})


KIND = ActionKind("publish", PublishConfig, _mistakes, _reads, Publish, needs=_needs)
