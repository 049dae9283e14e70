"""What rules remember, in MongoDB: the collection `rule_state` of the state database.

A row carries the epoch of the owner who wrote it: what an earlier owner had on its way changes nothing once a
later one has written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ReplaceOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from mtrigger.deliveries import Memory
from mtrigger.stores.memories import Fields
from mtrigger.stores.steadiness import StateOutage, steadily

_DUPLICATE_KEY = 11000


class MongoMemories:
    """One row a group."""

    def __init__(self, state: AsyncDatabase[dict[str, Any]], outage: StateOutage) -> None:
        self._rows = state.get_collection("rule_state")
        self.outage = outage

    async def open(self) -> None:
        """Make the index that lets go of what has expired."""
        await self._rows.create_index("expires_at", name="expiry", expireAfterSeconds=0)

    @steadily
    async def of(self, ids: Sequence[str]) -> Mapping[str, Fields]:
        rows = self._rows.find({"_id": {"$in": list(ids)}})
        return {row["_id"]: row async for row in rows}

    @steadily
    async def keep(self, memories: Sequence[Memory]) -> None:
        fence = self.outage.fence
        epoch = fence.lease.epoch if fence is not None else 0
        last = {memory.id: memory for memory in memories}
        writes = [
            ReplaceOne(
                {"_id": memory.id, "epoch": {"$not": {"$gt": epoch}}},
                {**memory.fields, "rule": memory.rule, "epoch": epoch, "expires_at": memory.expires_at},
                upsert=True,
            )
            for memory in last.values()
        ]
        try:
            await self._rows.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            # The row is there with a later epoch: its owner knows more.
            others = [item for item in error.details["writeErrors"] if item["code"] != _DUPLICATE_KEY]
            if others or error.details["writeConcernErrors"]:
                raise
