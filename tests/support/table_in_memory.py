"""A table that a source can read without a database: rows in a list, which may fail where a test wants it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtrigger.sources.pages import Finding, Page, Place, RejectedRow, Row, key_text


@dataclass
class TableInMemory:
    """One table, `orders`. Rows are read by their place in the list when `growing`, else all of them each
    time. `bad` are keys of rows that cannot be stored; before page number `fails_at` (from 1) `failure` is
    raised, once."""

    rows: list[Row] = field(default_factory=list)
    growing: bool = True
    batch: int = 10
    bad: set[Any] = field(default_factory=set)
    fails_at: int = 0
    failure: Exception | None = None
    pages_read: int = 0

    def names(self) -> Sequence[str]:
        return ["orders"]

    def findings(self) -> Iterator[Finding]:
        yield from ()

    def pages(self, table: str, place: Place) -> Iterator[Page]:
        start = int(place.get("behind", 0))
        while True:
            self.pages_read += 1
            if self.pages_read == self.fails_at and self.failure is not None:
                raise self.failure
            found = self.rows[start : start + self.batch]
            start += len(found)
            last = start >= len(self.rows)
            good = [row for row in found if row.key not in self.bad]
            rejected = [
                RejectedRow(key_text(row.key), {}, "it is bad") for row in found if row.key in self.bad
            ]
            behind = {} if last and not self.growing else {"behind": start}
            yield Page(table, good, rejected, behind, last, len(self.rows))
            if last:
                return

    def row(self, table: str, key: str) -> Row | RejectedRow | None:
        found = next((row for row in self.rows if key_text(row.key) == key), None)
        return RejectedRow(key, {}, "it is bad") if found is not None and found.key in self.bad else found

    def close(self) -> None: ...


def order(number: int, amount: int = 1, *, deleted: bool = False) -> Row:
    """A row, of which the amount is the version."""
    return Row(number, {"order_id": number, "amount": amount}, f"{number}/{amount}", deleted)
