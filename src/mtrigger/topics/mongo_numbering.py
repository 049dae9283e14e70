"""Numbering in MongoDB: the rounds of `numbering`, each step one command.

Promise: whatever a numberer dies in the midst of, the next one goes on. Who finds another one's claim lets it
finish for a moment, and then does the work itself, which does no harm when both do.
"""

import asyncio
import logging
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from mtrigger.faults import passes
from mtrigger.topics.numbering import (
    INDEX,
    KEYS,
    LARGEST_ID,
    Pipeline,
    advancing,
    claiming,
    claiming_small,
    completing,
    completing_large,
    completing_null,
)
from mtrigger.topics.rows import WITHOUT_CLAIMED, TopicRow, read_row

log = logging.getLogger(__name__)

AT_ONCE = 4_000
"""Messages that are numbered in one round."""

AT_ONCE_LARGE = 10
"""The same where ids are so large that more would not fit into a row."""

_LOOKS, _BETWEEN = 5, 0.01
"""How often, and how many seconds apart, one looks whether another numberer has finished its claim."""

_BAD_VALUE = 2
"""The server's code when the index of a hint is not there."""


class Numberer:
    """Numbers the messages of one topic. Both collections read and write by majority."""

    def __init__(
        self, topic: str, messages: AsyncCollection[dict[str, Any]], rows: AsyncCollection[dict[str, Any]]
    ) -> None:
        self._topic = topic
        self._messages = messages
        self._rows = rows
        self._told = False

    async def row(self, session: AsyncClientSession | None = None) -> TopicRow | None:
        """The topic's row as it is; None where there is no such topic. Raises PyMongoError."""
        row = await self._rows.find_one({"_id": self._topic}, WITHOUT_CLAIMED, session=session)
        return None if row is None else read_row(row)

    async def make_index(self) -> None:
        """Make the index of the messages, and with it their collection, unless they are there."""
        await self._messages.create_index(list(KEYS), name=INDEX)

    async def more(self, row: TopicRow, session: AsyncClientSession) -> TopicRow | None:
        """Number some of the messages without a number. Returns the row as it is then, with a later `next`
        than `row` has; None when there was nothing to number. Raises PyMongoError; asking again is safe."""
        if row.claim is None:
            mine = ObjectId()
            await self._claim(row.next, mine, session)
            found = await self.row(session)
            if found is None or found.next != row.next:
                return found
            if found.claim is None:
                return None
            row = found
            if row.claim == mine:
                return await self._finish(row, session)
        return await self._finished(row, session) or await self._finish(row, session)

    async def _claim(self, following: int, claim: ObjectId, session: AsyncClientSession) -> None:
        pipeline = claiming(self._topic, following, claim, AT_ONCE)
        try:
            await self._run(self._messages, pipeline, session, hint=INDEX)
        except OperationFailure as error:
            if passes(error):
                raise
            if error.code == _BAD_VALUE:
                await self.make_index()
            elif not self._told:
                self._told = True
                log.error(
                    "The ids of messages in the topic %s are too large to be numbered together. Those of "
                    "more than %d bytes are left out: nobody reads these messages.",
                    self._topic,
                    LARGEST_ID,
                )
            pipeline = claiming_small(self._topic, following, claim, AT_ONCE_LARGE)
            await self._run(self._messages, pipeline, session, hint=INDEX)

    async def _finished(self, claimed: TopicRow, session: AsyncClientSession) -> TopicRow | None:
        """The row once another numberer is done with what is claimed; None when that takes it too long."""
        for _ in range(_LOOKS):
            await asyncio.sleep(_BETWEEN)
            row = await self.row(session)
            if row is None or row.claim != claimed.claim:
                return row
        return None

    async def _finish(self, claimed: TopicRow, session: AsyncClientSession) -> TopicRow | None:
        """Number what is claimed and end the claim, whoever made it."""
        claim = claimed.claim
        assert claim is not None
        try:
            await self._run(self._rows, completing(self._topic, self._messages.name, claim), session)
        except OperationFailure as error:
            if passes(error):
                raise
            await self._run(self._rows, completing_large(self._topic, self._messages.name, claim), session)
        if claimed.null_at >= 0:
            unnumbered, update = completing_null(claimed.next + claimed.null_at)
            await self._messages.update_one(unnumbered, update, session=session)
        mine, update = advancing(self._topic, claim)
        row = await self._rows.find_one_and_update(
            mine, update, projection=WITHOUT_CLAIMED, return_document=ReturnDocument.AFTER, session=session
        )
        return await self.row(session) if row is None else read_row(row)

    async def _run(
        self,
        collection: AsyncCollection[dict[str, Any]],
        pipeline: Pipeline,
        session: AsyncClientSession,
        **options: Any,
    ) -> None:
        # What is written is the topic's own: a validator that producers are held to says nothing of it.
        await (
            await collection.aggregate(pipeline, session=session, bypassDocumentValidation=True, **options)
        ).to_list()
