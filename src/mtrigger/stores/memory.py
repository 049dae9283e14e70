"""A store that forgets: for `watch --dry-run`, which must leave no trace, and for tests of the loops.

It keeps the contract of `stores.base` for as long as the process lives.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

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
from mtrigger.errors import PositionError
from mtrigger.stores.base import ATTEMPTS_LOGGED, Attempt, Checkpoint, LineKey, Query, Record, Tally

_KEPT_TOKENS = 5


@dataclass(frozen=True, slots=True)
class _Row:
    record: Record
    reopened: bool = False


class MemoryStore:
    """Positions and outbox in two dictionaries."""

    def __init__(self) -> None:
        self._checkpoints: dict[str, Checkpoint] = {}
        self._rows: dict[str, _Row] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def checkpoint(self, stream: str) -> Checkpoint | None:
        return self._checkpoints.get(stream)

    async def begin(self, checkpoint: Checkpoint) -> Checkpoint:
        return self._checkpoints.setdefault(checkpoint.stream, checkpoint)

    async def advance(self, checkpoint: Checkpoint) -> None:
        before = self._checkpoints.get(checkpoint.stream)
        if before is None:
            raise PositionError(f"The checkpoint {checkpoint.stream!r} was removed while it was in use.")
        previous = before.previous
        if before.token and before.token != checkpoint.token:
            previous = (*previous, before.token)[-_KEPT_TOKENS:]
        self._checkpoints[checkpoint.stream] = replace(checkpoint, previous=previous)

    async def reset(self, stream: str) -> bool:
        return self._checkpoints.pop(stream, None) is not None

    async def add(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        new = {delivery.id: delivery for delivery in deliveries if delivery.id not in self._rows}
        for key, delivery in new.items():
            self._rows[key] = _Row(Record(delivery, Status.PENDING, "", None, ()))
        return new.keys()

    def _open(self, partition: str) -> list[Delivery]:
        return [
            row.record.delivery
            for row in self._rows.values()
            if row.record.status in OPEN and row.record.delivery.partition == partition
        ]

    async def lines(self, partition: str) -> AbstractSet[LineKey]:
        return {LineKey(delivery.rule, delivery.action) for delivery in self._open(partition)}

    async def owed(self, partition: str, line: LineKey, after: str, limit: int) -> list[Delivery]:
        rows = [row for row in self._open(partition) if (row.rule, row.action) == line]
        behind = [row for row in rows if row.position > after]
        return sorted(behind, key=attrgetter("position"))[:limit]

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            row = self._rows.get(settlement.delivery.id)
            if row is not None and row.record.status in OPEN and not _written(row.record, settlement):
                self._rows[settlement.delivery.id] = replace(row, record=_settled(row.record, settlement))

    async def still_open(self, delivery_id: str) -> bool:
        row = self._rows.get(delivery_id)
        return row is not None and row.record.status in OPEN

    async def take_reopened(self, partition: str, limit: int) -> list[Delivery]:
        reopened = [
            row
            for row in self._rows.values()
            if row.reopened and row.record.status in OPEN and row.record.delivery.partition == partition
        ]
        wanted = sorted(reopened, key=attrgetter("record.delivery.position"))[:limit]
        for row in wanted:
            self._rows[row.record.delivery.id] = replace(row, reopened=False)
        return [row.record.delivery for row in wanted]

    async def find(self, query: Query, limit: int) -> list[Record]:
        records = [row.record for row in self._rows.values() if _means(query, row.record)]
        age = attrgetter("delivery.created_at", "delivery.position")
        return sorted(records, key=age, reverse=True)[:limit]

    async def count(self, query: Query) -> int:
        return sum(_means(query, row.record) for row in self._rows.values())

    async def ids(self, beginning: str, limit: int) -> list[str]:
        return sorted(known for known in self._rows if known.startswith(beginning))[:limit]

    async def tallies(self) -> list[Tally]:
        records: dict[LineKey, list[Record]] = {}
        for row in self._rows.values():
            delivery = row.record.delivery
            records.setdefault(LineKey(delivery.rule, delivery.action), []).append(row.record)
        return [_tally(line, records[line]) for line in sorted(records)]

    async def reopen(self, query: Query) -> int:
        found = self._found(query, Status.DEAD, Status.RETRYING)
        for row in found:
            delivery = replace(row.record.delivery, attempts=0, due_at=None)
            record = replace(row.record, delivery=delivery, status=Status.PENDING, settled_at=None)
            self._rows[delivery.id] = _Row(record, reopened=True)
        return len(found)

    async def discard(self, query: Query) -> int:
        found = self._found(query, *OPEN, Status.DEAD)
        for row in found:
            record = replace(row.record, status=Status.DISCARDED, settled_at=datetime.now(UTC))
            self._rows[record.delivery.id] = _Row(record)
        return len(found)

    def _found(self, query: Query, *statuses: Status) -> list[_Row]:
        rows = list(self._rows.values())
        return [row for row in rows if row.record.status in statuses and _means(query, row.record)]


def _settled(record: Record, settlement: Settlement) -> Record:
    delivery = replace(record.delivery, attempts=settlement.delivery.attempts + 1, due_at=None)
    settled_at: datetime | None = settlement.at + timedelta(seconds=settlement.took)
    match settlement.outcome:
        case Delivered(detail):
            status, error = Status.DELIVERED, ""
        case Retrying(error, due_at):
            status, detail, settled_at = Status.RETRYING, error, None
            delivery = replace(delivery, due_at=due_at)
        case Dead(error):
            status, detail = Status.DEAD, error
        case Suppressed(reason):
            status, detail, error = Status.SUPPRESSED, reason, ""
    attempt = Attempt(settlement.at, settlement.took, status.value, detail)
    return Record(delivery, status, error, settled_at, (*record.log, attempt)[-ATTEMPTS_LOGGED:])


def _written(record: Record, settlement: Settlement) -> bool:
    """Whether the history holds this attempt already."""
    return any(attempt.at == settlement.at for attempt in record.log)


def _means(query: Query, record: Record) -> bool:
    delivery = record.delivery
    return (
        (not query.ids or delivery.id in query.ids)
        and (not query.statuses or record.status in query.statuses)
        and (not query.rule or delivery.rule == query.rule)
        and (query.error in record.error)
        and (query.since is None or delivery.created_at >= query.since)
        and (query.until is None or delivery.created_at < query.until)
    )


def _tally(line: LineKey, records: Sequence[Record]) -> Tally:
    counts: dict[Status, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    owed = [record.delivery.created_at for record in records if record.status in OPEN]
    return Tally(line, counts, min(owed, default=None))
