"""Events -> the outbox: looks up what events lack, plans what is owed for them, and makes it durable.

Promise: when `store` returns, everything that is owed for the events is durable, and so is what rules have
to remember of them: the position may move past them.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from mtrigger import planning
from mtrigger.deliveries import Delivery
from mtrigger.events import ChangeEvent
from mtrigger.following import Change, Following
from mtrigger.matching import Matcher
from mtrigger.pushdown.lookups import LookUpCovers
from mtrigger.reading.lookups import EVENTS_AT_ONCE, Documents
from mtrigger.stores.base import Checkpoint, Store

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
        store: Store,
        hand_over: HandOver,
        checkpoint: Checkpoint,
        matcher: Matcher,
    ) -> None:
        self._outbox = store
        self._hand_over = hand_over
        self._cluster = checkpoint.cluster_id
        self._partition = checkpoint.stream
        self._documents = Documents(client)
        self._following = Following(store.standing, self._cluster, self._partition)
        self.use(matcher)

    def use(self, matcher: Matcher) -> None:
        """Hold every event from now on against these rules."""
        self._matcher = matcher
        self._following.use(matcher.rules)
        endings = self._following.endings
        self._covers = LookUpCovers(Matcher((*matcher.rules, *endings)) if endings else matcher)

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
        now = datetime.now(UTC)
        matched = [(event, matcher.matches(event, now)) for event in whole]
        owed = planning.deliveries(matched, self._cluster, self._partition, now)
        change = await self._following.consider(matched, now)
        return len(whole), await self._make_durable([*owed, *change.owed], change, began)

    async def pass_time(self, reached: Timestamp) -> bool:
        """Make durable what is owed because nothing came, once everything up to `reached` is stored. Returns
        whether anything was."""
        owing = False
        while True:
            began = time.perf_counter()
            change = await self._following.silences(reached, datetime.now(UTC))
            if not await self._make_durable(change.owed, change, began):
                return owing
            owing = True

    async def leap(self, to: Timestamp) -> None:
        """The position moves on to `to` without what was in between."""
        await self._following.leap(to)

    async def _make_durable(self, owed: list[Delivery], change: Change, began: float) -> bool:
        """First what is owed, then the states that owe it no more; then it may run."""
        if owed:
            owed = await self._traced(owed)
            new = await self._outbox.add(owed)
        await self._following.keep(change)
        if owed:
            fresh = [delivery for delivery in owed if delivery.id in new]
            await self._hand_over(fresh, PATIENCE * (time.perf_counter() - began))
        return bool(owed)

    async def _traced(self, owed: list[Delivery]) -> list[Delivery]:
        """`owed` with what caused their events, where that may be a write of the rules themselves."""
        written = self._matcher.written
        if not written:
            return owed
        events = (delivery.event for delivery in owed)
        asked = {event.transaction for event in events if event.transaction and event.namespace in written}
        return planning.traced(owed, await self._outbox.effects.causes(asked)) if asked else owed
