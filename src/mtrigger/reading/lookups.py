"""Looking up the documents that events do not carry, as many at once as memory should hold.

Promise: an event never waits for a document in vain (one that is gone leaves the event with what it says
itself), and a document that cannot be read spoils only its own event, which then has a flaw.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger.events import DEAD_LETTER, ChangeEvent
from mtrigger.faults import Fault, classify
from mtrigger.planning import LookUps, filled_in, id_text, key_text, lacks_document
from mtrigger.reading.decoding import Decoded, decoded
from mtrigger.supervision.outages import Outage

EVENTS_AT_ONCE = 500
"""Events whose documents are looked up together."""

LARGEST_PORTION = 32_000_000
"""Bytes of documents that are looked up together (one document at least)."""

IsWanted = Callable[[ChangeEvent], bool]

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


class _Found(NamedTuple):
    document: Decoded
    raw: bytes


class _TooMuchError(Exception):
    """The documents looked up together are larger than LARGEST_PORTION."""


class Documents:
    """The documents of a deployment, as they are now."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._at_once = EVENTS_AT_ONCE

    async def fill_in(self, events: Sequence[ChangeEvent], is_wanted: IsWanted) -> list[ChangeEvent]:
        """The first of `events`, as many as memory should hold, with the documents that those of them need
        which are wanted."""
        while True:
            some = events[: self._at_once]
            try:
                found = await self._find(LookUps.of(some, is_wanted).wanted)
            except _TooMuchError:
                self._at_once = max(1, self._at_once // 2)
            else:
                size = sum(len(document.raw) for document in found.values())
                if size < LARGEST_PORTION // 4:
                    self._at_once = min(EVENTS_AT_ONCE, 2 * self._at_once)
                return [_with(event, found) if _lacks(event, is_wanted) else event for event in some]

    async def complete(self, event: ChangeEvent) -> ChangeEvent:
        """The event with its document, if that was too large to be kept with it."""
        if lacks_document(event):
            (event,) = await self.fill_in([event], lambda _: True)
        elif event.document is None and "document" in event.left_out and event.operation != "delete":
            flaw = "its document and its key were too large, or nested too deeply, to be kept"
            return replace(event, flaw=event.flaw or flaw) if event.operation != DEAD_LETTER else event
        return event

    async def _find(
        self, wanted: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> dict[tuple[str, str, str], _Found]:
        """The documents in `wanted` that exist, by namespace and the text of their id."""
        most = LARGEST_PORTION if sum(map(len, wanted.values())) > 1 else None
        found: dict[tuple[str, str, str], _Found] = {}
        for (database, collection), ids in wanted.items():
            for raw in await self._read(database, collection, list(ids.values()), most):
                document = decoded(raw, self._client.codec_options)
                found[(database, collection, id_text(document.document.get("_id")))] = _Found(document, raw)
                if most is not None:
                    most -= len(raw)
        return found

    async def _read(
        self, database: str, collection: str, ids: Sequence[Any], most: int | None
    ) -> list[bytes]:
        outage = Outage(f"Looking up documents of {database}.{collection}")
        documents = self._client[database][collection].with_options(_RAW)
        while True:
            try:
                found, size = [], 0
                async with documents.find({"_id": {"$in": ids}}, batch_size=len(ids) + 1) as cursor:
                    async for document in cursor:
                        found.append(bytes(document.raw))
                        size += len(document.raw)
                        if most is not None and size > most:
                            raise _TooMuchError
            except PyMongoError as error:
                if classify(error) not in (Fault.PASSING, Fault.FORBIDDEN):
                    raise
                await outage.wait(error)
            else:
                outage.over()
                return found


def _lacks(event: ChangeEvent, is_wanted: IsWanted) -> bool:
    return lacks_document(event) and is_wanted(event)


def _with(event: ChangeEvent, found: Mapping[tuple[str, str, str], _Found]) -> ChangeEvent:
    look_up = found.get((event.database, event.collection, key_text(event)))
    if look_up is None:
        return filled_in(event, None)
    filled = replace(filled_in(event, look_up.document.document), size=event.size + len(look_up.raw))
    if not look_up.document.flaw:
        return filled
    flaw = f"the document, looked up: {look_up.document.flaw}"
    return replace(filled, flaw=event.flaw or flaw, raw=event.raw or look_up.raw)
