"""Destinations that are down, in MongoDB: the collection `destinations` of the state database.

Rows go by themselves when they were not written again in time, by the clock of the database.
"""

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.stores.destinations import DownDestination
from mtrigger.stores.steadiness import StateOutage, steadily


class MongoDestinations:
    """One row for what one process says of one destination."""

    def __init__(self, state: AsyncDatabase[dict[str, Any]], outage: StateOutage) -> None:
        self._rows = state.get_collection("destinations")
        self.outage = outage

    async def open(self) -> None:
        """Make the index that lets go of what was not said again."""
        await self._rows.create_index("expires_at", name="expiry", expireAfterSeconds=0)

    @steadily
    async def say(self, down: DownDestination, seconds: float) -> None:
        fields = {
            "by": down.by,
            "destination": down.destination,
            "since": down.since,
            "why": down.why,
            "probe_at": down.probe_at,
            "waiting": down.waiting,
        }
        update = {
            **{name: {"$literal": value} for name, value in fields.items()},
            "expires_at": {"$add": ["$$NOW", int(seconds * 1000)]},
        }
        await self._rows.update_one({"_id": _id(down.by, down.destination)}, [{"$set": update}], upsert=True)

    @steadily
    async def take_back(self, by: str, destination: str) -> None:
        await self._rows.delete_one({"_id": _id(by, destination)})

    async def all(self) -> list[DownDestination]:
        # The server lets go of rows once a minute only.
        counting = {"$expr": {"$gt": ["$expires_at", "$$NOW"]}}
        oldest_first = [(name, ASCENDING) for name in ("since", "destination", "by")]
        return [_read(row) async for row in self._rows.find(counting, sort=oldest_first)]


def _id(by: str, destination: str) -> str:
    return f"{by} {destination}"


def _read(row: Mapping[str, Any]) -> DownDestination:
    return DownDestination(
        row["by"], row["destination"], row["since"], row["why"], row["probe_at"], row["waiting"]
    )
