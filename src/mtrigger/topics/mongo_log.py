"""The log of a topic in MongoDB: the collection `topics.NAME`, and its row in `topics`.

Promise: what `publish` was given is on a majority when it returns; what `read` returns is, too, and has its
number (see `numbering`). Messages are read raw and decoded together, and one by one only when there is one
among them that Python cannot hold: that one has a flaw, the others are what they are.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from mtrigger.errors import PositionError, SettingsError
from mtrigger.messages import Message, collection_of, name_mistake, read_message
from mtrigger.reading.decoding import decoded
from mtrigger.stores.certainty import certain
from mtrigger.stores.steadiness import StateOutage, steadily
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.topics.log import After, Extent, From, Retention
from mtrigger.topics.mongo_numbering import Numberer
from mtrigger.topics.numbering import new_row
from mtrigger.topics.publishing import Publisher
from mtrigger.topics.rows import ROWS, TopicRow, retention_fields
from mtrigger.topics.sweeping import Sweeper

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

AT_ONCE = 100_000
"""Offsets that are looked through at once for a moment; each look is soon over."""

_NEWEST = [("offset", DESCENDING)]

_NUMBERED = {"offset": {"$gte": 1, "$lt": Int64(2**62)}}


class MongoLog:
    """One topic of the state database `state`, whose client must decode dates as aware (`tz_aware=True`).
    Raises SettingsError for a name that no topic can have."""

    def __init__(self, state: AsyncDatabase[dict[str, Any]], name: str, outage: StateOutage) -> None:
        if mistake := name_mistake(name):
            raise SettingsError(mistake)
        self.name = name
        self.outage = outage
        self._client = state.client
        self._messages = certain(state, collection_of(name))
        self._rows = certain(state, ROWS)
        self._numberer = Numberer(name, self._messages, self._rows)
        self._publisher = Publisher(self._messages, outage)
        self._sweeper = Sweeper(name, self._messages, self._rows, self._numberer)

    @steadily
    async def open(self) -> None:
        await self._numberer.make_index()
        settings = retention_fields(Retention())
        row = {**new_row(await self._highest()), **settings, "marks": [], "swept_at": None}
        row["created_at"] = "$$NOW"
        made = [{"$replaceWith": {"$mergeObjects": [row, "$$ROOT"]}}]  # a pipeline, for the server's own time
        with contextlib.suppress(DuplicateKeyError):  # another process made it in the same moment
            await self._rows.update_one({"_id": self.name}, made, upsert=True)

    async def _highest(self) -> int:
        """The highest number among the messages: those of a copy of another topic have theirs already."""
        newest = await self._messages.find_one(_NUMBERED, {"offset": 1}, sort=_NEWEST)
        return 0 if newest is None else int(newest["offset"])

    async def publish(self, messages: Sequence[Message]) -> int:
        await self.sweep()
        return await self._publisher.publish(messages)

    @steadily
    async def sweep(self) -> bool:
        """Let go of some of what need not be kept any longer, if it is time for it (see `sweeping`); returns
        whether there is more. Who reads or publishes need not ask for it."""
        return await self._sweeper.sweep_if_due()

    @steadily
    async def read(self, behind: int, limit: int) -> list[Message]:
        await self._sweeper.sweep_if_due()
        async with self._client.start_session() as session:
            row = await self._present(session)
            while row is not None:
                heed_cancellation()
                if behind < row.next - 1 and (page := await self._page(behind, row.next, limit, session)):
                    return page
                row = await self._numberer.more(row, session)
        return []

    async def _present(self, session: AsyncClientSession) -> TopicRow | None:
        """The topic's row; made, where somebody publishes into a topic that nobody has made, or that was
        deleted. None: there never was one."""
        row = await self._numberer.row(session)
        made = row is not None and row.created_at is not None
        if not made and await self._messages.find_one({}, {"_id": 1}, session=session):
            await self.open()
            row = await self._numberer.row(session)
        return row

    async def _page(
        self, behind: int, following: int, limit: int, session: AsyncClientSession
    ) -> list[Message]:
        """The messages between two offsets, as many as come with one reply."""
        wanted = {"offset": {"$gt": Int64(behind), "$lt": Int64(following)}}
        # A limit below 0 asks for a single reply, which has 101 documents unless it is told how many.
        replies: AsyncIterator[Any] = self._messages.find_raw_batches(
            wanted, sort=[("offset", ASCENDING)], limit=-limit, batch_size=limit, session=session
        )
        return [message async for reply in replies for message in self._decoded(reply)]

    def _decoded(self, reply: bytes) -> list[Message]:
        options = self._messages.codec_options
        try:
            return [read_message(document) for document in bson.decode_all(reply, options)]
        except BSONError:
            return [self._decoded_alone(bytes(raw.raw)) for raw in bson.decode_all(reply, _RAW)]

    def _decoded_alone(self, raw: bytes) -> Message:
        document, flaw = decoded(raw, self._messages.codec_options)
        # Where the id cannot be read, the offset tells the message from others as well.
        named = {"_id": f"the unreadable id of offset {document.get('offset')}", **document}
        return read_message(named, flaw, raw if flaw else b"")

    @steadily
    async def position(self, start: From) -> int:
        await self.open()
        async with self._client.start_session() as session:
            row = await self._all_numbered(session)
            oldest = row.first - 1
            if start == "beginning":
                return oldest
            if start == "now":
                return row.next - 1
            if isinstance(start, After):
                return max(oldest, await self._offset_of(start.id, session))
            if isinstance(start, datetime):
                return await self._before_moment(start, row, session)
        if start > row.next:
            raise PositionError(
                f"The topic {self.name} has no offset {start} yet: the next message gets {row.next}."
            )
        return max(oldest, start - 1)

    async def _all_numbered(self, session: AsyncClientSession) -> TopicRow:
        """The row once everything that is there by now has its number."""
        row = await self._numberer.row(session)
        while row is not None:
            heed_cancellation()
            later = await self._numberer.more(row, session)
            if later is None:
                return row
            row = later
        raise PositionError(f"The topic {self.name} was deleted meanwhile.")

    async def _offset_of(self, message_id: Any, session: AsyncClientSession) -> int:
        found = await self._messages.find_one({"_id": {"$eq": message_id}}, {"offset": 1}, session=session)
        if found is None or not isinstance(offset := found.get("offset"), int):
            raise PositionError(
                f"The topic {self.name} holds no message with the id {message_id!r}: it was never published, "
                "or is not kept any more. Begin at a time, an offset, or the beginning."
            )
        return offset

    async def _before_moment(self, moment: datetime, row: TopicRow, session: AsyncClientSession) -> int:
        """Times are the producers', so they need not be in order: the first one that is late enough is looked
        for, and nothing that is can be missed."""
        for behind in range(row.first - 1, row.next - 1, AT_ONCE):
            between = {"$gt": Int64(behind), "$lte": Int64(min(behind + AT_ONCE, row.next - 1))}
            found = await self._messages.find_one(
                {"offset": between, "time": {"$gte": moment}},
                {"offset": 1},
                sort=[("offset", ASCENDING)],
                session=session,
            )
            if found is not None:
                return int(found["offset"]) - 1
        return row.next - 1

    @steadily
    async def extent(self) -> Extent:
        async with self._client.start_session() as session:
            row = await self._present(session)
            if row is None:
                return Extent(1, 1, 0, 0, None)
            numbered = {"offset": {"$lt": Int64(row.next), "$gt": 0}}
            newest = await self._messages.find_one(numbered, {"time": 1}, sort=_NEWEST, session=session)
        count, size = await self._sweeper.stored()
        time = (newest or {}).get("time")
        return Extent(row.first, row.next, count, size, time if isinstance(time, datetime) else None)
