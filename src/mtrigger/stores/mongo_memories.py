"""What rules remember, in MongoDB: the collection `rule_state` of the state database.

A row carries the epoch of the owner who wrote it: what an earlier owner had on its way changes nothing once a
later one has written. Epochs begin anew when a position is reset or partitions are divided anew; so who reads
a row, which an owner does before it writes it, makes it one of its own epoch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deliveries import Memory
from mtrigger.stores.latest_rows import put_unless_later
from mtrigger.stores.memories import Fields
from mtrigger.stores.steadiness import StateOutage, steadily


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
        rows = await self._rows.find({"_id": {"$in": list(ids)}}).to_list()
        if ahead := [row["_id"] for row in rows if row.get("epoch", 0) > self._epoch]:
            taken = {"_id": {"$in": ahead}, "epoch": {"$gt": self._epoch}}
            await self._rows.update_many(taken, {"$set": {"epoch": self._epoch}})
        return {row["_id"]: row for row in rows}

    @steadily
    async def keep(self, memories: Sequence[Memory]) -> None:
        last = {memory.id: _row(memory, self._epoch) for memory in memories}
        await put_unless_later(self._rows, last.values(), by="epoch")

    @property
    def _epoch(self) -> int:
        fence = self.outage.fence
        return fence.lease.epoch if fence is not None else 0

    async def keep_within(self, session: AsyncClientSession, memories: Sequence[Memory]) -> None:
        """`keep` as a part of the transaction of `session`: nothing is refused there, which would end it."""
        epoch = self._epoch
        writes = []
        for memory in memories:
            mine = {"$literal": _row(memory, epoch)}
            row = {"$cond": [{"$gt": ["$epoch", epoch]}, "$$ROOT", mine]}
            writes.append(UpdateOne({"_id": memory.id}, [{"$replaceWith": row}], upsert=True))
        await self._rows.bulk_write(writes, session=session)


def _row(memory: Memory, epoch: int) -> dict[str, Any]:
    fields = {**memory.fields, "rule": memory.rule, "epoch": epoch, "expires_at": memory.expires_at}
    return {"_id": memory.id, **fields}
