"""The rows of digests in the store that forgets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from mtrigger.deliveries import OPEN, Delivery, Retrying, Settlement
from mtrigger.gates.gathering import total
from mtrigger.grouping import value_at
from mtrigger.stores.base import Record
from mtrigger.stores.digests import Gathered
from mtrigger.stores.lines import LineKey

_OLDEST = attrgetter("created_at", "position")


class MemoryDigests:
    """The marks of sealed rows. `records` yields the rows of the store they lie in; `put` changes one."""

    def __init__(self, records: Callable[[], Iterable[Record]], put: Callable[[Record], None]) -> None:
        self._records = records
        self._put = put
        self._sealed: dict[str, str] = {}

    def settled_by(self, settlement: Settlement) -> list[str]:
        """The ids of the rows that `settlement` is about."""
        head = settlement.delivery.id
        if not settlement.sealed or isinstance(settlement.outcome, Retrying):
            return [head]
        return self._sealed_with(head)

    def _sealed_with(self, head: str) -> list[str]:
        rows = (record.delivery.id for record in self._records() if record.status in OPEN)
        return [key for key in rows if self._sealed.get(key) == head]

    def forget(self, ids: Iterable[str]) -> None:
        """They were opened again, and go with whatever comes."""
        for key in ids:
            self._sealed.pop(key, None)

    async def heads(self, partition: str, line: LineKey, lanes: str, limit: int) -> list[Delivery]:
        first: dict[str, Delivery] = {}
        for delivery in sorted(self._open(partition, line), key=_OLDEST):
            if delivery.lane.startswith(lanes):
                if self._sealed.get(delivery.id) == delivery.id:
                    first[delivery.lane] = delivery
                first.setdefault(delivery.lane, delivery)
        return [delivery.without_event() for delivery in sorted(first.values(), key=_OLDEST)[:limit]]

    async def strays(self, partition: str, line: LineKey, lanes: str, limit: int) -> list[Delivery]:
        rows = [delivery for delivery in self._open(partition, line) if not delivery.lane.startswith(lanes)]
        return rows[:limit]

    async def move(self, lanes: Mapping[str, str]) -> None:
        for record in list(self._records()):
            if record.delivery.id in lanes and record.status in OPEN:
                lane = lanes[record.delivery.id]
                self._put(replace(record, delivery=replace(record.delivery, lane=lane)))
        self.forget(lanes)

    async def complete(self, partition: str, line: LineKey) -> None:
        """Nothing is ever left undone here."""

    async def seal(self, head: Delivery) -> Delivery | None:
        line = LineKey(head.rule, head.action)
        mine = [delivery for delivery in self._open(head.partition, line) if delivery.lane == head.lane]
        found = next((delivery for delivery in mine if delivery.id == head.id), None)
        if found is None:
            return min(mine, key=_OLDEST).without_event() if mine else None
        self._sealed |= dict.fromkeys((delivery.id for delivery in mine), head.id)
        return found.without_event()

    async def gathered(self, head: Delivery, most: int, sums: Sequence[str]) -> Gathered:
        sealed = set(self._sealed_with(head.id))
        rows = [record.delivery for record in self._records() if record.delivery.id in sealed]
        events = [delivery.event for delivery in sorted(rows, key=attrgetter("position"))]
        documents = [event.document for event in events if event.document is not None]
        totals = {path: total(value_at(document, path) for document in documents) for path in sums}
        listed = tuple(replace(event, before=None) for event in events[:most])
        size = sum(event.size for event in listed)
        deepest = max(rows, key=attrgetter("depth"), default=head)
        return Gathered(listed, len(events), totals if events else {}, size, deepest.depth, deepest.through)

    def _open(self, partition: str, line: LineKey) -> list[Delivery]:
        rows = (record.delivery for record in self._records() if record.status in OPEN)
        return [row for row in rows if row.partition == partition and (row.rule, row.action) == line]
