"""Pages of rows: what reading a table and storing its rows say to each other.

Promise: the place behind a page is stored only after the page is, and a page that is read again after that
holds the same keys, so storing it twice adds nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bson import json_util

Place = Mapping[str, Any]
"""Where reading one table stands, as a document of values that BSON holds; {} at the beginning."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its `key` (what becomes `_id`), its columns as values that BSON holds, and its `version`, a
    text that is the same whenever this state of the row is read (its time, its number; "" where all rows are
    read each time). `deleted`: it is gone."""

    key: Any
    values: Mapping[str, Any]
    version: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that cannot be stored: its key (as `key_text` has it, where that is possible) and columns as
    texts, and why, with what to do about it."""

    key: str
    values: Mapping[str, str]
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one table, in order, and the place behind them. `expected` is about how many rows the table
    holds, when that is known (the first load); `last`: there is nothing more for now."""

    table: str
    rows: Sequence[Row]
    rejected: Sequence[RejectedRow]
    place: Place
    last: bool
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What `mtrigger source check` says of one table."""

    table: str
    grave: bool
    text: str


class Tables(Protocol):
    """A database that is being read. Blocking: it lives in one thread. What passes (a lost connection) is
    raised as `ConnectionLostError`, what does not as `SourceError`, each without secrets."""

    def names(self) -> Sequence[str]:
        """The tables that are there now and belong to the source; `query` for a source with a query."""
        ...

    def findings(self) -> Iterator[Finding]:
        """What is wrong or worth knowing: a column that is missing, a table without a key, no index."""
        ...

    def pages(self, table: str, place: Place) -> Iterator[Page]:
        """What is new in `table` behind `place`, page after page; ends behind the one that is `last`. Where
        all rows are read each time (bulk, snapshot), the place of the last page is {} again."""
        ...

    def row(self, table: str, key: str) -> Row | RejectedRow | None:
        """The row with the key that a RejectedRow had (see `key_text`), as it is now; None when it is
        gone."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...


def key_text(key: Any) -> str:
    """A row's key as text, from which it can be read again: canonical Extended JSON. Raises TypeError for
    what BSON does not hold."""
    return json_util.dumps(key, json_options=json_util.CANONICAL_JSON_OPTIONS)
