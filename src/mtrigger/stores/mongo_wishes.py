"""What operators wish of rules, in MongoDB: the collection `wishes` of the state database."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.conditions import Condition, parse
from mtrigger.errors import ConditionError
from mtrigger.gates import Pause, Silence, Wishes
from mtrigger.stores.steadiness import StateOutage, steadily
from mtrigger.stores.wishes import gathered

log = logging.getLogger(__name__)

Row = Mapping[str, Any]


class MongoWishes:
    """One row a wish. Silences that have ended go by themselves; the pause of a rule that was resumed stays,
    to say when."""

    def __init__(self, state: AsyncDatabase[dict[str, Any]], outage: StateOutage) -> None:
        self._rows = state.get_collection("wishes")
        self.outage = outage

    async def open(self) -> None:
        """Make the index that lets go of silences that have ended."""
        await self._rows.create_index("until", name="expiry", expireAfterSeconds=0)

    @steadily
    async def current(self) -> Wishes:
        rows = await self._rows.find({}).to_list()
        resumed = {row["rule"]: row["resumed_at"] for row in rows if row["kind"] == "resumed"}
        return gathered(_silences(rows, datetime.now(UTC)), _pauses(rows), resumed)

    async def silence(self, silence: Silence) -> None:
        row = {
            "_id": silence.id,
            "kind": "silence",
            "rule": silence.rule,
            "since": silence.since,
            "until": silence.until,
            "where": silence.where,
            "by": silence.by,
            "comment": silence.comment,
        }
        await self._rows.replace_one({"_id": silence.id}, row, upsert=True)

    async def end_silences(self, rule: str) -> int:
        return (await self._rows.delete_many({"kind": "silence", "rule": rule})).deleted_count

    @steadily
    async def pause(self, pause: Pause) -> None:
        key = f"pause {pause.rule}"
        row = {
            "_id": key,
            "kind": "pause",
            "rule": pause.rule,
            "since": pause.since,
            "drop": pause.drop,
            "reason": pause.reason,
            "by": pause.by,
        }
        await self._rows.replace_one({"_id": key}, row, upsert=True)

    async def resume(self, rule: str) -> bool:
        ended = {"kind": "resumed", "resumed_at": datetime.now(UTC)}
        done = await self._rows.update_one({"kind": "pause", "rule": rule}, {"$set": ended})
        return done.modified_count == 1


@lru_cache(maxsize=64)
def _parsed(where: str) -> Condition:
    """The condition `where`, which is read again every second."""
    return parse(where)


def _silences(rows: Sequence[Row], now: datetime) -> Iterator[Silence]:
    for row in rows:
        if row["kind"] != "silence" or row["until"] <= now:
            continue
        try:
            condition = _parsed(row["where"]) if row["where"] else None
        except ConditionError as error:
            # Written by another version: rather once too often than lost.
            log.warning("a silence of rule %s cannot be read and is left out: %s", row["rule"], error)
            continue
        yield Silence(
            row["_id"],
            row["rule"],
            row["since"],
            row["until"],
            row["where"],
            condition,
            row["by"],
            row["comment"],
        )


def _pauses(rows: Sequence[Row]) -> Iterator[Pause]:
    for row in rows:
        if row["kind"] == "pause":
            yield Pause(row["rule"], row["since"], row["drop"], row["reason"], row["by"])
