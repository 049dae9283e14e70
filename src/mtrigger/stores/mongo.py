"""The store in MongoDB: collections `checkpoints` and `deliveries` of the state database.

Promise: what a method wrote is on a majority when it returns. A passing fault (network, election, disk full)
is waited out with growing pauses, however long it takes, because giving up would either lose an event or run
an action twice.
"""

from collections.abc import Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from pymongo import ASCENDING, AsyncMongoClient, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from mtrigger.deliveries import OPEN, Delivery, Settlement, Status
from mtrigger.errors import PositionError
from mtrigger.faults import Fault, classify
from mtrigger.outages import Outage
from mtrigger.stores.base import Checkpoint, LineKey, Query, Record, Tally
from mtrigger.stores.rows import (
    KEEP,
    checkpoint_fields,
    delivery_row,
    meaning,
    read_checkpoint,
    read_delivery,
    read_record,
    settling,
)

DUPLICATE_KEY = 11000
_KEPT_TOKENS = 5

P = ParamSpec("P")
T = TypeVar("T")
Method = Callable[Concatenate["MongoStore", P], Coroutine[Any, Any, T]]


def _steadily(method: Method[P, T]) -> Method[P, T]:
    """Wait out passing faults: call `method` again until it returns or fails for good."""

    @wraps(method)
    async def steady(self: "MongoStore", /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                result = await method(self, *args, **kwargs)
            except PyMongoError as error:
                if classify(error) not in (Fault.PASSING, Fault.FORBIDDEN):
                    raise
                await self._outage.wait(error)
            else:
                self._outage.over()
                return result

    return steady


class MongoStore:
    """Positions and outbox in one database. The client must decode dates as aware (`tz_aware=True`)."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], database: str) -> None:
        durable = WriteConcern("majority")
        state = client.get_database(database, write_concern=durable)
        self._deliveries = state.get_collection("deliveries")
        self._checkpoints = state.get_collection("checkpoints")
        self._outage = Outage("The state database")

    async def open(self) -> None:
        """Make the indexes. Raises PyMongoError when the state database cannot be used."""
        line = [(field, ASCENDING) for field in ("partition", "rule", "action", "position")]
        await self._deliveries.create_index(line, name="open", partialFilterExpression={"open": True})
        await self._deliveries.create_index(
            "reopened", name="reopened", partialFilterExpression={"reopened": True}
        )
        await self._deliveries.create_index(
            "settled_at", name="dead", partialFilterExpression={"status": "dead"}
        )
        await self._deliveries.create_index(
            "expires_at",
            name="expiry",
            expireAfterSeconds=0,
            partialFilterExpression={"expires_at": {"$exists": True}},
        )

    async def close(self) -> None:
        """Nothing to release: the client belongs to whoever made it."""

    # -- positions ---------------------------------------------------------------------------------------

    @_steadily
    async def checkpoint(self, stream: str) -> Checkpoint | None:
        row = await self._checkpoints.find_one({"_id": stream})
        return None if row is None else read_checkpoint(row)

    @_steadily
    async def begin(self, checkpoint: Checkpoint) -> Checkpoint:
        row = {"_id": checkpoint.stream, **checkpoint_fields(checkpoint), "previous": []}
        try:
            await self._checkpoints.insert_one(row)
        except DuplicateKeyError:
            stored = await self._checkpoints.find_one({"_id": checkpoint.stream})
            return checkpoint if stored is None else read_checkpoint(stored)
        return checkpoint

    @_steadily
    async def advance(self, checkpoint: Checkpoint) -> None:
        # Whatever a damaged row holds, an operator's `checkpoint set` must be able to overwrite it. A write
        # that is repeated after a lost reply finds its own token there, which is no earlier one.
        same = {"$eq": ["$token", {"$literal": checkpoint.token}]}
        usable = {"$and": [{"$eq": [{"$type": "$token._data"}, "string"]}, {"$not": [same]}]}
        token = {"$cond": [usable, ["$token"], []]}
        before = {"$cond": [{"$isArray": ["$previous"]}, "$previous", []]}
        previous = {"$slice": [{"$concatArrays": [before, token]}, -_KEPT_TOKENS]}
        fields = {name: {"$literal": value} for name, value in checkpoint_fields(checkpoint).items()}
        result = await self._checkpoints.update_one(
            {"_id": checkpoint.stream}, [{"$set": {"previous": previous}}, {"$set": fields}]
        )
        if result.matched_count == 0:
            raise PositionError(
                f"The checkpoint {checkpoint.stream!r} was removed while this process was using it. "
                "Start again to begin from now, or set one with `mtrigger checkpoint set`."
            )

    async def reset(self, stream: str) -> bool:
        return (await self._checkpoints.delete_one({"_id": stream})).deleted_count == 1

    # -- outbox ------------------------------------------------------------------------------------------

    async def add(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        """Insert what is not there yet. When a reply was lost the rows may be ours although they exist
        already: then everything that was never attempted is dispatched (dispatching knows what it holds)."""
        once = {delivery.id: delivery for delivery in deliveries}
        trouble: list[PyMongoError] = []
        existing = await self._insert(list(once.values()), trouble)
        if not existing:
            return once.keys()
        new = once.keys() - existing
        return new | await self._never_attempted(existing) if trouble else new

    @_steadily
    async def _insert(self, deliveries: Sequence[Delivery], trouble: list[PyMongoError]) -> set[str]:
        try:
            await self._deliveries.insert_many(
                [delivery_row(delivery) for delivery in deliveries], ordered=False
            )
        except BulkWriteError as error:
            details = error.details
            others = [item for item in details["writeErrors"] if item["code"] != DUPLICATE_KEY]
            if others or details["writeConcernErrors"]:
                trouble.append(error)
                if any(item["code"] == DUPLICATE_KEY for item in details["writeErrors"]):
                    raise BulkWriteError({**details, "writeErrors": others}) from error
                raise
            return {str(item["op"]["_id"]) for item in details["writeErrors"]}
        except PyMongoError as error:
            trouble.append(error)
            raise
        return set()

    @_steadily
    async def _never_attempted(self, ids: AbstractSet[str]) -> set[str]:
        wanted = {"_id": {"$in": list(ids)}, "open": True, "attempts": 0}
        return {str(row["_id"]) async for row in self._deliveries.find(wanted, {"_id": 1})}

    @_steadily
    async def lines(self, partition: str) -> AbstractSet[LineKey]:
        group: list[dict[str, Any]] = [
            {"$match": {"open": True, "partition": partition}},
            {"$group": {"_id": {"rule": "$rule", "action": "$action"}}},
        ]
        rows = await (await self._deliveries.aggregate(group)).to_list()
        return {LineKey(row["_id"]["rule"], row["_id"]["action"]) for row in rows}

    @_steadily
    async def owed(self, partition: str, line: LineKey, after: str, limit: int) -> list[Delivery]:
        wanted = {"open": True, "partition": partition, **line._asdict(), "position": {"$gt": after}}
        found = self._deliveries.find(wanted, sort=[("position", ASCENDING)], limit=limit)
        return [read_delivery(row) async for row in found]

    @_steadily
    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self._deliveries.bulk_write([settling(settlement) for settlement in settlements], ordered=False)

    @_steadily
    async def still_open(self, delivery_id: str) -> bool:
        return await self._deliveries.find_one({"_id": delivery_id, "open": True}, {"_id": 1}) is not None

    async def take_reopened(self, partition: str, limit: int) -> list[Delivery]:
        # Two writes that are waited out apart: were both repeated after a lost reply, the second time there
        # would be nothing to find, and what was found the first time would be forgotten.
        rows = await self._reopened(partition, limit)
        if rows:
            await self._hand_out([row["_id"] for row in rows])
        return [read_delivery(row) for row in rows]

    @_steadily
    async def _reopened(self, partition: str, limit: int) -> list[dict[str, Any]]:
        wanted = {"reopened": True, "open": True, "partition": partition}
        return await self._deliveries.find(wanted, sort=[("position", ASCENDING)], limit=limit).to_list()

    @_steadily
    async def _hand_out(self, ids: Sequence[str]) -> None:
        await self._deliveries.update_many({"_id": {"$in": ids}}, {"$unset": {"reopened": ""}})

    # -- for people: these fail at once when the database does not answer -----------------------------------

    async def find(self, query: Query, limit: int) -> list[Record]:
        rows = self._deliveries.find(meaning(query), sort=[("created_at", -1), ("position", -1)], limit=limit)
        return [read_record(row) async for row in rows]

    async def count(self, query: Query) -> int:
        return await self._deliveries.count_documents(meaning(query))

    async def ids(self, beginning: str, limit: int) -> list[str]:
        wanted = {
            "_id": {"$gte": beginning, "$lt": f"{beginning}g"}
        }  # "g" follows the last hexadecimal digit
        rows = self._deliveries.find(wanted, {"_id": 1}, sort=[("_id", ASCENDING)], limit=limit)
        return [str(row["_id"]) async for row in rows]

    async def tallies(self) -> list[Tally]:
        owed = {"$cond": [{"$eq": ["$open", True]}, "$created_at", None]}
        by_status = {"_id": {"rule": "$rule", "action": "$action", "status": "$status"}}
        group = [{"$group": {**by_status, "count": {"$sum": 1}, "oldest": {"$min": owed}}}]
        counts: dict[LineKey, dict[Status, int]] = {}
        oldest: dict[LineKey, datetime] = {}
        async for row in await self._deliveries.aggregate(group):
            line, status = LineKey(row["_id"]["rule"], row["_id"]["action"]), Status(row["_id"]["status"])
            counts.setdefault(line, {})[status] = row["count"]
            if row["oldest"] is not None:
                oldest[line] = min(oldest.get(line, row["oldest"]), row["oldest"])
        return [Tally(line, counts[line], oldest.get(line)) for line in sorted(counts)]

    async def reopen(self, query: Query) -> int:
        wanted = {"$and": [{"status": {"$in": [Status.DEAD, Status.RETRYING]}}, meaning(query)]}
        update = {
            "$set": {"status": Status.PENDING, "open": True, "reopened": True, "attempts": 0},
            "$unset": {"due_at": "", "settled_at": "", "expires_at": ""},
        }
        return (await self._deliveries.update_many(wanted, update)).modified_count

    async def discard(self, query: Query) -> int:
        wanted = {"$and": [{"status": {"$in": [*OPEN, Status.DEAD]}}, meaning(query)]}
        now = datetime.now(UTC)
        update = {
            "$set": {"status": Status.DISCARDED, "settled_at": now, "expires_at": now + KEEP},
            "$unset": {"open": "", "reopened": "", "due_at": ""},
        }
        return (await self._deliveries.update_many(wanted, update)).modified_count
