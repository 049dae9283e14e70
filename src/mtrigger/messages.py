"""What lies in a topic: one message, as its producer wrote it and as the topic has numbered it.

A topic `NAME` is the collection `topics.NAME` of the state database. Any producer may insert a document of
the shape that `fields_of` makes; `offset` is the topic's own to write.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson.timestamp import Timestamp

COLLECTIONS = "topics."
"""What the names of the topics' collections begin with."""

LARGEST_MESSAGE = 15_000_000
"""Bytes of a message that is published. MongoDB takes 16 MB; the rest is for what a topic adds."""

LONGEST_NAME = 100
"""Characters of a topic's name."""

_NAME = re.compile(rf"(?=.{{1,{LONGEST_NAME}}}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)

_NOTHING: Mapping[str, Any] = {}

_NOW = Timestamp(0, 0)
"""MongoDB puts its cluster time in the place of an empty timestamp that is inserted at the top of a document.
Source: the BSON types of the MongoDB manual, "Timestamps"."""


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
    flaw: str = ""
    raw: bytes = b""


def name_mistake(topic: str) -> str:
    """What is wrong with `topic` as a topic's name, a sentence; "" when nothing is."""
    if _NAME.fullmatch(topic):
        return ""
    return (
        f"{topic!r} is no name of a topic: letters, digits, `_`, `-` and single dots between them, "
        f"{LONGEST_NAME} characters at most"
    )


def collection_of(topic: str) -> str:
    """The collection, in the state database, that holds the messages of `topic`."""
    return COLLECTIONS + topic


def fields_of(message: Message) -> dict[str, Any]:
    """The document that publishes `message`. Without a time it gets that of its insert.

    `inserted` is the server's time of the insert: by it messages that are not numbered yet keep their order
    when another member of the replica set becomes primary. A producer who leaves it out has none then.
    """
    time = {} if message.time is None else {"time": message.time}
    return {
        "_id": message.id,
        "key": message.key,
        **time,
        "headers": dict(message.headers),
        "body": message.body,
        "source": dict(message.source),
        "inserted": _NOW,
    }


def read_message(document: Mapping[str, Any], flaw: str = "", raw: bytes = b"") -> Message:
    """The message that `document` is. A producer need not write every field: only `_id` is always there.

    `flaw` says what in its bytes, `raw`, could not be read. A message that was too large to be numbered as it
    was tells so itself, in a field of that name.
    """
    headers, source, offset = document.get("headers"), document.get("source"), document.get("offset")
    told = document.get("flaw")
    return Message(
        id=document.get("_id"),
        body=document.get("body"),
        key=document.get("key"),
        time=time if isinstance(time := document.get("time"), datetime) else None,
        headers=headers if isinstance(headers, Mapping) else _NOTHING,
        source=source if isinstance(source, Mapping) else _NOTHING,
        offset=offset if isinstance(offset, int) else 0,
        flaw=flaw or (told if isinstance(told, str) else ""),
        raw=raw,
    )
