"""Sweeping: the oldest messages go when they are too old, or when a topic is too large.

Promise: a sweep moves the topic's `first` before it deletes anything below it, so whoever stands before
`first` has missed something, and nobody else. What has no number is never deleted. Of all processes that read
or publish one sweeps, once a minute, in small portions: what is left is done with the next call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bson.int64 import Int64
from pymongo import ASCENDING, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from mtrigger.supervision.steady_time import clock
from mtrigger.topics.mongo_numbering import Numberer
from mtrigger.topics.retention import first_kept, marked, still_needed, surplus
from mtrigger.topics.rows import WITHOUT_CLAIMED, TopicRow, read_row

BETWEEN_SECONDS = 60.0
"""How long after a sweep, by the server's clock, the next one begins at the earliest."""

PORTION = 5_000
"""Messages that are numbered or deleted by one call."""

_NOT_THERE = 26
"""The server's code for a collection that is not there."""

_DUE: Mapping[str, Any] = {
    # Never swept: that is less than any date.
    "$expr": {"$lte": ["$swept_at", {"$subtract": ["$$NOW", int(BETWEEN_SECONDS * 1000)]}]}
}

Collection = AsyncCollection[dict[str, Any]]


class Sweeper:
    """Sweeps one topic. Both collections read and write by majority. Everything raises PyMongoError, and may
    be called again then."""

    def __init__(self, topic: str, messages: Collection, rows: Collection, numberer: Numberer) -> None:
        self._topic = topic
        self._messages = messages
        self._rows = rows
        self._numberer = numberer
        self._due_at = 0.0
        self._left = False

    async def sweep_if_due(self) -> bool:
        """One portion of a sweep, if it is time for one and no other process sweeps. Returns whether there is
        more to do at once."""
        if not self._left:
            if clock() < self._due_at:
                return False
            self._due_at = clock() + BETWEEN_SECONDS
        row = await self._take_turn({} if self._left else _DUE)
        self._left = row is not None and await self._sweep(row)
        return self._left

    async def stored(self) -> tuple[int, int]:
        """How many messages there are, and of how many bytes, as MongoDB counts them."""
        stats: list[dict[str, Any]] = [{"$collStats": {"storageStats": {}}}]
        counted = self._messages.with_options(read_concern=ReadConcern("local"))
        try:
            rows = await (await counted.aggregate(stats)).to_list()
        except OperationFailure as error:
            if error.code != _NOT_THERE:
                raise
            return 0, 0
        storage = [row["storageStats"] for row in rows]
        return sum(int(one["count"]) for one in storage), sum(int(one["size"]) for one in storage)

    async def _take_turn(self, due: Mapping[str, Any]) -> TopicRow | None:
        """The topic's row, swept now, if it is `due`."""
        row = await self._rows.find_one_and_update(
            {"_id": self._topic, **due},
            [{"$set": {"swept_at": "$$NOW"}}],
            projection=WITHOUT_CLAIMED,
            return_document=ReturnDocument.AFTER,
        )
        return None if row is None else read_row(row)

    async def _sweep(self, row: TopicRow) -> bool:
        """One portion of the work. Returns whether there is more."""
        async with self._messages.database.client.start_session() as session:
            first = await self._first_kept(row, session)
            left = await self._delete(first, session)
            if not left and row.retention.size is not None:
                left = await self._shrink(first, row.retention.size, session)
            # Otherwise the messages of a topic that nobody reads would never have an age.
            return await self._numberer.more(row, session) is not None or left

    async def _first_kept(self, row: TopicRow, session: AsyncClientSession) -> int:
        """The lowest offset that is not too old. What comes next now is noted first."""
        if row.swept_at is None:
            return row.first
        marks = marked(row.marks, row.swept_at, row.next)
        first = max(row.first, first_kept(marks, row.swept_at, row.retention.seconds))
        kept = [{"at": mark.at, "next": Int64(mark.next)} for mark in still_needed(marks, first)]
        await self._move(first, session, marks=kept)
        return first

    async def _move(self, first: int, session: AsyncClientSession, **fields: Any) -> None:
        write = {"$max": {"first": Int64(first)}, **({"$set": fields} if fields else {})}
        await self._rows.update_one({"_id": self._topic}, write, session=session)

    async def _delete(self, first: int, session: AsyncClientSession) -> bool:
        """Delete a portion of what lies below `first`. Returns whether there is more."""
        below = {"offset": {"$gte": Int64(1), "$lt": Int64(first)}}
        last = await self._offsets(below, session)
        if last:
            await self._messages.delete_many(
                {"offset": {"$gte": Int64(1), "$lte": Int64(last[-1])}}, session=session
            )
        return len(last) == PORTION

    async def _offsets(self, wanted: dict[str, Any], session: AsyncClientSession) -> Sequence[int]:
        """The lowest offsets among the messages that are `wanted`, at most PORTION."""
        found = self._messages.find(
            wanted, {"_id": 0, "offset": 1}, sort=[("offset", ASCENDING)], limit=PORTION, session=session
        )
        return [int(document["offset"]) async for document in found]

    async def _shrink(self, first: int, most: int, session: AsyncClientSession) -> bool:
        """Delete a portion of what is too much. Returns whether more must go."""
        _, size = await self.stored()
        if size <= most:
            return False
        oldest: list[dict[str, Any]] = [
            {"$match": {"offset": {"$gte": Int64(first)}}},
            {"$sort": {"offset": 1}},
            {"$limit": PORTION},
            {"$project": {"_id": 0, "offset": 1, "size": {"$bsonSize": "$$ROOT"}}},
        ]
        sizes = [
            (int(one["offset"]), int(one["size"]))
            async for one in await self._messages.aggregate(oldest, session=session)
        ]
        first = max(first, surplus(sizes, size - most))
        await self._move(first, session)
        await self._delete(first, session)
        return len(sizes) == PORTION and first > sizes[-1][0]
