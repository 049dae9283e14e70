"""Rows that fit: what a row of the outbox leaves out when MongoDB would not take it whole.

A row holds an event and some more, so an event that MongoDB could just hold may not fit into it: above 16 MB,
or nested deeper than a stored document may be. The promise: such a row is stored without its largest parts,
which `left_out` names, and never dropped; the rows around it are not touched. What is left out is looked up
when its turn comes (see `planning.lacks_document`). Rows are encoded here, once, so their size is known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from mtrigger.events import Part

LARGEST_ROW = 15_000_000
"""Bytes of a new row. MongoDB takes 16 MB; the rest is for the history of its attempts."""

LARGEST_PORTION = 32_000_000
"""Bytes of rows that are encoded and sent at once (one row at least)."""

TOO_DEEP = 15
"""The server's error `Overflow`: "exceeds 180 levels of nesting"."""

_GIVEN_UP: tuple[Part, ...] = ("before", "document", "updated", "raw", "key")
"""In this order: an image that few rules ask for first, what finds the document again last."""

_NOTHING: Mapping[Part, Any] = {"before": None, "document": None, "updated": [], "raw": b"", "key": {}}


class TooDeepError(Exception):
    """MongoDB refused the rows `ids`, because they are nested too deeply, and no others; those of the portion
    that were there before are in `existing`."""

    def __init__(self, ids: Sequence[str], existing: AbstractSet[str]) -> None:
        super().__init__(f"rows nested too deeply: {', '.join(ids)}")
        self.ids = ids
        self.existing = existing


class Portion:
    """Rows that are sent together."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._encoded: dict[str, RawBSONDocument] = {}
        self.size = 0

    def put(self, row: dict[str, Any]) -> None:
        """Take a row, without what does not fit."""
        raw = bson.encode(row)
        while len(raw) > LARGEST_ROW and (shorter := _shortened(row)) is not None:
            row, raw = shorter, bson.encode(shorter)
        self._rows[row["_id"]], self._encoded[row["_id"]] = row, RawBSONDocument(raw)
        self.size += len(raw)

    def shortened(self, ids: Iterable[str]) -> "Portion":
        """Only the rows `ids`, each without one more part. Raises ValueError when nothing is left of one."""
        portion = Portion()
        for row_id in ids:
            shorter = _shortened(self._rows[row_id])
            if shorter is None:
                raise ValueError(f"the row {row_id} cannot be stored, whatever it leaves out")
            portion.put(shorter)
        return portion

    @property
    def documents(self) -> list[RawBSONDocument]:
        """The rows as they are sent."""
        return list(self._encoded.values())


def portions(rows: Iterable[dict[str, Any]]) -> Iterator[Portion]:
    """All of `rows`, in portions that bound what is held in memory."""
    portion = Portion()
    for row in rows:
        portion.put(row)
        if portion.size >= LARGEST_PORTION:
            yield portion
            portion = Portion()
    if portion.size:
        yield portion


def _shortened(row: dict[str, Any]) -> dict[str, Any] | None:
    """The row without the next part to be given up, or None."""
    event = row["event"]
    for part in _GIVEN_UP:
        if event.get(part):
            gone = {part: _NOTHING[part], "left_out": [*event.get("left_out", ()), part]}
            if part == "document":
                gone["image"] = "none"
            return {**row, "event": {**event, **gone}}
    return None
