"""A change stream read in whole batches, each with the position behind it.

The cursor's commands are sent by hand instead of through the driver's `watch()`: a reply then comes as one
batch together with its post-batch resume token, so that a position can never run ahead of an event, reading
is quicker, and resuming is decided in one place, the watcher. Nothing is hidden: every error is raised, and
the stream opens again at its position with the next `read`.

Source: change streams specification of the MongoDB drivers (postBatchResumeToken, startAfter), and the
`aggregate` and `getMore` commands of the MongoDB manual.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bson.int64 import Int64
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

from mtrigger.events import ChangeEvent, cluster_time_of
from mtrigger.pushdown import StreamPlan, pipeline

MAX_AWAIT_MS = 1_000
"""How long the server waits for an event before it answers an idle stream with its new position."""

BATCH_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A place in the stream: behind `token`, which was read through the plan with `plan_hash`; or, while
    there is no token yet or the plan is another one, at `cluster_time` (inclusive)."""

    token: Mapping[str, Any] | None
    cluster_time: Timestamp
    plan_hash: str

    def start(self, plan: StreamPlan) -> dict[str, Any]:
        """The option of `$changeStream` that opens at this position.

        A resume token belongs to its pipeline: behind another `$match` the server would not find the token's
        own event and fail with error 280. The time may repeat events, which delivery ids make harmless.
        """
        if self.token is not None and self.plan_hash == plan.hash:
            return {"startAfter": self.token}
        return {"startAtOperationTime": self.cluster_time}

    def by_time(self) -> "StreamPosition":
        """The same place, found by its time alone."""
        return StreamPosition(None, self.cluster_time, "")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one reply held: its events, and the position behind them. An idle stream's batch has no events."""

    events: tuple[ChangeEvent, ...]
    position: StreamPosition


@dataclass(slots=True)
class ChangeStream:
    """One stream, opened by the first `read`, and again by the next one after it broke or was invalidated."""

    client: AsyncMongoClient[dict[str, Any]]
    plan: StreamPlan
    position: StreamPosition
    name: str
    _session: AsyncClientSession | None = field(default=None, init=False)
    _cursor: int = field(default=0, init=False)

    async def read(self) -> Batch:
        """The next batch; waits up to MAX_AWAIT_MS for one with events.

        Raises what PyMongo raises. After that the next call opens the stream again, at the last position.
        """
        try:
            if not self._cursor:
                reply = await self._aggregate()
            else:
                reply = await self._get_more()
        except BaseException:
            await self.close()
            raise
        cursor = reply["cursor"]
        self._cursor = cursor["id"]
        changes = cursor.get("nextBatch") or cursor.get("firstBatch") or ()
        token = cursor.get("postBatchResumeToken") or (changes[-1]["_id"] if changes else None)
        if token is not None:
            self.position = StreamPosition(token, cluster_time_of(token["_data"]), self.plan.hash)
        return Batch(tuple(map(ChangeEvent.from_change, changes)), self.position)

    async def close(self) -> None:
        """Give the cursor back. A server that no longer answers is left to forget it by itself."""
        session, self._session, self._cursor = self._session, None, 0
        if session is not None:
            # Ending the session makes the server drop its cursor, too, in its own time.
            await session.end_session()

    async def _aggregate(self) -> dict[str, Any]:
        # A cursor belongs to its session; an implicit one could differ from call to call.
        self._session = self.client.start_session(causal_consistency=False)
        return await self._command(
            {
                "aggregate": 1,
                "pipeline": pipeline(self.plan, self.position.start(self.plan)),
                # Nothing with the first reply: finding the first event may take long on a long oplog.
                "cursor": {"batchSize": 0},
                "comment": f"mtrigger {self.name}",
            }
        )

    async def _get_more(self) -> dict[str, Any]:
        return await self._command(
            {
                "getMore": Int64(self._cursor),
                "collection": "$cmd.aggregate",
                "batchSize": BATCH_SIZE,
                "maxTimeMS": MAX_AWAIT_MS,
            }
        )

    async def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        database = self.client.get_database(self.plan.database or "admin")
        return await database.command(command, codec_options=self.client.codec_options, session=self._session)
