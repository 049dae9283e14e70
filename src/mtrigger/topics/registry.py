"""All topics of a state database: which there are, how long their messages are kept, how they go.

A topic is there as soon as somebody has published into it, also by an insert of another program, or has said
how long its messages are kept.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.messages import COLLECTIONS, collection_of, name_mistake
from mtrigger.stores.certainty import certain
from mtrigger.stores.steadiness import StateOutage, steadily
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.topics.log import Extent, Retention
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.rows import (
    MADE,
    ROWS,
    WITHOUT_CLAIMED,
    TopicRow,
    ending,
    read_row,
    retention_fields,
)
from mtrigger.topics.sweeping import BETWEEN_SECONDS


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, as people are shown it. `created_at` is when it got its row."""

    name: str
    retention: Retention
    created_at: datetime | None
    extent: Extent


class MongoTopics:
    """The topics in the database `state`, whose client must decode dates as aware (`tz_aware=True`).

    What people ask for raises PyMongoError at once when the database does not answer.
    """

    def __init__(self, state: AsyncDatabase[dict[str, Any]], outage: StateOutage) -> None:
        self._state = state
        self.outage = outage
        self._rows = certain(state, ROWS)

    def log(self, name: str) -> MongoLog:
        """The topic `name`, whether it is there or not. Raises SettingsError for no name of a topic."""
        return MongoLog(self._state, name, self.outage)

    async def names(self) -> list[str]:
        """The names of all topics, sorted."""
        made = {str(row["_id"]) async for row in self._rows.find(MADE, {"_id": 1})}
        named = {"name": {"$regex": "^" + re.escape(COLLECTIONS)}}
        found = await self._state.list_collection_names(filter=named)
        return sorted(made | {name for one in found if not name_mistake(name := one[len(COLLECTIONS) :])})

    async def row(self, name: str) -> TopicRow | None:
        """The row of the topic `name`; None where it has none yet."""
        row = await self._rows.find_one({"_id": name}, WITHOUT_CLAIMED)
        return None if row is None else read_row(row)

    async def all(self) -> list[Topic]:
        """All topics by name. Those that only other programs have published into get their rows."""
        found = []
        for name in await self.names():
            extent = await self.log(name).extent()
            if (row := await self.row(name)) is not None:
                found.append(Topic(name, row.retention, row.created_at, extent))
        return found

    async def keep(self, name: str, retention: Retention) -> None:
        """Keep the messages of the topic `name` so long from now on; make it, if it is not there."""
        await self.log(name).open()
        await self._rows.update_one({"_id": name}, {"$set": retention_fields(retention)})

    async def end(self, name: str) -> int | None:
        """Let go of all messages of the topic `name` that have a number, and forget how long they are kept.
        Returns the last number; None where there is no such topic."""
        if name not in await self.names():
            return None
        row = await self._rows.find_one_and_update({"_id": name}, ending(), projection={"next": 1})
        return 0 if row is None else int(row["next"]) - 1

    async def delete(self, name: str) -> bool:
        """Delete the topic `name` with all its messages. Returns whether it was there.

        Its row stays, and with it the next number: a number is given once, also to a topic that is made anew,
        so that whoever stood in the one before misses nothing of it.
        """
        there = await self.end(name) is not None
        await self._state.drop_collection(collection_of(name))
        return there

    @steadily
    async def sweep(self) -> None:
        """Let go of what need not be kept any longer, in all topics where nobody has done so in the last
        minute."""
        for name in await self.names():
            log = self.log(name)
            while await log.sweep():
                heed_cancellation()

    async def keep_swept(self) -> None:
        """Sweep once a minute, until it is cancelled: for topics that nobody reads, and into which rules and
        other programs publish."""
        while True:
            heed_cancellation()
            await self.sweep()
            await asyncio.sleep(BETWEEN_SECONDS)
