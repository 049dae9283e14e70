"""Events -> the outbox: looks up what events lack, plans what is owed for them, and makes it durable.

Promise: when `store` returns, everything that is owed for the events is durable, so that the position may
move past them.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger import planning
from mtrigger.deliveries import Delivery
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.pushdown.lookups import LookUpCovers
from mtrigger.reading.lookups import EVENTS_AT_ONCE, Documents
from mtrigger.stores.base import Checkpoint, Outbox

HandOver = Callable[[Sequence[Delivery], float], Awaitable[None]]
"""Takes deliveries that have become durable, to run them; may wait so many seconds until there is room."""

PATIENCE = 3.0
"""How long the planner waits for room, as a multiple of the time it took to store what needs the room: what
overflows must be read back from the outbox. So reading never falls below a quarter of its speed."""


class Planner:
    """What is owed for the events of one partition, which `checkpoint` names."""

    def __init__(
        self,
        client: AsyncMongoClient[dict[str, Any]],
        outbox: Outbox,
        hand_over: HandOver,
        checkpoint: Checkpoint,
        matcher: Matcher,
    ) -> None:
        self._outbox = outbox
        self._hand_over = hand_over
        self._cluster = checkpoint.cluster_id
        self._partition = checkpoint.stream
        self._documents = Documents(client)
        self.use(matcher)

    def use(self, matcher: Matcher) -> None:
        """Hold every event from now on against these rules."""
        self._matcher = matcher
        self._covers = LookUpCovers(matcher)

    async def store(self, events: Sequence[ChangeEvent]) -> bool:
        """Make durable what is owed for `events`. Returns whether anything was."""
        owing = False
        while events:
            done, owes = await self._store_first(events[:EVENTS_AT_ONCE])
            events, owing = events[done:], owing or owes
        return owing

    async def _store_first(self, events: Sequence[ChangeEvent]) -> tuple[int, bool]:
        """Store what is owed for the first of `events`. Returns how many those are (with large documents, as
        many as should be in memory at once), and whether anything was owed."""
        began = time.perf_counter()
        matcher = self._matcher
        whole = await self._documents.fill_in(events, self._covers.of)
        owed = planning.deliveries(matcher, whole, self._cluster, self._partition, datetime.now(UTC))
        if owed:
            new = await self._outbox.add(owed)
            fresh = [delivery for delivery in owed if delivery.id in new]
            await self._hand_over(fresh, PATIENCE * (time.perf_counter() - began))
        return len(whole), bool(owed)
