"""Reading the rows of the outbox in MongoDB; and what people do with them, by `mtrigger deliveries`.

Promise: a row that cannot be decoded costs nothing but itself: rows are read raw and decoded one by one, as
far as each can be (see `rows.stored`). What people ask for fails at once when the database does not answer.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from mtrigger.deliveries import OPEN, Status
from mtrigger.stores.base import LARGEST_READ, LineKey, Query, Record, Tally
from mtrigger.stores.rows import (
    EMPTYING,
    KEEP,
    WITHOUT_DOCUMENTS,
    Row,
    meaning,
    read_record,
    stored,
)


class MongoRecords:
    """The rows in `deliveries`, for a store to build upon."""

    def __init__(self, deliveries: AsyncCollection[dict[str, Any]]) -> None:
        self._deliveries = deliveries
        self._rows = deliveries.with_options(CodecOptions(document_class=RawBSONDocument))

    def _stored(self, row: RawBSONDocument) -> Row:
        return stored(bytes(row.raw), self._deliveries.codec_options)

    async def _page(self, wanted: Mapping[str, Any], limit: int) -> list[Row]:
        """The rows that are `wanted`, in the order of their positions: at most `limit`, and no more once
        LARGEST_READ bytes have been read."""
        found, size = [], 0
        async with self._rows.find(wanted, sort=[("position", ASCENDING)], limit=limit) as rows:
            async for row in rows:
                found.append(self._stored(row))
                size += len(row.raw)
                if size >= LARGEST_READ:
                    break
        return found

    async def open_records(self) -> None:
        """Make the indexes."""
        line = [(field, ASCENDING) for field in ("partition", "rule", "action", "position")]
        await self._deliveries.create_index(line, name="open", partialFilterExpression={"open": True})
        await self._deliveries.create_index(
            "reopened", name="reopened", partialFilterExpression={"reopened": True}
        )
        await self._deliveries.create_index(
            "settled_at", name="dead", partialFilterExpression={"status": "dead"}
        )
        await self._deliveries.create_index(
            "expires_at",
            name="expiry",
            expireAfterSeconds=0,
            partialFilterExpression={"expires_at": {"$exists": True}},
        )

    async def find(self, query: Query, limit: int) -> list[Record]:
        rows = self._rows.find(meaning(query), sort=[("created_at", -1), ("position", -1)], limit=limit)
        return [read_record(self._stored(row)) async for row in rows]

    async def summaries(self, query: Query, limit: int) -> list[Record]:
        stages: list[dict[str, Any]] = [
            {"$match": meaning(query)},
            {"$set": WITHOUT_DOCUMENTS},  # before the rows are sorted, which the server does in memory
            {"$sort": {"created_at": -1, "position": -1}},
            {"$limit": limit},
        ]
        return [read_record(self._stored(row)) async for row in await self._rows.aggregate(stages)]

    async def count(self, query: Query) -> int:
        return await self._deliveries.count_documents(meaning(query))

    async def ids(self, beginning: str, limit: int) -> list[str]:
        wanted = {
            "_id": {"$gte": beginning, "$lt": f"{beginning}g"}
        }  # "g" follows the last hexadecimal digit
        rows = self._deliveries.find(wanted, {"_id": 1}, sort=[("_id", ASCENDING)], limit=limit)
        return [str(row["_id"]) async for row in rows]

    async def tallies(self) -> list[Tally]:
        owed = {"$cond": [{"$eq": ["$open", True]}, "$created_at", None]}
        by_status = {"_id": {"rule": "$rule", "action": "$action", "status": "$status"}}
        group = [{"$group": {**by_status, "count": {"$sum": 1}, "oldest": {"$min": owed}}}]
        counts: dict[LineKey, dict[Status, int]] = {}
        oldest: dict[LineKey, datetime] = {}
        async for row in await self._deliveries.aggregate(group):
            line, status = LineKey(row["_id"]["rule"], row["_id"]["action"]), Status(row["_id"]["status"])
            counts.setdefault(line, {})[status] = row["count"]
            if row["oldest"] is not None:
                oldest[line] = min(oldest.get(line, row["oldest"]), row["oldest"])
        return [Tally(line, counts[line], oldest.get(line)) for line in sorted(counts)]

    async def reopen(self, query: Query) -> int:
        wanted = {"$and": [{"status": {"$in": [Status.DEAD, Status.RETRYING]}}, meaning(query)]}
        update = {
            "$set": {
                "status": Status.PENDING,
                "open": True,
                "reopened": True,
                "reopening": uuid.uuid4().hex,  # tells this wish from the ones before and after it
                "attempts": 0,
            },
            "$unset": dict.fromkeys(("due_at", "settled_at", "expires_at", "digest", "settled_together"), ""),
        }
        return (await self._deliveries.update_many(wanted, update)).modified_count

    async def discard(self, query: Query) -> int:
        wanted = {"$and": [{"status": {"$in": [*OPEN, Status.DEAD]}}, meaning(query)]}
        now = datetime.now(UTC)
        fields = {"status": Status.DISCARDED, "settled_at": now}
        gone = {"open": "", "reopened": "", "due_at": ""}
        passing = {"$set": {**fields, "expires_at": now + KEEP}, "$unset": gone}
        for_ever = {"$set": fields, "$unset": {**gone, **EMPTYING}}
        count = 0
        for kept, update in (({"$ne": True}, passing), (True, for_ever)):
            count += (await self._deliveries.update_many({**wanted, "kept": kept}, update)).modified_count
        return count
