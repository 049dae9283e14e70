"""Positions in MongoDB: the collection `checkpoints` of the state database, one row a stream's partition.

Promise: a position moves only where the server finds its owner unchanged, decided together with the write.
"""

from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mtrigger.errors import OwnershipError, PositionError
from mtrigger.ownership.lease import Fence
from mtrigger.ownership.processes import shown
from mtrigger.stores.mongo_leases import held_by
from mtrigger.stores.positions import Checkpoint
from mtrigger.stores.rows import Row, checkpoint_fields, freeing, moving, read_checkpoint
from mtrigger.stores.steadiness import StateOutage, steadily

CHECKPOINTS = "checkpoints"
"""The collection, in the state database."""


class MongoPositions:
    """The rows in CHECKPOINTS, whose write concern is a majority, for a store to build upon. With a `fence`
    they are written by the owner of a stream."""

    def __init__(self, checkpoints: AsyncCollection[dict[str, Any]], fence: Fence | None) -> None:
        self._checkpoints = checkpoints
        self._fence = fence
        self.outage = StateOutage(fence)

    @steadily
    async def checkpoint(self, stream: str) -> Checkpoint | None:
        row = await self._checkpoints.find_one({"_id": stream})
        return None if row is None else read_checkpoint(row)

    @steadily
    async def begin(self, checkpoint: Checkpoint) -> Checkpoint:
        row = {"_id": checkpoint.stream, **checkpoint_fields(checkpoint), "previous": []}
        try:
            await self._checkpoints.insert_one(row)
        except DuplicateKeyError:
            stored = await self._checkpoints.find_one({"_id": checkpoint.stream})
            return checkpoint if stored is None else read_checkpoint(stored)
        return checkpoint

    @steadily
    async def advance(self, checkpoint: Checkpoint) -> None:
        mine = self._mine()
        result = await self._checkpoints.update_one({"_id": checkpoint.stream, **mine}, moving(checkpoint))
        if result.matched_count == 1:
            return
        owner = await self._checkpoints.find_one({"_id": checkpoint.stream}, {"lease.owner": 1})
        if owner is not None:
            name = shown((owner.get("lease") or {}).get("owner", ""))
            raise OwnershipError(f"The position was not written: the stream is owned by {name} now.")
        raise PositionError(
            f"The checkpoint {checkpoint.stream!r} was removed while this process was using it. "
            "Start again to begin from now, or set one with `mtrigger checkpoint set`."
        )

    @steadily
    async def put(self, checkpoint: Checkpoint) -> Checkpoint:
        update = [*moving(checkpoint), *freeing()]
        row = await self._checkpoints.find_one_and_update(
            {"_id": checkpoint.stream}, update, upsert=True, return_document=ReturnDocument.AFTER
        )
        return checkpoint if row is None else read_checkpoint(row)

    @steadily
    async def note_start(self, stream: str) -> int:
        mine = self._mine()
        row = await self._checkpoints.find_one_and_update(
            {"_id": stream, **mine}, {"$inc": {"starts": 1}}, return_document=ReturnDocument.AFTER
        )
        return int(row["starts"]) if row is not None else 0

    @steadily
    async def forget_starts(self, stream: str) -> None:
        mine = self._mine()
        await self._checkpoints.update_one({"_id": stream, **mine}, {"$set": {"starts": 0}})

    async def reset(self, stream: str) -> bool:
        return (await self._checkpoints.delete_one({"_id": stream})).deleted_count == 1

    def _mine(self) -> Row:
        """What a row is asked for besides its name: that this process still owns the stream."""
        return held_by(self._fence.lease) if self._fence is not None else {}
