"""Events, deliveries and outcomes, made from as little as a test cares about."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.timestamp import Timestamp

from mtrigger.deliveries import Delivery, Outcome, Settlement, delivery_id
from mtrigger.events import ChangeEvent, Image
from mtrigger.stores.base import Checkpoint, LineKey

NOW = datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)
LINE = LineKey("big-order", "log")
PARTITION = "main/0"


def token_at(number: int) -> str:
    """A resume token's text; greater numbers come later in the stream."""
    return f"82{1_769_853_600:08X}{number:08X}2B0229296E04"


def event_at(
    number: int = 1,
    *,
    operation: str = "insert",
    namespace: str = "shop.orders",
    key: Any = None,
    document: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    updated: Mapping[str, Any] | None = None,
    removed: tuple[str, ...] = (),
    truncated: tuple[str, ...] = (),
    image: Image = "none",
) -> ChangeEvent:
    """A change to the document with the id `key` (default: `number`); an insert of `{_id}` unless told."""
    database, _, collection = namespace.partition(".")
    document_key = {"_id": number if key is None else key}
    if operation in ("insert", "replace"):
        document, image = document if document is not None else document_key, "stored"
    return ChangeEvent(
        token=token_at(number),
        operation=operation,
        database=database,
        collection=collection,
        key=document_key,
        document=document,
        before=before,
        updated=updated or {},
        removed=removed,
        truncated=truncated,
        cluster_time=Timestamp(1_769_853_600, number),
        time=NOW,
        image=image,
    )


def delivery_at(
    number: int = 1,
    *,
    line: LineKey = LINE,
    lane: str = "a",
    partition: str = PARTITION,
    event: ChangeEvent | None = None,
    created_at: datetime = NOW,
    attempts: int = 0,
    due_at: datetime | None = None,
) -> Delivery:
    """What `line` owes for the event at `number`."""
    event = event or event_at(number)
    return Delivery(
        id=delivery_id("set:test", event.token, line.rule, line.action),
        rule=line.rule,
        action=line.action,
        partition=partition,
        lane=lane,
        position=event.token,
        event=event,
        created_at=created_at,
        attempts=attempts,
        due_at=due_at,
    )


def settlement_of(
    delivery: Delivery, outcome: Outcome, at: datetime = NOW, *, sealed: bool = False
) -> Settlement:
    """What an attempt that began `at` and took half a second came to."""
    return Settlement(delivery, outcome, at, 0.5, sealed=sealed)


def checkpoint_at(number: int, stream: str = PARTITION) -> Checkpoint:
    """A position behind the event at `number`; 0 is before the first one."""
    token = {"_data": token_at(number)} if number else None
    time = NOW + timedelta(seconds=number)
    return Checkpoint(stream, token, Timestamp(1_769_853_600, number + 1), "set:test", "abc", time)
