"""The layout in MongoDB: one row of the collection `layouts` of the state database.

`change` names a change that was announced, `changed_by` the last one that was completed, so that a repeated
write after a lost reply finds its own work.
"""

from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from mtrigger.deliveries import Status
from mtrigger.partitions import STREAM, Partition, partitions
from mtrigger.stores.layouts import Layout, in_force
from mtrigger.stores.steadiness import StateOutage, steadily

Row = dict[str, Any]

_ROW = {"_id": STREAM}


class MongoLayouts:
    """The layout of the stream, in a database whose write concern is a majority."""

    def __init__(self, state: AsyncDatabase[Row], outage: StateOutage) -> None:
        self._layouts = state.get_collection("layouts")
        self._deliveries = state.get_collection("deliveries")
        self.outage = outage

    @steadily
    async def current(self) -> Layout | None:
        row = await self._layouts.find_one(_ROW)
        return None if row is None else _read(row)

    @steadily
    async def begin(self, partitions: int) -> Layout:
        try:
            await self._layouts.insert_one({**_ROW, "partitions": partitions, "changes": 0})
        except DuplicateKeyError:
            stored = await self._layouts.find_one(_ROW)
            return Layout(partitions) if stored is None else _read(stored)
        return Layout(partitions)

    @steadily
    async def announce(self, change: str, partitions: int) -> bool:
        from_there = {**_ROW, "partitions": partitions}
        result = await self._layouts.update_one(from_there, {"$set": {"change": change}})
        return result.matched_count == 1

    @steadily
    async def complete(self, change: str, partitions: int) -> bool:
        result = await self._layouts.update_one(
            {**_ROW, "change": change},
            {
                "$set": {"partitions": partitions, "changed_by": change},
                "$unset": {"change": ""},
                "$inc": {"changes": 1},
            },
        )
        if result.matched_count == 1:
            return True
        return await self._layouts.find_one({**_ROW, "changed_by": change}) is not None

    @steadily
    async def adopt(self, partition: Partition) -> int:
        elsewhere = {"$regex": f"^{STREAM}/", "$nin": [other.name for other in partitions(partition.count)]}
        whose = {"partition": elsewhere, **partition.holds("event.key._id")}
        count = 0
        for wanted in ({"open": True}, {"status": Status.DEAD.value}):
            # Without an epoch a row counts as an earlier owner's, whatever number that one had.
            moved = {"$set": {"partition": partition.name}, "$unset": {"epoch": ""}}
            count += (await self._deliveries.update_many({**wanted, **whose}, moved)).modified_count
        return count


async def still_in_force(state: AsyncDatabase[Row], stream: str) -> bool:
    """Whether `stream` may be taken; undoes a change of the layout that was announced."""
    layouts = state.get_collection("layouts")
    try:
        count = Partition.named(stream).count
    except ValueError:
        return True
    undone = {"$unset": {"change": ""}}
    wanted = {**_ROW, "partitions": count}
    row = await layouts.find_one_and_update(wanted, undone, return_document=ReturnDocument.AFTER)
    if row is None:
        row = await layouts.find_one(_ROW)
    return in_force(None if row is None else _read(row), stream)


def _read(row: Row) -> Layout:
    return Layout(int(row["partitions"]), int(row.get("changes", 0)))
