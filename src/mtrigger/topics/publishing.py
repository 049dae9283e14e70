"""Publishing in MongoDB: ordinary inserts, in order, each message once.

Promise: a message that cannot be stored costs itself and nothing around it. One that comes again after a lost
reply, or for whatever reason, is known by its id and left alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, OperationFailure

from mtrigger.faults import DUPLICATE_KEY, passes
from mtrigger.messages import LARGEST_MESSAGE, Message, fields_of
from mtrigger.stores.fitting import TOO_DEEP
from mtrigger.stores.steadiness import StateOutage, steadily
from mtrigger.topics.log import RefusedError

LARGEST_PORTION = 32_000_000
"""Bytes of messages that are encoded and sent at once (one message at least)."""

MOST_IN_PORTION = 10_000
"""Messages that are."""

Refused = list[tuple[Any, str]]


class _Sent(NamedTuple):
    """What became of messages that were sent: so many are stored now, and after them came one that was not,
    with the server's code and reason (0: there was none)."""

    stored: int
    code: int = 0
    why: str = ""


class Publisher:
    """Inserts into one topic. `messages` writes and reads by majority."""

    def __init__(self, messages: AsyncCollection[dict[str, Any]], outage: StateOutage) -> None:
        self._messages = messages
        self._ids = messages.with_options(CodecOptions(document_class=RawBSONDocument))
        self.outage = outage

    async def publish(self, messages: Sequence[Message]) -> int:
        """As `TopicLog.publish`."""
        refused: Refused = []
        new = 0
        for portion in _portions(messages, self._messages.codec_options, refused):
            new += await self._insert(portion, refused)
        if refused:
            raise RefusedError(refused, new)
        return new

    async def _insert(self, portion: list[RawBSONDocument], refused: Refused) -> int:
        new, rest = 0, portion
        while rest:
            sent = await self._send(rest)
            new += sent.stored
            failed, rest = rest[sent.stored :], rest[sent.stored + 1 :]
            if sent.code == DUPLICATE_KEY:
                rest = await self._unknown(rest) if rest else []
            elif sent.code == TOO_DEEP and len(failed) > 1:
                # The server refuses a whole command for one such message: halves are tried, in order.
                half = len(failed) // 2
                new += await self._insert(failed[:half], refused)
                rest = failed[half:]
            elif sent.code:
                message = bson.decode(failed[0].raw, self._messages.codec_options)
                refused.append((message["_id"], sent.why))
        return new

    @steadily
    async def _send(self, documents: list[RawBSONDocument]) -> _Sent:
        try:
            await self._messages.insert_many(documents, ordered=True)  # the order of one key is a promise
        except BulkWriteError as error:
            if passes(error):
                raise
            if error.details["writeConcernErrors"]:
                raise BulkWriteError({**error.details, "writeErrors": []}) from error
            item = error.details["writeErrors"][0]
            return _Sent(item["index"], item["code"], item["errmsg"])
        except OperationFailure as error:
            if error.code != TOO_DEEP:
                raise
            return _Sent(0, TOO_DEEP, "it is nested too deeply")
        return _Sent(len(documents))

    @steadily
    async def _unknown(self, documents: list[RawBSONDocument]) -> list[RawBSONDocument]:
        """Those whose ids are not there yet, as far as the bytes of the ids tell."""
        wanted = {"_id": {"$in": [document["_id"] for document in documents]}}
        known = {bytes(row.raw) async for row in self._ids.find(wanted, {"_id": 1})}
        return [document for document in documents if bson.encode({"_id": document["_id"]}) not in known]


def _portions(
    messages: Sequence[Message], options: CodecOptions[Any], refused: Refused
) -> Iterator[list[RawBSONDocument]]:
    """The messages as they are sent, in portions; what cannot be sent goes to `refused`."""
    portion: list[RawBSONDocument] = []
    size = 0
    for message in messages:
        try:
            raw = bson.encode(fields_of(message), codec_options=options)
        except (BSONError, OverflowError, RecursionError, TypeError, ValueError) as error:
            refused.append((message.id, str(error)))
            continue
        if len(raw) > LARGEST_MESSAGE:
            refused.append((message.id, f"it has {len(raw):,} bytes, and {LARGEST_MESSAGE:,} is the most"))
            continue
        portion.append(RawBSONDocument(raw))
        size += len(raw)
        if size >= LARGEST_PORTION or len(portion) >= MOST_IN_PORTION:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
