"""Looking up the documents that events do not carry, as many at once as memory should hold.

Promise: an event never waits for a document in vain (one that is gone leaves the event with what it says
itself), and a document that cannot be read spoils only its own event, which then has a flaw. A document that
no rule can hold for stays where it is (`pushdown.lookups`), and its event without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger.document_keys import id_text
from mtrigger.events import DEAD_LETTER, ChangeEvent
from mtrigger.faults import passes
from mtrigger.planning import LookUps, filled_in, key_text, lacks_document, overlaid
from mtrigger.pushdown.lookups import EVERYTHING, Cover, look_up
from mtrigger.reading.decoding import Decoded, decoded
from mtrigger.supervision.outages import Outage

EVENTS_AT_ONCE = 500
"""Events whose documents are looked up together."""

LARGEST_PORTION = 32_000_000
"""Bytes of documents that are looked up together (one document at least)."""

CoverOf = Callable[[ChangeEvent], Cover | None]
"""What to ask for the document of an event that does not carry it; None if it needs none."""

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


class _Found(NamedTuple):
    document: Decoded
    raw: bytes


_Place = tuple[str, str, str]
"""Database, collection, and the text of the id."""


class _TooMuchError(Exception):
    """The documents looked up together are larger than LARGEST_PORTION."""


class Documents:
    """The documents of a deployment, as they are now."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._at_once = EVENTS_AT_ONCE

    async def fill_in(self, events: Sequence[ChangeEvent], cover_of: CoverOf) -> list[ChangeEvent]:
        """The first of `events`, as many as memory should hold, with the documents they need. One whose
        document does not come for its cover is left as it is: it holds for no rule."""
        while True:
            some = [
                (event, cover_of(event) if lacks_document(event) else None)
                for event in events[: self._at_once]
            ]
            try:
                found = await self._find(LookUps.of(some).wanted)
            except _TooMuchError:
                self._at_once = max(1, self._at_once // 2)
            else:
                size = sum(len(document.raw) for document in found.values())
                if size < LARGEST_PORTION // 4:
                    self._at_once = min(EVENTS_AT_ONCE, 2 * self._at_once)
                return [event if cover is None else _with(event, cover, found) for event, cover in some]

    async def complete(self, event: ChangeEvent) -> ChangeEvent:
        """The event with its document, if that was too large to be kept with it."""
        if lacks_document(event):
            (event,) = await self.fill_in([event], lambda _: EVERYTHING)
        elif event.document is None and "document" in event.left_out and event.operation != "delete":
            flaw = "its document and its key were too large, or nested too deeply, to be kept"
            return replace(event, flaw=event.flaw or flaw) if event.operation != DEAD_LETTER else event
        return event

    async def _find(
        self, wanted: Mapping[tuple[str, str], Mapping[Cover, Mapping[str, Any]]]
    ) -> dict[_Place, _Found]:
        """The documents in `wanted` that exist and are what their covers ask for."""
        several = sum(len(ids) for by_cover in wanted.values() for ids in by_cover.values()) > 1
        most = LARGEST_PORTION if several else None
        found: dict[_Place, _Found] = {}
        for (database, collection), by_cover in wanted.items():
            asked = look_up({cover: list(ids.values()) for cover, ids in by_cover.items()})
            for raw in await self._read(database, collection, asked, most):
                document = decoded(raw, self._client.codec_options)
                found[(database, collection, id_text(document.document.get("_id")))] = _Found(document, raw)
                if most is not None:
                    most -= len(raw)
        return found

    async def _read(
        self, database: str, collection: str, asked: Mapping[str, Any], most: int | None
    ) -> list[bytes]:
        outage = Outage(f"Looking up documents of {database}.{collection}")
        documents = self._client[database][collection].with_options(_RAW)
        while True:
            try:
                found, size = [], 0
                async with documents.find(asked, batch_size=EVENTS_AT_ONCE + 1) as cursor:
                    async for document in cursor:
                        found.append(bytes(document.raw))
                        size += len(document.raw)
                        if most is not None and size > most:
                            raise _TooMuchError
            except PyMongoError as error:
                if not passes(error):
                    raise
                await outage.wait(error)
            else:
                outage.over()
                return found


def _with(event: ChangeEvent, cover: Cover, found: Mapping[_Place, _Found]) -> ChangeEvent:
    one = found.get((event.database, event.collection, key_text(event)))
    if one is None:
        return event if cover.filter else filled_in(event, None)
    document = overlaid(one.document.document, event)
    if not one.document.flaw:
        return event.with_document(document, "look-up", len(one.raw))
    flaw = f"the document, looked up: {one.document.flaw}"
    return event.with_document(document, "look-up", len(one.raw), flaw, one.raw)
