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
    Delivery,
    Settlement,
    Status,
)
from mtrigger.errors import OwnershipError, PositionError
from mtrigger.ownership.lease import Fence, Lease
from mtrigger.ownership.processes import shown
from mtrigger.stores.base import Checkpoint, Leases, LineKey, Query, Record, Tally
from mtrigger.stores.destinations import Destinations, MemoryDestinations
from mtrigger.stores.digests import Digests
from mtrigger.stores.effects import Effects, NoEffects
from mtrigger.stores.gaps import Gaps, MemoryGaps
from mtrigger.stores.layouts import Layouts
from mtrigger.stores.memories import Memories, MemoryMemories
from mtrigger.stores.memory_digests import MemoryDigests
from mtrigger.stores.memory_layouts import MemoryLayouts
from mtrigger.stores.memory_leases import MemoryLeases
from mtrigger.stores.memory_records import discarded, means, settled, summary, tally, written
from mtrigger.stores.schedules import MemoryNextRuns, NextRuns
from mtrigger.stores.standing import MemoryStanding, Standing
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
        self.effects: Effects = NoEffects()
        self.schedules: NextRuns = MemoryNextRuns()
        self.standing: Standing = MemoryStanding()
        layouts = MemoryLayouts()
        self.layouts: Layouts = layouts
        self.leases: Leases = MemoryLeases(self._checkpoints, layouts)
        self._rows: dict[str, _Row] = {}
        self._digests = MemoryDigests(lambda: (row.record for row in self._rows.values()), self._put_record)
        self.digests: Digests = self._digests
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
            for key in self._digests.settled_by(settlement):
                row = self._rows.get(key)
                if row is not None and row.record.status in OPEN and not written(row.record, settlement):
                    self._rows[key] = replace(row, record=settled(row.record, settlement))
        return new

    def _put_record(self, record: Record) -> None:
        self._rows[record.delivery.id] = replace(self._rows[record.delivery.id], record=record)

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
        records = [row.record for row in self._rows.values() if means(query, row.record)]
        age = attrgetter("delivery.created_at", "delivery.position")
        return sorted(records, key=age, reverse=True)[:limit]

    async def summaries(self, query: Query, limit: int) -> list[Record]:
        return [summary(record) for record in await self.find(query, limit)]

    async def count(self, query: Query) -> int:
        return sum(means(query, row.record) for row in self._rows.values())

    async def ids(self, beginning: str, limit: int) -> list[str]:
        return sorted(known for known in self._rows if known.startswith(beginning))[:limit]

    async def tallies(self) -> list[Tally]:
        records: dict[LineKey, list[Record]] = {}
        for row in self._rows.values():
            delivery = row.record.delivery
            records.setdefault(LineKey(delivery.rule, delivery.action), []).append(row.record)
        return [tally(line, records[line]) for line in sorted(records)]

    async def reopen(self, query: Query) -> int:
        found = self._found(query, Status.DEAD, Status.RETRYING)
        for row in found:
            delivery = replace(row.record.delivery, attempts=0, due_at=None)
            record = replace(row.record, delivery=delivery, status=Status.PENDING, settled_at=None)
            self._rows[delivery.id] = _Row(record, reopened=True)
            self._digests.forget([delivery.id])
        return len(found)

    async def discard(self, query: Query) -> int:
        found = self._found(query, *OPEN, Status.DEAD)
        for row in found:
            record = discarded(row.record, datetime.now(UTC))
            self._rows[record.delivery.id] = _Row(record)
        return len(found)

    def _found(self, query: Query, *statuses: Status) -> list[_Row]:
        rows = list(self._rows.values())
        return [row for row in rows if row.record.status in statuses and means(query, row.record)]


def _has_moved(before: Checkpoint, checkpoint: Checkpoint) -> bool:
    """The first token of a stream that was opened by its time is no progress."""
    there = checkpoint.cluster_time == before.cluster_time and checkpoint.rescan == before.rescan
    return not (there and before.token in (None, checkpoint.token))
