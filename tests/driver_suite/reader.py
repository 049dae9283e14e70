"""mtrigger's reader, driven as the suite drives a driver's change stream."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger.events import ChangeEvent
from mtrigger.position.resuming import Phase, Resumption, resumption
from mtrigger.pushdown import StreamPlan
from mtrigger.reading.stream import ChangeStream, StreamPosition
from mtrigger.supervision.outages import Outage

PATIENCE_SECONDS = 20.0

KNOWN_FIELDS = frozenset({
    "_id", "operationType", "ns", "documentKey", "fullDocument", "fullDocumentBeforeChange",
    "updateDescription", "clusterTime", "wallTime",
})  # fmt: skip
"""What of a change an event of ours keeps."""

_OURS = {"fullDocument": "whenAvailable", "fullDocumentBeforeChange": "whenAvailable"}


class NotOfferedError(Exception):
    """The suite asks for something that mtrigger's reader does not do; the text is the reason."""


class Reader:
    """A stream with the rules by which the engine's watcher goes on when it breaks."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], plan: StreamPlan, start: Timestamp) -> None:
        self._stream = ChangeStream(client, plan, StreamPosition(None, start, ""), "suite")
        self._client = client
        self._events: deque[ChangeEvent] = deque()
        self._phase: Phase = "opening"
        self._outage = Outage("The change stream")
        self._tried: Timestamp | None = None

    async def open(self) -> None:
        """Open the stream; raises what cannot be waited out."""
        await self._read()

    async def next(self) -> dict[str, Any]:
        """The next change, in the words of the server. Raises TimeoutError when none comes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._events:
                await self._read()
        return as_change(self._events.popleft())

    async def close(self) -> None:
        """Give the cursor back."""
        await self._stream.close()

    async def _read(self) -> None:
        stream = self._stream
        try:
            batch = await stream.read()
        except PyMongoError as error:
            match resumption(error, stream.position, self._phase, self._tried):
                case Resumption.AGAIN:
                    await self._outage.wait(error)
                case Resumption.BY_TIME:
                    self._tried = stream.position.cluster_time
                    self._stream = ChangeStream(self._client, stream.plan, stream.position.by_time(), "suite")
                case _:
                    raise
        else:
            self._outage.over()
            self._phase = "reading"
            self._events.extend(batch.events)


def plan_for(
    database: str | None,
    collection: str | None,
    pipeline: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
) -> StreamPlan:
    """The plan that serves a stream over the deployment, a database or a collection.

    Raises NotOfferedError for stages and options that rules never need.
    """
    match: list[dict[str, Any]] = [{"ns.coll": collection}] if collection else []
    for stage in pipeline:
        if list(stage) != ["$match"]:
            raise NotOfferedError(f"the reader sends no stage but $match, here {', '.join(stage)}")
        match.append(dict(stage["$match"]))
    for name, value in options.items():
        if name == "batchSize":
            continue  # ours is fixed; what is delivered does not depend on it
        if _OURS.get(name) != value:
            raise NotOfferedError(f"the reader does not take {name}: {value}")
    return StreamPlan(database, {"$and": match} if match else {}, "suite")


def as_change(event: ChangeEvent) -> dict[str, Any]:
    """An event as the document the server had sent, as far as the event keeps it. An image that is null and
    one that is missing are one to an event."""
    change: dict[str, Any] = {
        "_id": {"_data": event.token},
        "operationType": event.operation,
        "ns": {"db": event.database, "coll": event.collection},
        "clusterTime": event.cluster_time,
        "wallTime": event.time,
        "fullDocument": event.document,
        "fullDocumentBeforeChange": event.before,
    }
    if event.key:
        change["documentKey"] = event.key
    if event.operation == "update":
        change["updateDescription"] = {
            "updatedFields": event.updated,
            "removedFields": list(event.removed),
            "truncatedArrays": [{"field": path} for path in event.truncated],
        }
    return change
