"""Rows that cannot be stored, as dead deliveries of the outbox; pure.

Promise: the id is a function of the source, the table, the key and what was wrong with which values, so a row
that is read again and again, as bad as before, is one dead delivery, and one that somebody has discarded
stays so.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bson.timestamp import Timestamp

from mtrigger.deliveries import Delivery
from mtrigger.events import ChangeEvent
from mtrigger.sources.pages import RejectedRow
from mtrigger.sources.places import stream_of

OPERATION = "row"
"""The operation of an event that is no change of a document: a row was read."""

OF_SOURCES = "source:"
"""What stands before a source's name where a rule's name stands in a delivery; no rule's name holds a
colon."""

ACTION = "store"
LARGEST_TEXT = 10_000
"""Characters of a value that are kept to be shown."""

Letters = Callable[[Delivery, str, datetime], Awaitable[Sequence[Delivery]]]
"""What rules of dead letters owe for a delivery that died of an error at a moment."""


async def nobody(_dead: Delivery, _error: str, _now: datetime) -> Sequence[Delivery]:
    """Where no rules are."""
    return ()


@dataclass(frozen=True, slots=True)
class RowAddress:
    """Which row a delivery is about."""

    table: str
    key: str


def rule_of(source: str) -> str:
    """The name that stands where the rule's name stands in a delivery."""
    return OF_SOURCES + source


def delivery_of(source: str, table: str, row: RejectedRow, now: datetime) -> Delivery:
    """The delivery that is owed for `row` and cannot be made."""
    content = repr((source, table, row.key, row.why, sorted(row.values.items())))
    id_ = hashlib.sha256(content.encode(errors="backslashreplace")).hexdigest()[:32]
    time = Timestamp(int(now.timestamp()), now.microsecond)
    event = ChangeEvent(
        token=f"82{time.time:08X}{time.inc:08X}{id_.upper()}",
        operation=OPERATION,
        database=source,
        collection=table,
        key={"_id": _storable(row.key)},
        document={name: _storable(value) for name, value in row.values.items()},
        cluster_time=time,
        time=now,
    )
    lane = hashlib.sha256(repr((table, row.key)).encode(errors="backslashreplace")).hexdigest()[:32]
    return Delivery(
        id=id_,
        rule=rule_of(source),
        action=ACTION,
        partition=stream_of(source),
        lane=lane,
        position=event.token,
        event=event,
        created_at=now,
    )


def address_of(delivery: Delivery) -> RowAddress:
    """The row that a delivery made by `delivery_of` is about."""
    return RowAddress(delivery.event.collection, str(delivery.event.key.get("_id", "")))


def _storable(text: str) -> str:
    """`text` as BSON takes it, short enough to be kept."""
    return text[:LARGEST_TEXT].encode(errors="backslashreplace").decode()
