"""What lies in a topic: one message, as its producer wrote it and as the topic has numbered it.

A topic `NAME` is the collection `topics.NAME` of the state database. Any producer may insert a document of
the shape that `fields_of` makes; `offset` is the topic's own to write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

COLLECTIONS = "topics."
"""What the names of the topics' collections begin with."""

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a topic.

    `id` is unique in the topic: publishing the same id twice adds nothing. Messages of one `key` are in
    order, None is no key at all. `time` is when it was published (aware, UTC); None until then. `body` is any
    value that BSON holds. `source` says where it came from, in words of whoever published it. `offset` counts
    the messages of the topic from 1 in the order in which consumers see them; 0: not numbered yet.
    """

    id: Any
    body: Any
    key: Any = None
    time: datetime | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    offset: int = 0


def collection_of(topic: str) -> str:
    """The collection, in the state database, that holds the messages of `topic`."""
    return COLLECTIONS + topic


def fields_of(message: Message) -> dict[str, Any]:
    """The document that publishes `message`; without a time it gets that of the moment it is numbered."""
    time = {} if message.time is None else {"time": message.time}
    return {
        "_id": message.id,
        "key": message.key,
        **time,
        "headers": dict(message.headers),
        "body": message.body,
        "source": dict(message.source),
    }


def read_message(document: Mapping[str, Any]) -> Message:
    """The message that `document` is. A producer need not write every field: only `_id` is always there."""
    headers, source, offset = document.get("headers"), document.get("source"), document.get("offset")
    return Message(
        id=document["_id"],
        body=document.get("body"),
        key=document.get("key"),
        time=time if isinstance(time := document.get("time"), datetime) else None,
        headers=headers if isinstance(headers, Mapping) else _NOTHING,
        source=source if isinstance(source, Mapping) else _NOTHING,
        offset=offset if isinstance(offset, int) else 0,
    )
