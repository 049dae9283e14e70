"""Leases in MongoDB: the field `lease` of a stream's checkpoint.

Promise: taking, renewing and giving back are one conditional write each, on a majority when it returns;
before taking comes a look at the layout. What fails is raised at once; asking again is safe for each of them.
"""

from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.read_concern import ReadConcern

from mtrigger.ownership.lease import Lease
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.mongo_layouts import still_in_force
from mtrigger.stores.rows import read_checkpoint, read_lease

Row = dict[str, Any]


class MongoLeases:
    """The leases of the streams in `checkpoints`, whose write concern is a majority."""

    def __init__(self, checkpoints: AsyncCollection[Row]) -> None:
        self._checkpoints = checkpoints
        self._certain = checkpoints.with_options(read_concern=ReadConcern("majority"))

    async def current(self, stream: str) -> Lease | None:
        row = await self._certain.find_one({"_id": stream}, {"lease": 1})
        try:
            return read_lease(row.get("lease")) if row is not None else None
        except (KeyError, TypeError):
            return None

    async def take(self, stream: str, seen: Lease | None, owner: str, seconds: float) -> Checkpoint | None:
        if not await still_in_force(self._checkpoints.database, stream):
            return None
        state = {"lease.epoch": None} if seen is None else {**held_by(seen), "lease.counter": seen.counter}
        mine = {"lease.owner": owner, "lease.seconds": seconds, "lease.released": False}
        row = await self._checkpoints.find_one_and_update(
            {"_id": stream, **state},
            {
                "$set": mine,
                "$unset": {"lease.asked_by": ""},
                "$inc": {"lease.epoch": 1, "lease.counter": 1},
                "$currentDate": {"lease.renewed_at": True},
            },
            return_document=ReturnDocument.AFTER,
        )
        return None if row is None else read_checkpoint(row)

    async def renew(self, stream: str, lease: Lease) -> bool:
        moved = {"$inc": {"lease.counter": 1}, "$currentDate": {"lease.renewed_at": True}}
        result = await self._checkpoints.update_one({"_id": stream, **held_by(lease)}, moved)
        return result.matched_count == 1

    async def release(self, stream: str, lease: Lease) -> None:
        await self._checkpoints.update_one(
            {"_id": stream, **held_by(lease)}, {"$set": {"lease.released": True}}
        )

    async def ask(self, stream: str, lease: Lease, by: str) -> None:
        await self._checkpoints.update_one(
            {"_id": stream, **held_by(lease)}, {"$set": {"lease.asked_by": by}}
        )

    async def retire(self, stream: str, lease: Lease) -> None:
        await self._checkpoints.delete_one({"_id": stream, **held_by(lease)})

    async def renewed_ago(self, stream: str) -> float | None:
        age = {"$divide": [{"$subtract": ["$$NOW", "$lease.renewed_at"]}, 1000]}
        asked: list[Row] = [{"$match": {"_id": stream}}, {"$project": {"age": age}}]
        rows = await (await self._checkpoints.aggregate(asked)).to_list()
        seconds = rows[0].get("age") if rows else None
        return None if seconds is None else max(0.0, float(seconds))


def held_by(lease: Lease) -> Row:
    """The filter for a checkpoint that is still owned by whoever took `lease`."""
    return {"lease.owner": lease.owner, "lease.epoch": lease.epoch}
