"""The settings of the action `sink`, and what can be wrong with them before anything is written."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from mtrigger.actions.base import ActionConfig, ConfigMistake
from mtrigger.actions.body_paths import path_mistake, same_name
from mtrigger.actions.json_schemas import schema_mistakes
from mtrigger.actions.target_collections import TargetCollection
from mtrigger.config_types import Count, OneOrMore
from mtrigger.templates import Templates


class SinkConfig(ActionConfig):
    """Store the messages of a topic as documents of a collection, each exactly once."""

    concurrency: Count = Field(
        default=500,
        description="How many attempts of this action may run at the same time, and so share a transaction",
    )
    into: TargetCollection = Field(
        description="The collection: database.collection", examples=["shop.orders"]
    )
    mode: Literal["insert", "upsert"] = Field(
        default="upsert",
        description="upsert: the document becomes what the message says; insert: only what is not there yet",
    )
    key: OneOrMore[str] | None = Field(
        default=None,
        description="Where in the body the `_id` is: a path, or several (default: the message's key; of an "
        "insert, the message's id)",
        examples=["order_id", ["region", "order_id"]],
    )
    fields: dict[str, str] | None = Field(
        default=None,
        description="Names of fields, each with the JSONPath of its value in the body; left out: all of it",
        examples=[{"customer": "$.customer.name", "skus": "$.items[*].sku"}],
    )
    json_schema: dict[str, Any] | str | None = Field(
        default=None,
        alias="schema",
        description="A JSON Schema that bodies must meet, or the name of a .json file beside the rule",
    )


def sink_mistakes(config: SinkConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong beyond the model: paths, names of fields, the schema itself."""
    wrong = {number: path_mistake(path) for number, path in enumerate(config.key or ())}
    for number, mistake in wrong.items():
        if mistake:
            yield ConfigMistake(("key", number), mistake)
    if config.key and not any(wrong.values()) and (name := same_name(config.key)):
        yield ConfigMistake(("key",), f"two of these paths end in `{name}`, which an `_id` can have once")
    if config.fields is not None and not config.fields:
        yield ConfigMistake(("fields",), "`fields` is empty: leave it out to store the body as it is")
    for name, path in (config.fields or {}).items():
        if name == "_id":
            yield ConfigMistake(("fields", name), "the `_id` is named by `key`, not here")
        elif not name or "." in name or name.startswith("$") or "\0" in name:
            yield ConfigMistake(
                ("fields", name), f"{name!r} is no name of a field: no dots, no `$` before it"
            )
        if mistake := path_mistake(path, may_find_many=True):
            yield ConfigMistake(("fields", name), mistake)
    if isinstance(config.json_schema, dict):
        for place, message in schema_mistakes(config.json_schema):
            yield ConfigMistake(("schema", *place), message)
