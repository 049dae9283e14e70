"""A store that forgets: for `watch --dry-run`, which must leave no trace, and for tests of the loops.

It keeps the contract of `stores.base` for as long as the process lives.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from mtrigger.errors import OwnershipError, PositionError
from mtrigger.ownership.lease import Fence, Lease
from mtrigger.ownership.processes import shown
from mtrigger.stores.base import ATTEMPTS_LOGGED, Attempt, Checkpoint, Leases, LineKey, Query, Record, Tally
from mtrigger.stores.destinations import Destinations, MemoryDestinations
from mtrigger.stores.gaps import Gaps, MemoryGaps
from mtrigger.stores.layouts import Layouts
from mtrigger.stores.memories import Memories, MemoryMemories
from mtrigger.stores.memory_layouts import MemoryLayouts
from mtrigger.stores.memory_leases import MemoryLeases
from mtrigger.stores.schedules import MemoryNextRuns, NextRuns
from mtrigger.stores.wishes import MemoryWishes, WishList

_KEPT_TOKENS = 5


@dataclass(frozen=True, slots=True)
class _Row:
    record: Record
    reopened: bool = False
    epoch: int = 0


class MemoryStore:
    """Positions and outbox in two dictionaries."""

    def __init__(self) -> None:
        self._checkpoints: dict[str, Checkpoint] = {}
        self._starts: dict[str, int] = {}
        self.gaps: Gaps = MemoryGaps()
        self.destinations: Destinations = MemoryDestinations()
        self.memories: Memories = MemoryMemories()
        self.wishes: WishList = MemoryWishes()
        self.schedules: NextRuns = MemoryNextRuns()
        layouts = MemoryLayouts()
        self.layouts: Layouts = layouts
        self.leases: Leases = MemoryLeases(self._checkpoints, layouts)
        self._rows: dict[str, _Row] = {}
        self._fence: Fence | None = None

    def owned(self, fence: Fence) -> "MemoryStore":
        """The same rows and positions for the owner of a stream."""
        mine = copy(self)
        mine._fence = fence
        return mine

    async def _passable(self) -> None:
        if self._fence is not None:
            await self._fence.passed()

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def checkpoint(self, stream: str) -> Checkpoint | None:
        return self._checkpoints.get(stream)

    async def begin(self, checkpoint: Checkpoint) -> Checkpoint:
        return self._checkpoints.setdefault(checkpoint.stream, checkpoint)

    async def advance(self, checkpoint: Checkpoint) -> None:
        await self._passable()
        before = self._checkpoints.get(checkpoint.stream)
        if before is None:
            raise PositionError(f"The checkpoint {checkpoint.stream!r} was removed while it was in use.")
        if self._fence is not None and not (before.lease and before.lease.is_held_by(self._fence.lease)):
            owner = shown(before.lease.owner if before.lease else "")
            raise OwnershipError(f"The position was not written: the stream is owned by {owner} now.")
        self._move(before, checkpoint, before.lease)

    async def put(self, checkpoint: Checkpoint) -> Checkpoint:
        before = self._checkpoints.get(checkpoint.stream, checkpoint)
        epoch = before.lease.epoch if before.lease is not None else 0
        self._move(before, checkpoint, Lease("", epoch + 1, 0, 0.0, released=True))
        return self._checkpoints[checkpoint.stream]

    def _move(self, before: Checkpoint, checkpoint: Checkpoint, lease: Lease | None) -> None:
        previous = before.previous
        if before.token and before.token != checkpoint.token:
            previous = (*previous, before.token)[-_KEPT_TOKENS:]
        if _has_moved(before, checkpoint):
            self._starts.pop(checkpoint.stream, None)
        self._checkpoints[checkpoint.stream] = replace(checkpoint, previous=previous, lease=lease)

    async def note_start(self, stream: str) -> int:
        if stream not in self._checkpoints:
            return 0
        self._starts[stream] = self._starts.get(stream, 0) + 1
        return self._starts[stream]

    async def forget_starts(self, stream: str) -> None:
        self._starts.pop(stream, None)

    async def reset(self, stream: str) -> bool:
        self._starts.pop(stream, None)
        return self._checkpoints.pop(stream, None) is not None

    async def add(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        await self._passable()
        epoch = self._fence.lease.epoch if self._fence is not None else 0
        new = {delivery.id: delivery for delivery in deliveries if delivery.id not in self._rows}
        unknown = {d.id for d in deliveries if self._fence is not None and self._is_unknown(d.id, epoch)}
        for key, delivery in new.items():
            self._rows[key] = _Row(Record(delivery, Status.PENDING, "", None, ()), epoch=epoch)
        return new.keys() | unknown

    def _is_unknown(self, delivery_id: str, epoch: int) -> bool:
        """Whether an earlier owner stored this and it was never attempted."""
        row = self._rows.get(delivery_id)
        if row is None or row.epoch == epoch or row.record.status not in OPEN:
            return False
        return not row.record.delivery.attempts

    async def owe(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        new = await self.add(deliveries)
        for key in new:
            self._rows[key] = replace(self._rows[key], reopened=True)
        return new

    async def known(self, ids: Sequence[str]) -> AbstractSet[str]:
        return self._rows.keys() & set(ids)

    async def newest(self, stream: str) -> str:
        deliveries = (row.record.delivery for row in self._rows.values())
        return max((row.position for row in deliveries if row.partition.startswith(f"{stream}/")), default="")

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

    async def settle(self, settlements: Sequence[Settlement]) -> AbstractSet[str]:
        await self._passable()
        await self.memories.keep([settlement.remembers for settlement in settlements if settlement.remembers])
        new = await self.add([delivery for settlement in settlements for delivery in settlement.owes])
        for settlement in settlements:
            row = self._rows.get(settlement.delivery.id)
            if row is not None and row.record.status in OPEN and not _written(row.record, settlement):
                self._rows[settlement.delivery.id] = replace(row, record=_settled(row.record, settlement))
        return new

    def permit(self) -> AbstractAsyncContextManager[None]:
        return self._fence.permit() if self._fence is not None else nullcontext()

    async def still_open(self, ids: Sequence[str]) -> AbstractSet[str]:
        return {key for key in ids if key in self._rows and self._rows[key].record.status in OPEN}

    async def take_reopened(
        self, partition: str, limit: int, full: AbstractSet[LineKey] = frozenset()
    ) -> list[Delivery]:
        await self._passable()
        reopened = [
            row
            for row in self._rows.values()
            if row.reopened and row.record.status in OPEN and row.record.delivery.partition == partition
            if (row.record.delivery.rule, row.record.delivery.action) not in full
        ]
        wanted = sorted(reopened, key=attrgetter("record.delivery.position"))[:limit]
        for row in wanted:
            self._rows[row.record.delivery.id] = replace(row, reopened=False)
        return [row.record.delivery for row in wanted]

    async def find(self, query: Query, limit: int) -> list[Record]:
        records = [row.record for row in self._rows.values() if _means(query, row.record)]
        age = attrgetter("delivery.created_at", "delivery.position")
        return sorted(records, key=age, reverse=True)[:limit]

    async def summaries(self, query: Query, limit: int) -> list[Record]:
        return [_summary(record) for record in await self.find(query, limit)]

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


def _has_moved(before: Checkpoint, checkpoint: Checkpoint) -> bool:
    """The first token of a stream that was opened by its time is no progress."""
    there = checkpoint.cluster_time == before.cluster_time and checkpoint.rescan == before.rescan
    return not (there and before.token in (None, checkpoint.token))


def _settled(record: Record, settlement: Settlement) -> Record:
    delivery = replace(record.delivery, attempts=settlement.delivery.attempts + 1, due_at=None)
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
    attempt = Attempt(delivery.attempts, settlement.at, settlement.took, status.value, detail)
    return Record(delivery, status, error, settled_at, (*record.log, attempt)[-ATTEMPTS_LOGGED:])


def _written(record: Record, settlement: Settlement) -> bool:
    """Whether the history holds this attempt already."""
    return any(attempt.at == settlement.at for attempt in record.log)


def _summary(record: Record) -> Record:
    event = replace(record.delivery.event, document=None, before=None, updated={}, raw=b"")
    return replace(record, delivery=replace(record.delivery, event=event), log=())


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
