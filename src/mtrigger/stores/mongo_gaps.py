"""Gaps in MongoDB: the collection `gaps` of the state database."""

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.stores.certainty import certain
from mtrigger.stores.gaps import Gap
from mtrigger.stores.steadiness import StateOutage, steadily


class MongoGaps:
    """One row a gap."""

    def __init__(self, state: AsyncDatabase[dict[str, Any]], outage: StateOutage) -> None:
        self._gaps = certain(state, "gaps")
        self.outage = outage

    @steadily
    async def record(self, gap: Gap) -> None:
        await self._gaps.replace_one({"_id": gap.id}, _row(gap), upsert=True)

    @steadily
    async def mark_rescanned(self, gap_id: str) -> None:
        await self._gaps.update_one({"_id": gap_id}, {"$set": {"rescanned": True}})

    async def all(self) -> list[Gap]:
        rows = self._gaps.find(sort=[("from", ASCENDING), ("stream", ASCENDING)])
        return [_read(row) async for row in rows]


def _row(gap: Gap) -> dict[str, Any]:
    return {
        "stream": gap.stream,
        "from": gap.since,
        "to": gap.until,
        "why": gap.why,
        "policy": gap.policy,
        "at": gap.at,
        "rescanned": gap.rescanned,
    }


def _read(row: Mapping[str, Any]) -> Gap:
    return Gap(row["stream"], row["from"], row["to"], row["why"], row["policy"], row["at"], row["rescanned"])
