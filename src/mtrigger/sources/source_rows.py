"""What a snapshot remembers of the rows it has stored: the collection `source_rows` of the state database.

A row of it is 16 bytes for the key, 16 for the values and a number of its own. The numbers of the rows that
a pass has seen are bits in memory (a million rows are 125 kB), so unchanged rows cost no write, and those
that are gone are the ones whose bits are missing at the end. A pass that was interrupted begins anew: what it
had stored is remembered, and found unchanged. What it was about to store is remembered before that, so that a
row that is gone before anybody reads it again is told to be gone.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import encode
from pymongo import ASCENDING, DESCENDING, DeleteOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.sources.pages import RejectedRow, Row, key_text
from mtrigger.stores.certainty import certain
from mtrigger.stores.steadiness import StateOutage, steadily

COLLECTION = "source_rows"
CHUNK = 1000

_UNCERTAIN = b""
"""The digest of no values: the row may be stored with these or those, or not at all."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Known:
    number: int
    values: bytes


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()


def values_digest(row: Row) -> bytes:
    """16 bytes that differ when a row's values do."""
    return _digest(encode(row.values))


class SourceRows:
    """What is remembered of the rows of one source."""

    def __init__(self, state: AsyncDatabase[Document], source: str, outage: StateOutage) -> None:
        self._rows = certain(state, COLLECTION)
        self._source = source
        self.outage = outage

    @steadily
    async def open(self) -> None:
        """Make the index."""
        fields = [("source", ASCENDING), ("table", ASCENDING), ("number", ASCENDING)]
        await self._rows.create_index(fields, name="numbers")

    async def begin(self, table: str) -> "Pass":
        """A pass over `table`."""
        return Pass(self, table, await self._last(table))

    @steadily
    async def _last(self, table: str) -> int:
        """The greatest number in use."""
        wanted = {"source": self._source, "table": table}
        row = await self._rows.find_one(wanted, {"number": 1}, sort=[("number", DESCENDING)])
        return int(row["number"]) if row is not None else 0

    @steadily
    async def known(self, ids: Sequence[bytes]) -> Mapping[bytes, _Known]:
        """What is remembered of the rows with these ids."""
        rows = self._rows.find({"_id": {"$in": list(ids)}}, {"number": 1, "values": 1})
        return {row["_id"]: _Known(row["number"], row["values"]) async for row in rows}

    @steadily
    async def write(self, changes: Sequence[UpdateOne | DeleteOne]) -> None:
        """Carry out changes to what is remembered."""
        await self._rows.bulk_write(changes, ordered=False)

    @steadily
    async def after(self, table: str, number: int) -> list[Document]:
        """The next rows of `table` with greater numbers, in their order."""
        wanted = {"source": self._source, "table": table, "number": {"$gt": number}}
        rows = self._rows.find(wanted, {"values": 0}, sort=[("number", ASCENDING)], limit=CHUNK * 10)
        return await rows.to_list()

    @steadily
    async def forget_all(self) -> None:
        """Remember nothing any more."""
        await self._rows.delete_many({"source": self._source})

    def id_of(self, table: str, key: str) -> bytes:
        """The id of the row with the key of this text."""
        return _digest(self._source.encode(), table.encode(), key.encode())

    def announcing(self, table: str, row: Row, number: int) -> UpdateOne:
        """The change that remembers that `row` is there, and of its values nothing."""
        fields = {"source": self._source, "table": table, "key": row.key, "values": _UNCERTAIN}
        return UpdateOne(
            {"_id": self.id_of(table, key_text(row.key))},
            {"$set": fields, "$setOnInsert": {"number": number}},
            upsert=True,
        )

    def remembering(self, table: str, row: Row) -> UpdateOne:
        """The change that remembers the values of a row that was announced."""
        return UpdateOne(
            {"_id": self.id_of(table, key_text(row.key))}, {"$set": {"values": values_digest(row)}}
        )


class Pass:
    """One pass over a table: which rows have changed since the last one, and, at its end, which are gone."""

    def __init__(self, rows: SourceRows, table: str, last: int) -> None:
        self._rows = rows
        self._table = table
        self._before = self._last = last
        self._seen = bytearray(last // 8 + 1)

    async def changed(self, rows: Sequence[Row], rejected: Sequence[RejectedRow]) -> list[Row]:
        """Those of `rows` that are new or other than they were. All of them, and those that were rejected,
        are there."""
        ids = [self._rows.id_of(self._table, key_text(row.key)) for row in rows]
        others = [self._rows.id_of(self._table, row.key) for row in rejected]
        known = await self._rows.known([*ids, *others])
        for found in known.values():
            self._mark(found.number)
        return [
            row
            for row, id_ in zip(rows, ids, strict=True)
            if (id_ in known if row.deleted else id_ not in known or known[id_].values != values_digest(row))
        ]

    async def announce(self, rows: Sequence[Row]) -> None:
        """`rows` are about to be stored. Whoever finds them announced only stores them again, or tells that
        they are gone: a process that was killed in between may have stored them."""
        changes = []
        for row in rows:
            if not row.deleted:
                self._last += 1
                changes.append(self._rows.announcing(self._table, row, self._last))
        if changes:
            await self._rows.write(changes)

    async def remember(self, rows: Sequence[Row], refused: Sequence[RejectedRow]) -> None:
        """`rows` are stored (or deleted) now, but for those that were refused."""
        changes: list[UpdateOne | DeleteOne] = []
        keys = {row.key for row in refused}
        for row in rows:
            if keys and key_text(row.key) in keys:
                continue
            if row.deleted:
                changes.append(DeleteOne({"_id": self._rows.id_of(self._table, key_text(row.key))}))
            else:
                changes.append(self._rows.remembering(self._table, row))
        if changes:
            await self._rows.write(changes)

    async def gone(self) -> AsyncIterator[list[Row]]:
        """The rows that are remembered from before this pass and were not seen in it, in portions."""
        number = 0
        while number < self._before:
            found = await self._rows.after(self._table, number)
            missing = [
                Row(row["key"], {}, "", deleted=True)
                for row in found
                if row["number"] <= self._before and not self._is_marked(row["number"])
            ]
            for start in range(0, len(missing), CHUNK):
                yield missing[start : start + CHUNK]
            if not found:
                return
            number = found[-1]["number"]

    def _mark(self, number: int) -> None:
        if number <= self._before:
            self._seen[number // 8] |= 1 << number % 8

    def _is_marked(self, number: int) -> bool:
        return bool(self._seen[number // 8] & 1 << number % 8)
