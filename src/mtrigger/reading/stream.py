"""A change stream read in whole batches, each with the position behind it.

The cursor's commands are sent by hand instead of through the driver's `watch()`: a reply then comes as one
batch together with its post-batch resume token, so that a position can never run ahead of an event, reading
is quicker, and resuming is decided in one place, the watcher. Nothing is hidden: every error is raised, and
the stream opens again at its position with the next `read`.

Only what one event's contents do to reading is dealt with here, so that such an event costs nothing around
it: an event too large to be sent is read in another manner (see `large_events`), and a value that Python
cannot hold spoils its own event, which says so (`ChangeEvent.flaw`).

Source: change streams specification of the MongoDB drivers (postBatchResumeToken, startAfter), and the
`aggregate` and `getMore` commands of the MongoDB manual.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from mtrigger.events import ChangeEvent
from mtrigger.faults import Fault, classify
from mtrigger.pushdown import StreamPlan, pipeline
from mtrigger.reading.decoding import decoded
from mtrigger.reading.large_events import LARGEST_KEY, Change, Fragments, Manner
from mtrigger.reading.pacing import FEWEST, MOST, PAUSE, batch_size, is_busy
from mtrigger.resume_tokens import cluster_time_of

log = logging.getLogger(__name__)

MAX_AWAIT_MS = 1_000
"""How long the server waits for an event before it answers an idle stream with its new position."""

GLANCE_MS = 1
"""The same for a stream that is looked at every now and then (see `pacing.BUSY`); MongoDB takes no less."""

CLOSE_SECONDS = 1.0
"""How long giving a cursor back may take."""

LONGEST_RESUME_TOKEN = 1_000_000
"""Characters of a resume token that are kept; it holds the document's `_id`, which may be enormous. Behind a
longer one the position is its time alone: six such tokens would burst the checkpoint's document."""

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


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

    def is_before(self, other: "StreamPosition") -> bool:
        """Whether this place lies before `other`, as far as the two can be compared."""
        if self.token is None or other.token is None or self.plan_hash != other.plan_hash:
            return bool(self.cluster_time < other.cluster_time)
        return str(self.token["_data"]) < str(other.token["_data"])

    def by_time(self) -> "StreamPosition":
        """The same place, found by its time alone."""
        return StreamPosition(None, self.cluster_time, "")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one reply held: its events, and the position behind them. An idle stream's batch has no events.

    `size` is how many bytes the reply had. `unsent_since` is set when, somewhere from then to the position,
    there was a change that MongoDB cannot send in any form (see `large_events.Manner.SMALL_KEYS`).
    """

    events: tuple[ChangeEvent, ...]
    position: StreamPosition
    size: int = 0
    unsent_since: Timestamp | None = None


@dataclass(slots=True)
class ChangeStream:
    """One stream, opened by the first `read`, and again by the next one after it broke or was invalidated."""

    client: AsyncMongoClient[dict[str, Any]]
    plan: StreamPlan
    position: StreamPosition
    name: str
    _session: AsyncClientSession | None = field(default=None, init=False)
    _cursor: int = field(default=0, init=False)
    _manner: Manner = field(default=Manner.PLAIN, init=False)
    _manner_since: StreamPosition | None = field(default=None, init=False)
    _shortened: Mapping[str, Any] | None = field(default=None, init=False)
    _fragments: Fragments = field(default_factory=Fragments, init=False)
    _went_back: bool = field(default=False, init=False)
    _batch_size: int = field(default=FEWEST, init=False)
    _took: float = field(default=0.0, init=False)
    _replied_at: float = field(default=0.0, init=False)
    _busy: bool = field(default=False, init=False)
    _behind: bool = field(default=True, init=False)

    async def read(self) -> Batch:
        """The next batch; waits up to MAX_AWAIT_MS for one with events.

        Raises what PyMongo raises, and PositionError. After that the next call opens the stream again, at the
        last position.
        """
        try:
            reply = await (self._get_more() if self._cursor else self._aggregate())
            changes = list(self._fragments.join(self._changes(reply)))
        except BaseException as error:
            await self._forget()
            manner = self._manner.wider() if classify(error) is Fault.TOO_LARGE else None
            if manner is None:
                raise
            self._use(manner)
            return Batch((), self.position)  # the next call reads from here
        size, before = len(reply.raw), self.position.cluster_time
        self._move(reply["cursor"].get("postBatchResumeToken"), changes)
        unsent_since = self._unsent_since()
        if self._manner is not Manner.PLAIN:
            await self._return_to_plain(changes)
        self._pace(before, len(changes))
        share = size // (len(changes) or 1)
        events = [ChangeEvent.from_change(item.document, item.flaw, item.raw, share) for item in changes]
        return Batch(tuple(events), self.position, size, unsent_since)

    def _pace(self, before: Timestamp, came: int) -> None:
        """Decide how to read on, after a reply that moved the position from `before`."""
        last, self._replied_at = self._replied_at, time.perf_counter()
        self._busy = is_busy(before, self.position.cluster_time, self._replied_at - last)
        self._behind = came >= self._batch_size
        self._batch_size = batch_size(self._batch_size, came, self._took)

    def _changes(self, reply: RawBSONDocument) -> Iterator[Change]:
        """The changes in a reply, decoded all at once, or one by one when there is one that cannot be."""
        options = self.client.codec_options
        raw = reply["cursor"]
        self._cursor = raw["id"]
        try:
            cursor = bson.decode(raw.raw, options)
        except InvalidBSON:
            for change in raw.get("nextBatch") or raw.get("firstBatch") or ():
                yield Change.of(decoded(change.raw, options), change.raw)
        else:
            for document in cursor.get("nextBatch") or cursor.get("firstBatch") or ():
                yield Change(document, document["_id"])

    def _move(self, behind: Mapping[str, Any] | None, changes: list[Change]) -> None:
        """Take the position behind the reply; behind its last whole event while another has come in part."""
        tokens = [change.token for change in changes[-1:]]
        if behind is not None and not self._fragments.waiting:
            tokens.append(behind)
        if not tokens:
            return
        token = max(tokens, key=lambda token: str(token["_data"]))
        time = cluster_time_of(token["_data"])
        found = StreamPosition(dict(token), time, self.plan.hash)
        if found.is_before(self.position):
            if not self._went_back:
                log.warning(
                    "MongoDB sent a position before the last one, %s: it is left out.", token["_data"]
                )
            self._went_back = True
        elif len(token["_data"]) > LONGEST_RESUME_TOKEN:
            self.position = StreamPosition(None, time, "")
        else:
            self.position = found

    # -- events too large to be sent ---------------------------------------------------------------------

    def _use(self, manner: Manner) -> None:
        """Read in `manner` from the position on."""
        self._manner, self._manner_since = manner, self.position
        if manner is Manner.SHORTENED:
            log.info(
                "A change is larger than the 16 MB that MongoDB can send: it is read without its images, and "
                "its document is looked up. Nothing around it is touched."
            )
        elif manner is Manner.SMALL_KEYS:
            log.error(
                "Behind %s is a change that MongoDB cannot send in any form: the `_id` of its document is "
                "larger than %d bytes. Such changes are left out: no rule sees them.",
                self.position.cluster_time.as_datetime().isoformat(),
                LARGEST_KEY,
            )

    def _unsent_since(self) -> Timestamp | None:
        since = self._manner_since
        if self._manner is Manner.SMALL_KEYS and since is not None and self.position != since:
            return since.cluster_time
        return None

    async def _return_to_plain(self, changes: list[Change]) -> None:
        """Read as planned again once the stream is past what was too large. Opened at that event's own
        position, the server would build the whole of it again, and fail again."""
        shortened = [change.token for change in changes if change.document.get("leftOut")]
        self._shortened = shortened[-1] if shortened else self._shortened
        there = self.position == self._manner_since or self.position.token in (None, self._shortened)
        if not shortened and not there:
            self._manner, self._shortened = Manner.PLAIN, None
            await self.close()

    async def close(self) -> None:
        """Give the cursor back. A server that does not answer forgets it by itself, in its own time."""
        cursor = self._cursor
        if cursor:
            with contextlib.suppress(PyMongoError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._command({"killCursors": "$cmd.aggregate", "cursors": [Int64(cursor)]})
        await self._forget()

    async def _forget(self) -> None:
        """Drop what belongs to one opening. After an error the server has dropped the cursor, or is gone."""
        session, self._session, self._cursor = self._session, None, 0
        self._fragments = Fragments()  # an event that came in part comes again, from the position on
        if session is not None:
            await session.end_session()

    async def _aggregate(self) -> RawBSONDocument:
        # A cursor belongs to its session; an implicit one could differ from call to call.
        self._session = self.client.start_session(causal_consistency=False)
        return await self._command(
            {
                "aggregate": 1,
                "pipeline": pipeline(self.plan, self.position.start(self.plan), self._manner),
                # Nothing with the first reply: finding the first event may take long on a long oplog.
                "cursor": {"batchSize": 0},
                "comment": f"mtrigger {self.name}",
            }
        )

    async def _get_more(self) -> RawBSONDocument:
        if self._busy and not self._behind:
            await asyncio.sleep(PAUSE)
        asked_at = time.perf_counter()
        reply = await self._command(
            {
                "getMore": Int64(self._cursor),
                "collection": "$cmd.aggregate",
                "batchSize": min(self._batch_size, MOST),
                "maxTimeMS": GLANCE_MS if self._busy else MAX_AWAIT_MS,
            }
        )
        self._took = time.perf_counter() - asked_at
        return reply

    async def _command(self, command: dict[str, Any]) -> RawBSONDocument:
        # Raw: were the driver to decode it, one bad value would lose the whole reply.
        database = self.client.get_database(self.plan.database or "admin")
        return await database.command(command, codec_options=_RAW, session=self._session)
