"""How `mtrigger deliveries` shows deliveries: a line each, or all there is to one; as text and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from mtrigger.cli.output import iso, one_line, pretty, printable, relaxed, table
from mtrigger.events import ChangeEvent
from mtrigger.partitions import UNDIVIDED
from mtrigger.stores.base import Record

_SHORT_ID = 12
_LONGEST_ID = 100


def listing(records: Sequence[Record]) -> str:
    """A table, a line a delivery."""
    headings = ("ID", "RULE", "ACTION", "STATUS", "ATTEMPTS", "CREATED", "CHANGE", "ERROR OR REASON")
    return table(headings, [_row(record) for record in records])


def _row(record: Record) -> tuple[str, ...]:
    delivery = record.delivery
    return (
        delivery.id[:_SHORT_ID],
        delivery.rule,
        delivery.action,
        record.status.value,
        str(delivery.attempts),
        iso(delivery.created_at.replace(microsecond=0)),
        _change(delivery.event),
        record.error or record.reason,
    )


def _change(event: ChangeEvent) -> str:
    """What happened, where, and to which document; of what happened to none, when."""
    which = _id(event.key) if event.key else iso(event.time)
    return " ".join(part for part in (event.operation, event.namespace, which) if part)


def _id(key: Any) -> str:
    value = key.get("_id")
    text = value if isinstance(value, str) else relaxed(value)
    return text if len(text) <= _LONGEST_ID else f"{text[:_LONGEST_ID]}…"


def summary(record: Record) -> dict[str, Any]:
    """A delivery without its document and history."""
    delivery = record.delivery
    return {
        "id": delivery.id,
        "rule": delivery.rule,
        "action": delivery.action,
        "status": record.status.value,
        "attempts": delivery.attempts,
        "created_at": iso(delivery.created_at),
        "due_at": iso(delivery.due_at) or None,
        "settled_at": iso(record.settled_at) or None,
        "error": record.error or None,
        "reason": record.reason or None,
        "operation": delivery.event.operation,
        "namespace": delivery.event.namespace,
        "key": delivery.event.key,
    }


def whole(record: Record) -> dict[str, Any]:
    """All there is to a delivery."""
    event = record.delivery.event
    return {
        **summary(record),
        "partition": record.delivery.partition,
        "lane": record.delivery.lane,
        "event": {
            "token": event.token,
            "time": iso(event.time),
            "image": event.image,
            "document": event.document,
            "before": event.before,
            "updated": event.updated,
            "removed": list(event.removed),
            "truncated": list(event.truncated),
            "left_out": list(event.left_out),
            "flaw": event.flaw or None,
            "raw": event.raw or None,
        },
        "log": [
            {
                "number": attempt.number,
                "at": iso(attempt.at),
                "took_seconds": attempt.took,
                "outcome": attempt.outcome,
                "detail": attempt.detail,
            }
            for attempt in record.log
        ],
    }


def page(record: Record) -> Iterator[str]:
    """All there is to a delivery, for people."""
    delivery, event = record.delivery, record.delivery.event
    where = f" in {event.namespace}" if event.namespace else ""
    facts: dict[str, str] = {
        "delivery": delivery.id,
        "rule": delivery.rule,
        "action": delivery.action,
        "status": record.status.value,
        "error": record.error,
        "reason": record.reason,
        "attempts": str(delivery.attempts),
        "created": iso(delivery.created_at),
        "due": iso(delivery.due_at),
        "settled": iso(record.settled_at),
        "event": f"{event.operation}{where} at {iso(event.time)}",
        "key": relaxed(event.key) if event.key else "",
        "position": event.token,
        "partition": delivery.partition if delivery.partition != UNDIVIDED.name else "",
        "lane": delivery.lane,
        "too large": ", ".join(event.left_out) and f"{', '.join(event.left_out)} (not kept with it)",
        "unreadable": event.flaw,
        "bytes": f"{len(event.raw):,}, in `deliveries show --json` as event.raw" if event.raw else "",
    }
    for name, text in facts.items():
        if text:
            yield f"{name:11}{one_line(text)}"
    yield from _documents(record)
    for attempt in record.log:
        if attempt.number == 1 or attempt is record.log[0]:
            yield ""  # the first one, or the first one after an operator's retry
        took = f"{iso(attempt.at)}, took {attempt.took:.3f} s"
        yield f"attempt {attempt.number}: {attempt.outcome}  ({took})"
        yield from (f"  {line}" for line in printable(attempt.detail).splitlines())


def _documents(record: Record) -> Iterator[str]:
    event = record.delivery.event
    parts: dict[str, Any] = {
        f"document ({event.image})": event.document,
        "before": event.before,
        "updated": event.updated or None,
        "removed": list(event.removed) or None,
        "truncated": list(event.truncated) or None,
    }
    for name, value in parts.items():
        if value is not None:
            yield ""
            yield f"{name}:"
            yield pretty(value)
