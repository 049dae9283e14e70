"""What becomes of records that are kept in memory: the same as the rows in MongoDB do, as pure functions."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mtrigger.deliveries import (
    OPEN,
    Dead,
    Delivered,
    Delivery,
    Retrying,
    Settlement,
    Status,
    Suppressed,
)
from mtrigger.stores.base import ATTEMPTS_LOGGED, Attempt, LineKey, Query, Record, Tally


def settled(record: Record, settlement: Settlement) -> Record:
    delivery = replace(record.delivery, attempts=settlement.delivery.attempts + 1, due_at=None)
    if isinstance(settlement.outcome, Retrying | Dead) and settlement.delivery.held_until is not None:
        delivery = replace(delivery, held_until=settlement.delivery.held_until)
    settled_at: datetime | None = settlement.ended_at
    match settlement.outcome:
        case Delivered(detail):
            status, error = Status.DELIVERED, ""
        case Retrying(error, due_at):
            status, detail, settled_at = Status.RETRYING, error, None
            delivery = replace(delivery, due_at=due_at, admitted=True)
        case Dead(error):
            status, detail = Status.DEAD, error
            delivery = replace(delivery, admitted=True)
        case Suppressed(reason):
            status, detail, error = Status.SUPPRESSED, reason, ""
    if status in (Status.DELIVERED, Status.SUPPRESSED):
        delivery = _kept_for_ever(delivery)
    attempt = Attempt(delivery.attempts, settlement.at, settlement.took, status.value, detail)
    log = (*record.log, attempt)[-ATTEMPTS_LOGGED:]
    return Record(delivery, status, error, settled_at, log, detail if status is Status.SUPPRESSED else "")


def discarded(record: Record, now: datetime) -> Record:
    """The record of what was given up."""
    delivery = _kept_for_ever(record.delivery)
    return replace(record, delivery=delivery, status=Status.DISCARDED, settled_at=now)


def _kept_for_ever(delivery: Delivery) -> Delivery:
    return replace(delivery, event=delivery.event.emptied()) if delivery.kept else delivery


def written(record: Record, settlement: Settlement) -> bool:
    """Whether the history holds this attempt already."""
    return any(attempt.at == settlement.at for attempt in record.log)


def summary(record: Record) -> Record:
    event = replace(record.delivery.event, document=None, before=None, updated={}, raw=b"")
    return replace(record, delivery=replace(record.delivery, event=event), log=())


def means(query: Query, record: Record) -> bool:
    delivery = record.delivery
    return (
        (not query.ids or delivery.id in query.ids)
        and (not query.statuses or record.status in query.statuses)
        and (not query.rule or delivery.rule == query.rule)
        and (query.error in record.error)
        and (query.since is None or delivery.created_at >= query.since)
        and (query.until is None or delivery.created_at < query.until)
    )


def tally(line: LineKey, records: Sequence[Record]) -> Tally:
    counts: dict[Status, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    owed = [record.delivery.created_at for record in records if record.status in OPEN]
    return Tally(line, counts, min(owed, default=None))
