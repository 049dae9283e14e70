"""The bell: tells readers at once that something was published, so that they need not look every moment.

It is one change stream a process, however many readers listen, and only a hint: it has no position, it may
ring for nothing, and readers look every few seconds anyway. So it never has to catch up: where much is
published, it is closed, rings for everybody and listens again a moment later, instead of reading each insert.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson.int64 import Int64
from bson.regex import Regex
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from mtrigger.messages import COLLECTIONS
from mtrigger.supervision.outages import Outage, heed_cancellation

MAX_AWAIT_MS = 1_000
"""How long the server waits for an insert before it answers."""

MANY = 100
"""Inserts in one reply from which on it is quicker to look than to listen."""

PAUSE = 0.1
"""Seconds of not listening then."""

CLOSE_SECONDS = 1.0
"""How long giving the cursor back may take."""

_INSERTS: Sequence[Mapping[str, Any]] = (
    {"$changeStream": {}},
    {"$match": {"operationType": "insert", "ns.coll": Regex("^" + re.escape(COLLECTIONS))}},
    {"$project": {"collection": "$ns.coll"}},
)


class Listener:
    """Who waits for messages of one topic."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """End the wait, or the next one if nobody waits just now."""
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Return once the bell has rung since the last wait, True, or after `seconds`, False. Look for
        messages either way, until there are none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        rung = self._rung.is_set()
        self._rung.clear()
        return rung


class Bell:
    """The bell of all topics in the state database `database`. It rings while `run` runs."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], database: str) -> None:
        self._client = client
        self._state = client.get_database(database)
        self._listeners: dict[str, set[Listener]] = {}
        self._outage = Outage("The bell of the topics")

    @contextlib.contextmanager
    def listening(self, topic: str) -> Iterator[Listener]:
        """Somebody who is told of what is published in `topic`, until the end of the block."""
        listener = Listener()
        all_of_it = self._listeners.setdefault(COLLECTIONS + topic, set())
        all_of_it.add(listener)
        try:
            yield listener
        finally:
            all_of_it.discard(listener)

    async def run(self) -> None:
        """Ring, until it is cancelled. When the stream breaks it is opened again, and what was not heard
        meanwhile is rung for."""
        while True:
            heed_cancellation()
            try:
                await self._listen()
            except PyMongoError as error:
                await self._outage.wait(error)

    async def _listen(self) -> None:
        """Ring for what is inserted, until it is too much, or something fails."""
        async with self._client.start_session(causal_consistency=False) as session:
            # Nothing with the first reply: it comes at once, and everybody is told to look.
            opening = {"aggregate": 1, "pipeline": _INSERTS, "cursor": {"batchSize": 0}}
            cursor = (await self._command(opening, session))["cursor"]["id"]
            try:
                self._outage.over()
                for listeners in self._listeners.values():
                    _ring(listeners)
                while await self._heard(cursor, session) < MANY:
                    heed_cancellation()
            finally:
                await self._close(cursor, session)
        await asyncio.sleep(PAUSE)

    async def _heard(self, cursor: int, session: AsyncClientSession) -> int:
        """How many inserts came with the next reply, at most MANY; whoever waits for them has been told."""
        more = {
            "getMore": Int64(cursor),
            "collection": "$cmd.aggregate",
            "batchSize": MANY,
            "maxTimeMS": MAX_AWAIT_MS,
        }
        reply = await self._command(more, session)
        if not reply["cursor"]["id"]:
            return MANY  # the database was dropped: the stream has ended
        inserts = reply["cursor"]["nextBatch"]
        for collection in {insert["collection"] for insert in inserts}:
            _ring(self._listeners.get(collection, ()))
        return len(inserts)

    async def _close(self, cursor: int, session: AsyncClientSession) -> None:
        """Give the cursor back. A server that does not answer forgets it by itself, in its own time."""
        with contextlib.suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._command({"killCursors": "$cmd.aggregate", "cursors": [Int64(cursor)]}, session)

    async def _command(self, command: dict[str, Any], session: AsyncClientSession) -> dict[str, Any]:
        return await self._state.command(command, session=session)


def _ring(listeners: "set[Listener] | Sequence[Listener]") -> None:
    for listener in listeners:
        listener.ring()
