"""What stands between two events, in MongoDB: the collections `alerts` and `clocks` of the state database.

A write passes over a row that a later event has made: so what an earlier owner had on its way, or what is
read a second time, changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.standing import Alert, Clock, Waiting
from mtrigger.stores.latest_rows import put_unless_later
from mtrigger.stores.steadiness import StateOutage, steadily

_OVER_KEPT = timedelta(days=7)
"""How long what no longer stands is remembered: longer than any stretch that is read again."""

Row = dict[str, Any]


class MongoStanding:
    """One row a document that a rule fired for, one row a group that a rule waits for."""

    def __init__(self, state: AsyncDatabase[Row], outage: StateOutage) -> None:
        self._alerts = state.get_collection("alerts")
        self._clocks = state.get_collection("clocks")
        self.outage = outage

    async def open(self) -> None:
        """Make the indexes."""
        await self._alerts.create_index(
            "expires_at",
            name="expiry",
            expireAfterSeconds=0,
            partialFilterExpression={"expires_at": {"$exists": True}},
        )
        await self._clocks.create_index(
            [("due_at", ASCENDING)], name="due", partialFilterExpression={"due_at": {"$exists": True}}
        )
        await self._clocks.create_index("rule", name="rule")

    @steadily
    async def alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        return {row["_id"]: _read_alert(row) async for row in self._alerts.find({"_id": {"$in": list(ids)}})}

    @steadily
    async def keep_alerts(self, alerts: Sequence[Alert]) -> None:
        await put_unless_later(self._alerts, map(_alert_row, alerts), by="position")

    @steadily
    async def clocks(self, ids: Sequence[str]) -> Mapping[str, Clock]:
        return {row["_id"]: _read_clock(row) async for row in self._clocks.find({"_id": {"$in": list(ids)}})}

    @steadily
    async def keep_clocks(self, clocks: Sequence[Clock]) -> None:
        await put_unless_later(self._clocks, map(_clock_row, clocks), by="position")

    @steadily
    async def wait_for(self, waiting: Sequence[Waiting], firsts: Sequence[Clock]) -> None:
        await self._clocks.delete_many({"rule": {"$nin": [rule.rule for rule in waiting]}, **_REAL})
        for rule in waiting:
            mine = {"rule": rule.rule}
            await self._clocks.delete_many({**mine, "per": {"$ne": list(rule.per)}})
            due_at = {"$add": ["$last", {"$literal": round(rule.seconds * 1_000)}]}
            anew = {
                "seconds": rule.seconds,
                "due_at": {"$cond": [{"$eq": ["$told", True]}, "$$REMOVE", due_at]},
            }
            await self._clocks.update_many({**mine, "seconds": {"$ne": rule.seconds}}, [{"$set": anew}])
        for clock in firsts:
            row = _clock_row(clock)
            await self._clocks.update_one({"_id": row.pop("_id")}, {"$setOnInsert": row}, upsert=True)

    @steadily
    async def restart(self, rules: Collection[str], at: datetime) -> None:
        wanted = {"rule": {"$in": list(rules)}, "told": False, "last": {"$lt": at}}
        due_at = {"$add": [at, {"$multiply": ["$seconds", 1_000]}]}
        await self._clocks.update_many(wanted, [{"$set": {"last": at, "due_at": due_at}}])

    @steadily
    async def due(self, rules: Collection[str], until: datetime, limit: int) -> list[Clock]:
        wanted = {"due_at": {"$lte": until}, "rule": {"$in": list(rules)}}
        rows = self._clocks.find(wanted, sort=[("due_at", ASCENDING)], limit=limit)
        return [_read_clock(row) async for row in rows]

    @steadily
    async def touch(self) -> None:
        now = {"$set": {"touched_at": datetime.now(UTC)}}
        await self._clocks.update_one({"_id": _TOUCHED}, now, upsert=True)


_TOUCHED = "*"
_REAL: Row = {"_id": {"$ne": _TOUCHED}}


def _alert_row(alert: Alert) -> Row:
    row = {
        "_id": alert.id,
        "rule": alert.rule,
        "namespace": alert.namespace,
        "key": alert.key,
        "since": alert.since,
        "position": alert.position,
        "stands": alert.stands,
    }
    if alert.stands:
        return {**row, "document": alert.document}
    return {**row, "expires_at": datetime.now(UTC) + _OVER_KEPT}


def _read_alert(row: Row) -> Alert:
    return Alert(
        id=row["_id"],
        rule=row["rule"],
        namespace=row["namespace"],
        key=row["key"],
        since=row["since"],
        position=row["position"],
        stands=row["stands"],
        document=row.get("document", {}),
    )


def _clock_row(clock: Clock) -> Row:
    row = {
        "_id": clock.id,
        "rule": clock.waiting.rule,
        "seconds": clock.waiting.seconds,
        "per": list(clock.waiting.per),
        "group": [[path, value] for path, value in clock.group.items()],
        "last": clock.last,
        "position": clock.position,
        "told": clock.told,
        "namespace": clock.namespace,
        "key": clock.key,
        "document": clock.document,
    }
    return row if clock.told else {**row, "due_at": clock.due_at}


def _read_clock(row: Row) -> Clock:
    return Clock(
        id=row["_id"],
        waiting=Waiting(row["rule"], row["seconds"], tuple(row["per"])),
        group={path: value for path, value in row["group"]},  # noqa: C416 - dict() loses the types
        last=row["last"],
        position=row["position"],
        told=row["told"],
        namespace=row["namespace"],
        key=row["key"],
        document=row["document"],
    )
