"""The store in MongoDB: collections `checkpoints`, `layouts`, `deliveries`, `gaps`,
`rule_state`, `wishes` and more of the state database.

Promise: what a method wrote is on a majority when it returns. A passing fault (network, election, disk full)
is waited out with growing pauses, however long it takes, because giving up would either lose an event or run
an action twice.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from pymongo import DESCENDING, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError

from mtrigger.deliveries import Delivery, Settlement
from mtrigger.faults import DUPLICATE_KEY
from mtrigger.ownership.lease import Fence
from mtrigger.stores.base import Leases, LineKey
from mtrigger.stores.effects import Effects, MakeTopic, left_to_readers
from mtrigger.stores.fitting import TOO_DEEP, Portion, TooDeepError, portions
from mtrigger.stores.gaps import Gaps
from mtrigger.stores.layouts import Layouts
from mtrigger.stores.mongo_destinations import MongoDestinations
from mtrigger.stores.mongo_digests import MongoDigests
from mtrigger.stores.mongo_effects import Client, EffectsElsewhere, MongoEffects
from mtrigger.stores.mongo_gaps import MongoGaps
from mtrigger.stores.mongo_layouts import MongoLayouts
from mtrigger.stores.mongo_leases import MongoLeases
from mtrigger.stores.mongo_memories import MongoMemories
from mtrigger.stores.mongo_positions import CHECKPOINTS, MongoPositions
from mtrigger.stores.mongo_records import MongoRecords
from mtrigger.stores.mongo_schedules import MongoNextRuns
from mtrigger.stores.mongo_standing import MongoStanding
from mtrigger.stores.mongo_wishes import MongoWishes
from mtrigger.stores.outcomes import Settling, following, settling
from mtrigger.stores.rows import Row, delivery_row, read_delivery
from mtrigger.stores.schedules import NextRuns
from mtrigger.stores.steadiness import steadily


class MongoStore(MongoPositions, MongoRecords):
    """Positions, outbox and leases in one database. The client must decode dates as aware (`tz_aware=True`).

    With a `fence` it is the store of a stream's owner. `elsewhere` is a client of the deployment that actions
    write to, when that is another one; `make_topic` makes topics that they publish into.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        fence: Fence | None = None,
        elsewhere: Client | None = None,
        make_topic: MakeTopic = left_to_readers,
    ) -> None:
        self._client = client
        self._database = database
        self._elsewhere = elsewhere
        self._make_topic = make_topic
        durable = WriteConcern("majority")
        state = client.get_database(database, write_concern=durable)
        MongoPositions.__init__(self, state.get_collection(CHECKPOINTS), fence)
        MongoRecords.__init__(self, state.get_collection("deliveries"))
        self.gaps: Gaps = MongoGaps(state, self.outage)
        self.destinations = MongoDestinations(state, self.outage)
        self.memories = MongoMemories(state, self.outage)
        self.wishes = MongoWishes(state, self.outage)
        together = MongoEffects(client, state, self.memories, self.outage, make_topic)
        self.effects: Effects = together if elsewhere is None else EffectsElsewhere(elsewhere, together)
        self.digests = MongoDigests(self._deliveries, self.outage)
        self.schedules: NextRuns = MongoNextRuns(state, self.outage)
        self.standing = MongoStanding(state, self.outage)
        self.leases: Leases = MongoLeases(self._checkpoints)
        self.layouts: Layouts = MongoLayouts(state, self.outage)

    def owned(self, fence: Fence) -> "MongoStore":
        """The same state for the owner of a stream."""
        return MongoStore(self._client, self._database, fence, self._elsewhere, self._make_topic)

    async def open(self) -> None:
        """Make the indexes. Raises PyMongoError when the state database cannot be used."""
        await self.open_records()
        await self.memories.open()
        await self.wishes.open()
        await self.digests.open()
        await self.destinations.open()
        await self.standing.open()

    async def close(self) -> None:
        """Nothing to release: the client belongs to whoever made it."""

    async def add(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        """Insert what is not there yet. When a reply was lost the rows may be ours although they exist
        already, and a row of an earlier owner may be known to nobody: what was never attempted of those is
        dispatched (dispatching knows what it holds)."""
        return await self._add({delivery.id: delivery_row(delivery) for delivery in deliveries})

    async def owe(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        return await self._add(
            {delivery.id: {**delivery_row(delivery), "reopened": True} for delivery in deliveries}
        )

    async def _add(self, rows: Mapping[str, dict[str, Any]]) -> AbstractSet[str]:
        trouble: list[PyMongoError] = []
        existing: set[str] = set()
        epoch = {"epoch": self._fence.lease.epoch} if self._fence is not None else {}
        for portion in portions(row | epoch if epoch else row for row in rows.values()):
            existing |= await self._insert_fitting(portion, trouble)
        if not existing:
            return rows.keys()
        new = rows.keys() - existing
        if trouble:
            return new | await self._never_attempted(existing, {})
        if self._fence is not None:
            mine = {**epoch, "partition": next(iter(rows.values()))["partition"]}
            return new | await self._never_attempted(existing, {"$nor": [mine]})
        return new

    async def _insert_fitting(self, rows: Portion, trouble: list[PyMongoError]) -> set[str]:
        existing: set[str] = set()
        while True:
            try:
                return existing | await self._insert(rows, trouble)
            except TooDeepError as error:
                existing |= error.existing
                rows = rows.shortened(error.ids)

    @steadily
    async def _insert(self, rows: Portion, trouble: list[PyMongoError]) -> set[str]:
        try:
            await self._deliveries.insert_many(rows.documents, ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"]
            existing = {str(item["op"]["_id"]) for item in failed if item["code"] == DUPLICATE_KEY}
            too_deep = [str(item["op"]["_id"]) for item in failed if item["code"] == TOO_DEEP]
            others = [item for item in failed if item["code"] not in (DUPLICATE_KEY, TOO_DEEP)]
            if others or error.details["writeConcernErrors"]:
                trouble.append(error)
                raise BulkWriteError({**error.details, "writeErrors": others}) from error
            if too_deep:
                raise TooDeepError(too_deep, existing) from error
            return existing
        except PyMongoError as error:
            trouble.append(error)
            raise
        return set()

    @steadily
    async def _never_attempted(self, ids: AbstractSet[str], stored: dict[str, Any]) -> set[str]:
        wanted = {"_id": {"$in": list(ids)}, "open": True, "attempts": 0, **stored}
        return {str(row["_id"]) async for row in self._deliveries.find(wanted, {"_id": 1})}

    async def known(self, ids: Sequence[str]) -> AbstractSet[str]:
        found = self._deliveries.find({"_id": {"$in": list(ids)}}, {"_id": 1})
        return {str(row["_id"]) async for row in found}

    @steadily
    async def newest(self, stream: str) -> str:
        last, any_partition = [("position", DESCENDING)], {"$regex": f"^{stream}/"}
        row = await self._deliveries.find_one({"partition": any_partition}, {"position": 1}, sort=last)
        return str(row["position"]) if row is not None else ""

    @steadily
    async def lines(self, partition: str) -> AbstractSet[LineKey]:
        group: list[dict[str, Any]] = [
            {"$match": {"open": True, "partition": partition}},
            {"$group": {"_id": {"rule": "$rule", "action": "$action"}}},
        ]
        rows = await (await self._deliveries.aggregate(group)).to_list()
        return {LineKey(row["_id"]["rule"], row["_id"]["action"]) for row in rows}

    @steadily
    async def owed(self, partition: str, line: LineKey, after: str, limit: int) -> list[Delivery]:
        wanted = {"open": True, "partition": partition, **line._asdict(), "position": {"$gt": after}}
        return [read_delivery(row) for row in await self._page(wanted, limit)]

    async def settle(self, settlements: Sequence[Settlement]) -> AbstractSet[str]:
        # Two writes, one after the other: an unordered bulk could settle a death and fail to insert what it
        # owes.
        if memories := [settlement.remembers for settlement in settlements if settlement.remembers]:
            await self.memories.keep(memories)
        owed = [delivery for settlement in settlements for delivery in settlement.owes]
        new = await self.add(owed) if owed else frozenset()
        await self._settle(settling(settlements))
        if together := following(settlements):
            await self._settle(together)
        return new

    @steadily
    async def _settle(self, updates: Sequence[Settling]) -> None:
        await self._deliveries.bulk_write(updates, ordered=False)

    def permit(self) -> AbstractAsyncContextManager[None]:
        return self._fence.permit() if self._fence is not None else nullcontext()

    @steadily
    async def still_open(self, ids: Sequence[str]) -> AbstractSet[str]:
        found = self._deliveries.find({"_id": {"$in": list(ids)}, "open": True}, {"_id": 1})
        return {str(row["_id"]) async for row in found}

    async def take_reopened(
        self, partition: str, limit: int, full: AbstractSet[LineKey] = frozenset()
    ) -> list[Delivery]:
        # Two writes that are waited out apart: were both repeated after a lost reply, the second time there
        # would be nothing to find, and what was found the first time would be forgotten.
        rows = await self._reopened(partition, limit, full)
        if rows:
            await self._hand_out([row["_id"] for row in rows], {row.get("reopening") for row in rows})
        return [read_delivery(row) for row in rows]

    @steadily
    async def _reopened(self, partition: str, limit: int, full: AbstractSet[LineKey]) -> list[Row]:
        wanted: dict[str, Any] = {"reopened": True, "open": True, "partition": partition}
        if full:
            wanted["$nor"] = [line._asdict() for line in full]
        return await self._page(wanted, limit)

    @steadily
    async def _hand_out(self, ids: Sequence[str], reopenings: AbstractSet[str | None]) -> None:
        # Only the wishes that were read: this may come late, when another process owns the stream and the
        # delivery has died and been reopened there.
        taken = {"_id": {"$in": ids}, "reopening": {"$in": list(reopenings)}}
        await self._deliveries.update_many(taken, {"$unset": {"reopened": ""}})
