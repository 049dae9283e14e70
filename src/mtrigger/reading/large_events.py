"""Events above 16 MB: what the server is asked to do about them, and how their fragments become one again.

An event may be larger than any document: it can hold two images. A server with `$changeStreamSplitLargeEvent`
(6.0.9, 7.0) sends it in fragments. An older one fails with error 10334, whatever was to come before and
behind the event; then the stream is read in another manner until it is past. Both are pure decisions here.

Source: "Large Change Stream Events" of the MongoDB manual, and the server's own test
`change_stream_large_event_resumption.js`.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any, Literal, NamedTuple

from mtrigger.errors import PositionError
from mtrigger.reading.decoding import Decoded

LargeEvents = Literal["split", "whole"]
"""Whether the server can split large events."""

SPLIT: dict[str, Any] = {"$changeStreamSplitLargeEvent": {}}
"""Must be the last stage."""

LARGEST_EVENT = 16 * 1024 * 1024
"""Bytes of an event's large parts. The server allows 16 kB more, which is enough for the others."""

LARGEST_KEY = 3_000_000
"""Bytes of a document's key with which a change can be sent at all: a reply holds it five times, as the key
and, in hexadecimal digits, in the resume tokens of the change and of the reply."""


class Manner(IntEnum):
    """How a stream is read. Each one gets past more than the one before it, and says less."""

    PLAIN = 0
    """As planned."""
    SHORTENED = 1
    """An event that would be too large comes without what makes it so; all others come whole."""
    UNCONDITIONED = 2
    """So too, and the rules' conditions are held here: the server may build the event to hold them."""
    SMALL_KEYS = 3
    """So too, and without changes of documents whose `_id` is above LARGEST_KEY: MongoDB cannot send those
    in any form."""

    def wider(self) -> "Manner | None":
        """The manner that gets past more, or None."""
        return Manner(self + 1) if self < Manner.SMALL_KEYS else None


def _size(field: str) -> dict[str, Any]:
    return {"$ifNull": [{"$bsonSize": field}, 0]}


def _left_out(part: str, field: str, total: list[Any]) -> dict[str, Any]:
    """`[part]` when the event has `field` and is too large with it, else `[]`."""
    has_it = {"$eq": [{"$type": field}, "object"]}
    too_large = {"$gt": [{"$add": total}, LARGEST_EVENT]}
    return {"$cond": [{"$and": [has_it, too_large]}, [part], []]}


def _unless(part: str, field: str) -> dict[str, Any]:
    return {"$cond": [{"$in": [part, "$leftOut"]}, "$$REMOVE", field]}


# The token counts twice: the reply holds it again, as the position behind the event.
_KEYS = [_size("$_id"), _size("$_id"), _size("$documentKey")]
_WITHOUT_IMAGES = [*_KEYS, _size("$updateDescription")]
_WHOLE = [*_WITHOUT_IMAGES, _size("$fullDocument"), _size("$fullDocumentBeforeChange")]

SHORTENING: list[dict[str, Any]] = [
    {
        "$set": {
            "leftOut": {
                "$concatArrays": [
                    _left_out("document", "$fullDocument", _WHOLE),
                    _left_out("before", "$fullDocumentBeforeChange", _WHOLE),
                    _left_out("updated", "$updateDescription.updatedFields", _WITHOUT_IMAGES),
                ]
            }
        }
    },
    {
        "$set": {
            "fullDocument": _unless("document", "$fullDocument"),
            "fullDocumentBeforeChange": _unless("before", "$fullDocumentBeforeChange"),
            "updateDescription.updatedFields": _unless("updated", "$updateDescription.updatedFields"),
        }
    },
]
"""Takes the images out of an event that is too large, and names them in `leftOut`. Done behind the `$match`,
so conditions are held against the whole event; and never the whole of it is built."""

SMALL_KEYS: dict[str, Any] = {"$match": {"$expr": {"$lt": [_size("$documentKey"), LARGEST_KEY]}}}


class Change(NamedTuple):
    """One change as the stream sent it, or its fragments put together: `token` is the resume token behind it,
    `flaw` what could not be read of it (see `decoding`), `raw` its bytes if there was such a thing."""

    document: Mapping[str, Any]
    token: Mapping[str, Any]
    flaw: str = ""
    raw: bytes = b""

    @classmethod
    def of(cls, decoded: Decoded, raw: bytes) -> "Change":
        """A change that was decoded by itself."""
        return cls(decoded.document, decoded.document["_id"], decoded.flaw, raw if decoded.flaw else b"")


class Fragments:
    """Puts the fragments of split events together, also across replies.

    The identity of the whole is its first fragment's token: that one is the same wherever the server cuts.
    """

    def __init__(self) -> None:
        self._held: list[Change] = []

    @property
    def waiting(self) -> bool:
        """Whether an event has come in part: no position may be taken here."""
        return bool(self._held)

    def join(self, changes: Iterable[Change]) -> Iterator[Change]:
        """The whole changes in `changes` and what was held; what is not whole yet is held.

        Raises PositionError when a fragment comes without those before it.
        """
        for change in changes:
            split = change.document.get("splitEvent")
            if split is None and not self._held:
                yield change
                continue
            if split is None or split["fragment"] != len(self._held) + 1:
                raise PositionError(
                    "The position of this stream lies inside an event that was sent in fragments. Go back to "
                    "a time before it with `mtrigger checkpoint set --time …`; what is read again is not "
                    "done again."
                )
            self._held.append(change)
            if split["fragment"] == split["of"]:
                yield _joined(self._held)
                self._held = []


def _joined(fragments: list[Change]) -> Change:
    document: dict[str, Any] = {}
    for fragment in fragments:
        document.update(fragment.document)
    document["_id"] = fragments[0].document["_id"]
    del document["splitEvent"]
    flaws = [fragment.flaw for fragment in fragments if fragment.flaw]
    raw = next((fragment.raw for fragment in fragments if fragment.raw), b"")
    return Change(document, fragments[-1].token, "; ".join(flaws), raw)
