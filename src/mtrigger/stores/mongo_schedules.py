"""When scheduled rules run next, in MongoDB: the collection `schedules` of the state database."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import ReplaceOne
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.stores.schedules import NextRun
from mtrigger.stores.steadiness import StateOutage, steadily


class MongoNextRuns:
    """One row a rule.

    A write of an earlier owner that comes late does no harm: the one who owns the stream now goes by what it
    has read at its start, and what is owed twice has the same ids.
    """

    def __init__(self, state: AsyncDatabase[dict[str, Any]], outage: StateOutage) -> None:
        self._rows = state.get_collection("schedules")
        self.outage = outage

    @steadily
    async def all(self) -> Mapping[str, NextRun]:
        rows = await self._rows.find({}).to_list()
        return {row["_id"]: NextRun(row["_id"], row["specification"], row["next_at"]) for row in rows}

    @steadily
    async def keep(self, runs: Sequence[NextRun]) -> None:
        writes = [
            ReplaceOne(
                {"_id": run.rule}, {"specification": run.specification, "next_at": run.at}, upsert=True
            )
            for run in runs
        ]
        await self._rows.bulk_write(writes, ordered=False)

    @steadily
    async def forget(self, rules: Iterable[str]) -> None:
        await self._rows.delete_many({"_id": {"$in": list(rules)}})
