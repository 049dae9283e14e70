"""The row of a topic, in the collection `topics`: what comes next, what is claimed, how long messages are
kept.

`numbering`, `claim` and `next` belong to `numbering`, the rest to retention. What a claim holds is never read
into a client.

The row of a topic that was deleted stays, without `created_at`: its numbers go on when it is made anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from mtrigger.topics.log import Retention
from mtrigger.topics.numbering import ROWS, Pipeline
from mtrigger.topics.retention import Mark

__all__ = ["MADE", "ROWS", "WITHOUT_CLAIMED", "TopicRow", "ending", "read_row", "retention_fields"]

WITHOUT_CLAIMED: Mapping[str, Any] = {
    **dict.fromkeys(
        ("next", "first", "claim", "keep_seconds", "max_bytes", "marks", "created_at", "swept_at"), 1
    ),
    "null_at": {"$indexOfArray": ["$numbering", None]},
}
"""The projection that a row is read with."""

MADE: Mapping[str, Any] = {"created_at": {"$ne": None}}
"""The filter for the rows of topics that were not deleted."""


@dataclass(frozen=True, slots=True)
class TopicRow:
    """`next` is the next offset, `first` the lowest one that retention has left; `claim` names the messages
    that are being numbered, and `null_at` is the place among them of the one whose id is null (-1: it is not
    among them); `marks` is when `next` was where (see `retention`)."""

    topic: str
    next: int
    first: int
    claim: ObjectId | None
    null_at: int
    retention: Retention
    marks: tuple[Mark, ...]
    created_at: datetime | None
    swept_at: datetime | None


def read_row(row: Mapping[str, Any]) -> TopicRow:
    """The row as it was read, WITHOUT_CLAIMED."""
    return TopicRow(
        topic=row["_id"],
        next=int(row["next"]),
        first=int(row["first"]),
        claim=row["claim"],
        null_at=int(row["null_at"]),
        retention=Retention(row["keep_seconds"], row["max_bytes"]),
        marks=tuple(Mark(mark["at"], int(mark["next"])) for mark in row.get("marks", ())),
        created_at=row.get("created_at"),
        swept_at=row.get("swept_at"),
    )


def retention_fields(retention: Retention) -> dict[str, Any]:
    """How a row keeps it."""
    return {"keep_seconds": retention.seconds, "max_bytes": retention.size}


def ending() -> Pipeline:
    """The update of the row of a topic that is deleted. A claim stays: its messages become holes."""
    anew = {**retention_fields(Retention()), "marks": [], "swept_at": None}
    return [{"$set": {"first": "$next", **anew}}, {"$unset": "created_at"}]
