"""Replay: rules held against the past, from the history of changes or from the documents themselves.

What comes of it is owed through the same planning as live, so a delivery has the id it had when the change
was first read: what is in the outbox already is not owed again. Nothing here moves the position.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger import planning, pushdown
from mtrigger.deliveries import Delivery
from mtrigger.deployment.connecting import oldest_time
from mtrigger.errors import PositionError
from mtrigger.events import ChangeEvent
from mtrigger.faults import Fault, classify
from mtrigger.matching import Matcher
from mtrigger.partitions import Partition
from mtrigger.position import rescanning
from mtrigger.pushdown.lookups import LookUpCovers
from mtrigger.reading.lookups import EVENTS_AT_ONCE, Documents
from mtrigger.reading.narrowing import narrowed
from mtrigger.reading.stream import ChangeStream, StreamPosition
from mtrigger.rules import Collections, Rule

Client = AsyncMongoClient[dict[str, Any]]
Events = Sequence[ChangeEvent]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The past from `since` to `until` (both inclusive). With a `query`, the documents that are as it says,
    under ids that belong to `since`; without, the changes. `collections` None means all that rules name."""

    since: Timestamp
    until: Timestamp
    query: Mapping[str, Any] | None = None
    collections: Collections | None = None

    def includes(self, event: ChangeEvent) -> bool:
        """Whether the event lies in it."""
        if self.collections is not None and not self.collections.include(event.namespace):
            return False
        return event.cluster_time <= self.until


@dataclass(frozen=True, slots=True)
class Replay:
    """Rules to be held against a stretch of the past of one deployment, as far as that belongs to one
    partition: its owner will run what they owe."""

    client: Client
    rules: tuple[Rule, ...]
    cluster_id: str
    partition: Partition
    state_database: str

    async def deliveries(self, stretch: Stretch) -> AsyncIterator[tuple[int, list[Delivery]]]:
        """How many events were looked at, and what they owe, some at a time.

        Raises PositionError when the history does not reach back to `since`.
        """
        matcher, name = Matcher(self.rules), self.partition.name
        async for events in self.events(stretch):
            now = datetime.now(UTC)
            matched = [(event, matcher.matches(event, now)) for event in events]
            yield len(events), planning.deliveries(matched, self.cluster_id, name, now)

    async def events(self, stretch: Stretch) -> AsyncIterator[Events]:
        """What happened, with the documents that the rules need, some at a time.

        Raises PositionError when the history does not reach back to `since`.
        """
        documents, covers = Documents(self.client), LookUpCovers(Matcher(self.rules))
        source = self._changes(stretch) if stretch.query is None else self._documents(stretch, stretch.query)
        async for batch in source:
            events = [event for event in batch if stretch.includes(event)]
            while events:
                some = events[:EVENTS_AT_ONCE]
                whole = await documents.fill_in(some, covers.of)
                events = events[len(whole) :]
                yield whole

    async def _changes(self, stretch: Stretch) -> AsyncIterator[Events]:
        plan = narrowed(pushdown.plan(self.rules, self.state_database), self.partition)
        stream = ChangeStream(self.client, plan, StreamPosition(None, stretch.since, ""), "replay")
        try:
            while True:
                try:
                    batch = await stream.read()
                except PyMongoError as error:
                    if classify(error) is Fault.HISTORY_LOST:
                        raise await self._too_old(stretch.since) from error
                    raise
                yield batch.events
                reached = batch.position.cluster_time
                if reached > stretch.until or (reached == stretch.until and not batch.events):
                    return
        finally:
            await stream.close()

    async def _too_old(self, since: Timestamp) -> PositionError:
        oldest = await oldest_time(self.client)
        begins = f"; it begins with {oldest.as_datetime().isoformat()}" if oldest is not None else ""
        return PositionError(
            f"The oplog does not reach back to {since.as_datetime().isoformat()}{begins}. Begin later, or "
            "hold the rules against the documents as they are (`mtrigger replay --query '{}'`, "
            "`mtrigger test --over DB.COLLECTION`)."
        )

    async def _documents(self, stretch: Stretch, query: Mapping[str, Any]) -> AsyncIterator[Events]:
        rescan = await rescanning.begin(self.client, self.rules, self.state_database)
        if stretch.collections is not None:
            named = tuple(name for name in rescan.namespaces if stretch.collections.include(name))
            rescan = replace(rescan, namespaces=named)
        own = self.partition.holds("_id")
        wanted = {"$and": [query, own]} if own else query
        while rescan.namespaces:
            chunk = await rescanning.read(self.client, stretch.since, rescan, wanted)
            rescan = chunk.rescan
            yield chunk.events
