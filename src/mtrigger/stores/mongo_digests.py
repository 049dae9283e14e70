"""The rows of digests in MongoDB. The server counts, sums and sorts; what is gathered is never read whole.

Their lanes have an index of their own, which holds no other rows and costs other rules nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Settlement, Status, Suppressed
from mtrigger.grouping import GATHERED
from mtrigger.stores.digests import LARGEST_LISTED, Gathered
from mtrigger.stores.lines import LineKey
from mtrigger.stores.outcomes import following
from mtrigger.stores.rows import Row, read_delivery, read_record, stored
from mtrigger.stores.steadiness import StateOutage, steadily

_LIGHT = {"event": 0, "log": 0}
_LISTED: Row = {"event.before": None, "log": []}
"""What `$set` leaves of a row that is listed: a digest shows documents as they are."""


class MongoDigests:
    """The open rows whose lanes begin with GATHERED."""

    def __init__(self, deliveries: AsyncCollection[dict[str, Any]], outage: StateOutage) -> None:
        self._deliveries = deliveries
        self._raw = deliveries.with_options(CodecOptions(document_class=RawBSONDocument))
        self.outage = outage

    async def open(self) -> None:
        """Make the index."""
        line = [(field, ASCENDING) for field in ("partition", "rule", "action", "lane", "position")]
        gathered = {"open": True, "lane": _beginning(GATHERED)}
        await self._deliveries.create_index(line, name="digest", partialFilterExpression=gathered)

    @steadily
    async def heads(self, partition: str, line: LineKey, lanes: str, limit: int) -> list[Delivery]:
        first = {
            "follows": {"$ne": ["$digest", "$_id"]},  # who was sealed with itself stays the head
            "created_at": "$created_at",
            "position": "$position",
            "_id": "$_id",
            "attempts": "$attempts",
            "due_at": "$due_at",
            "admitted": "$admitted",
        }
        stages: list[dict[str, Any]] = [
            {"$match": {"open": True, "partition": partition, **line._asdict(), "lane": _beginning(lanes)}},
            {"$group": {"_id": "$lane", "head": {"$min": first}}},
            {"$sort": {"head.created_at": ASCENDING, "_id": ASCENDING}},
            {"$limit": limit},
        ]
        names = {"partition": partition, **line._asdict()}
        rows = await (await self._deliveries.aggregate(stages, allowDiskUse=True)).to_list()
        return [_light({**names, **row["head"], "lane": row["_id"]}) for row in rows]

    @steadily
    async def strays(self, partition: str, line: LineKey, lanes: str, limit: int) -> list[Delivery]:
        wanted = {"open": True, "partition": partition, **line._asdict(), "lane": {"$not": _beginning(lanes)}}
        return [read_delivery(row) for row in await self._page([{"$match": wanted}, {"$limit": limit}])]

    @steadily
    async def move(self, lanes: Mapping[str, str]) -> None:
        elsewhere = [
            UpdateOne({"_id": key, "open": True}, {"$set": {"lane": lane}, "$unset": {"digest": ""}})
            for key, lane in lanes.items()
        ]
        await self._deliveries.bulk_write(elsewhere, ordered=False)

    @steadily
    async def complete(self, partition: str, line: LineKey) -> None:
        mine = {"open": True, "partition": partition, **line._asdict(), "lane": _beginning(GATHERED)}
        sealed = {"$match": {**mine, "digest": {"$exists": True}}}
        rows = await self._deliveries.aggregate([sealed, {"$group": {"_id": "$digest"}}], allowDiskUse=True)
        heads = [row["_id"] async for row in rows]
        settled = {"_id": {"$in": heads}, "settled_together": True, "open": {"$exists": False}}
        found = [_settlement(row) async for row in self._deliveries.find(settled, {"event": 0})]
        if updates := following([settlement for settlement in found if settlement is not None]):
            await self._deliveries.bulk_write(updates, ordered=False)

    @steadily
    async def seal(self, head: Delivery) -> Delivery | None:
        mine = {"open": True, **_place(head)}
        row = await self._deliveries.find_one({"_id": head.id, "open": True}, _LIGHT)
        if row is None:
            oldest = [("created_at", ASCENDING), ("position", ASCENDING)]
            row = await self._deliveries.find_one(mine, _LIGHT, sort=oldest)
            return _light(row) if row is not None else None
        seal = {"$set": {"digest": head.id}, "$unset": {"reopened": ""}}
        await self._deliveries.update_many({**mine, "digest": {"$ne": head.id}}, seal)
        return _light(row)

    @steadily
    async def gathered(self, head: Delivery, most: int, sums: Sequence[str]) -> Gathered:
        sealed = {"$match": {"open": True, **_place(head), "digest": head.id}}
        totals = {f"sum{place}": {"$sum": f"$event.document.{path}"} for place, path in enumerate(sums)}
        links = {"depth": {"$ifNull": ["$depth", 0]}, "through": {"$ifNull": ["$through", []]}}
        group = {"$group": {"_id": None, "count": {"$sum": 1}, "deepest": {"$max": links}, **totals}}
        counted = await (await self._deliveries.aggregate([sealed, group])).to_list()
        if not counted:
            return Gathered((), 0, {}, 0, 0, ())
        in_order = {"$sort": {"position": ASCENDING}}
        rows = await self._page([sealed, in_order, {"$limit": most}, {"$set": _LISTED}])
        return Gathered(
            tuple(read_delivery(row).event for row in rows),
            counted[0]["count"],
            {path: counted[0][f"sum{place}"] for place, path in enumerate(sums)},
            sum(row["size"] for row in rows),
            counted[0]["deepest"]["depth"],
            tuple(counted[0]["deepest"]["through"]),
        )

    async def _page(self, stages: Sequence[Mapping[str, Any]]) -> list[Row]:
        """The rows that come of `stages`, no more once LARGEST_LISTED bytes have been read. They are read
        raw, so that one that cannot be decoded costs nothing but itself."""
        found, size = [], 0
        async with await self._raw.aggregate(stages) as rows:
            async for row in rows:
                found.append(stored(bytes(row.raw), self._deliveries.codec_options))
                size += len(row.raw)
                if size >= LARGEST_LISTED:
                    break
        return found


def _beginning(prefix: str) -> dict[str, str]:
    """Texts that begin with `prefix`. (An index with a filter is only used for a range that it contains.)"""
    return {"$gte": prefix, "$lt": f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"}


def _place(head: Delivery) -> dict[str, str]:
    names = {"partition": head.partition, "rule": head.rule, "action": head.action}
    return {**names, "lane": head.lane}


def _light(row: Row) -> Delivery:
    """The delivery in a row that was read without its event."""
    return read_delivery({**row, "event": None}).without_event()


def _settlement(row: Row) -> Settlement | None:
    """What the head in a row came to, together with what was sealed with it; None if it was discarded."""
    record = read_record({**row, "event": None})
    if not record.log:
        return None
    last = record.log[-1]
    outcomes: dict[Status, Outcome] = {
        Status.DELIVERED: Delivered(last.detail),
        Status.SUPPRESSED: Suppressed(last.detail),
        Status.DEAD: Dead(record.error),
    }
    if (outcome := outcomes.get(record.status)) is None:
        return None
    head = replace(record.delivery, attempts=last.number - 1)
    return Settlement(head, outcome, last.at, last.took, sealed=True)
