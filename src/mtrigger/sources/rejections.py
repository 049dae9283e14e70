"""Rejected rows in the outbox: dead deliveries that people see, discard, or have tried again.

Promise: a row that is tried again is read as it is then, and its delivery settled once that is stored; so is
one whose death a crash kept from being written.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Settlement
from mtrigger.sources.pages import RejectedRow
from mtrigger.sources.places import stream_of
from mtrigger.sources.rejected_rows import (
    ACTION,
    Letters,
    RowAddress,
    address_of,
    delivery_of,
    rule_of,
)
from mtrigger.stores.base import LineKey, Store
from mtrigger.supervision.steady_time import clock

log = logging.getLogger(__name__)

AT_ONCE = 100
MOST_NAMED = 5
"""Rows of one page that are named in the log when they are rejected."""

Again = Callable[[RowAddress], Awaitable[str | RejectedRow]]
"""Reads a row once more and stores it: what came of that in words, or the row that is still rejected."""


class Rejections:
    """Those of one source, in the store of its owner."""

    def __init__(self, source: str, store: Store, letters: Letters) -> None:
        self._source = source
        self._store = store
        self._letters = letters
        self._partition = stream_of(source)

    async def add(self, table: str, rows: Sequence[RejectedRow]) -> int:
        """Make them durable. Returns how many were not known."""
        now = datetime.now(UTC)
        found = {}
        for row in rows:
            delivery = delivery_of(self._source, table, row, now)
            found[delivery.id] = (delivery, row)
        if not found:
            return 0
        new = await self._store.add([delivery for delivery, _ in found.values()])
        await self._bury([(delivery, row.why) for delivery, row in found.values() if delivery.id in new], now)
        for delivery, row in [found[id_] for id_ in found if id_ in new][:MOST_NAMED]:
            log.error(
                "the row %s of %s cannot be stored: %s (once that is mended: mtrigger deliveries retry %s)",
                row.key[:200],
                table,
                row.why,
                delivery.id,
            )
        if len(new) > MOST_NAMED:
            log.error("so it is with %d more rows of %s", len(new) - MOST_NAMED, table)
        return len(new)

    async def left_open(self, again: Again) -> None:
        """Deal with what was open when the one before ended: rows that somebody wanted tried again, and
        deaths that were not written."""
        line = LineKey(rule_of(self._source), ACTION)
        while open_ := await self._store.owed(self._partition, line, "", AT_ONCE):
            await self._try(open_, again)

    async def reopened(self, again: Again) -> None:
        """Deal with the rows that somebody wants tried again now."""
        while open_ := await self._store.take_reopened(self._partition, AT_ONCE):
            await self._try(open_, again)

    async def _try(self, deliveries: Sequence[Delivery], again: Again) -> None:
        for delivery in deliveries:
            at, began = datetime.now(UTC), clock()
            found = await again(address_of(delivery))
            outcome: Outcome
            if isinstance(found, RejectedRow):
                outcome = Dead(found.why)
                await self._store.owe(await self._letters(delivery, found.why, at))
            else:
                outcome = Delivered(found)
            await self._store.settle([Settlement(delivery, outcome, at, clock() - began)])
            address, came_of_it = address_of(delivery), found.why if isinstance(found, RejectedRow) else found
            log.info("the row %s of %s was tried again: %s", address.key[:200], address.table, came_of_it)

    async def _bury(self, dead: Sequence[tuple[Delivery, str]], now: datetime) -> None:
        owed = [letter for delivery, why in dead for letter in await self._letters(delivery, why, now)]
        if owed:
            # Before the deaths are settled: a crash in between tells of them once more, with the same ids.
            await self._store.owe(owed)
        if dead:
            await self._store.settle([Settlement(delivery, Dead(why), now, 0.0) for delivery, why in dead])
