"""Messages as events: what rules of a topic are held against, and where a group of rules stands. Pure.

Promises: what a message owes has ids that depend on the message, its group and how often that was reset, and
on nothing else; events of one group sort in the order of the topic, those of a reset behind all before it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import bson
from bson.errors import BSONError
from bson.timestamp import Timestamp

from mtrigger.document_keys import id_text
from mtrigger.events import MESSAGE, ChangeEvent
from mtrigger.messages import Message, collection_of

STREAM = "topic"
"""What the names of the streams begin with that are groups of rules."""

_LATEST = 2**32 - 1


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """The rules that read the topic `topic` from one position."""

    topic: str
    name: str

    @property
    def stream(self) -> str:
        """Names its position, its lease and its deliveries' partition."""
        return f"{STREAM}/{self.topic}/{self.name}"

    def __str__(self) -> str:
        return f"{self.topic}/{self.name}"

    @classmethod
    def named(cls, stream: str) -> Self:
        """The group of the stream with this name. Raises ValueError for any other text."""
        parts = stream.split("/")
        if len(parts) != 3 or parts[0] != STREAM or not all(parts):
            raise ValueError(f"{stream!r} names no group of a topic")
        return cls(parts[1], parts[2])


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a group stands: behind the message `offset`, in its reading number `resets` (0 is the first)."""

    resets: int
    offset: int

    @property
    def token(self) -> dict[str, Any]:
        """As a position's token; `_data` sorts like the tokens of the group's events."""
        return {"_data": _sortable(self.resets, self.offset), "offset": self.offset, "resets": self.resets}

    @classmethod
    def of_token(cls, token: Mapping[str, Any] | None) -> Self | None:
        """Read back what `token` made; None for anything else."""
        offset, resets = (token or {}).get("offset"), (token or {}).get("resets")
        if not isinstance(offset, int) or not isinstance(resets, int):
            return None
        return cls(resets, offset)


def event_of(message: Message, group: Group, resets: int, database: str, now: datetime) -> ChangeEvent:
    """The event that `message`, of a topic in `database`, is for `group`.

    A message whose producer has written something else than a time counts as published `now`.
    """
    time = message.time or now
    document = {
        "_id": message.id,
        "key": message.key,
        "time": time,
        "headers": message.headers,
        "body": message.body,
        "source": message.source,
        "offset": message.offset,
    }
    name = f"{group.topic}\0{group.name}\0{resets}\0{id_text(message.id)}"
    return ChangeEvent(
        token=_sortable(resets, message.offset) + hashlib.sha256(name.encode()).hexdigest()[:32].upper(),
        operation=MESSAGE,
        database=database,
        collection=collection_of(group.topic),
        key={"_id": message.id},
        document=document,
        cluster_time=Timestamp(min(max(0, int(time.timestamp())), _LATEST), 0),
        time=time.astimezone(UTC),
        flaw=message.flaw,
        raw=message.raw,
        size=_size(document, message.raw),
    )


def _sortable(resets: int, offset: int) -> str:
    """Twenty hexadecimal digits: see `ChangeEvent.identity`."""
    return f"{resets:04X}{offset:016X}"


def _size(document: Mapping[str, Any], raw: bytes) -> int:
    try:
        return len(bson.encode(document))
    except (BSONError, OverflowError):
        return len(raw)
