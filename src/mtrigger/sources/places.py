"""Where a source stands: a place for each of its tables, and how that lies in the source's checkpoint.

Pure. The checkpoint's stream is `source/NAME`; its token holds a counter, which grows with every write, and
the tables. A place belongs to the way in which new rows are found: with another mode, other columns or
another query it means nothing, and reading begins anew.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bson.timestamp import Timestamp

from mtrigger.sources.definition import Query
from mtrigger.sources.pages import Page, Place
from mtrigger.stores.positions import Checkpoint

_STREAM = "source/"
_CLUSTER = "source"
_NOTHING: Place = {}


def stream_of(source: str) -> str:
    """The name of the stream that the source's lease, position and deliveries belong to."""
    return _STREAM + source


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where one table stands.

    `passes` counts how often reading came to the end of the table; `rows` and `rejected` what was stored and
    what could not be, all in all; `error` says what keeps it from being read, "" for nothing.
    """

    place: Place = field(default_factory=dict)
    passes: int = 0
    rows: int = 0
    rejected: int = 0
    error: str = ""

    def behind(self, page: Page, rows: int, rejected: int) -> "TablePlace":
        """The same once a page is stored, of which `rows` were written and `rejected` could not be."""
        return TablePlace(
            page.place, self.passes + page.last, self.rows + rows, self.rejected + rejected, error=""
        )


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """Where all tables of a source stand. `writes` counts how often that was written down."""

    tables: Mapping[str, TablePlace] = field(default_factory=dict)
    writes: int = 0

    def of(self, table: str) -> TablePlace:
        """Where `table` stands; at the beginning if nothing is known of it."""
        return self.tables.get(table, TablePlace())

    def having(self, table: str, place: TablePlace) -> "SourcePlace":
        """The same with another place for `table`."""
        return replace(self, tables={**self.tables, table: place})


def plan_of(query: Query) -> str:
    """A text that is the same for queries whose places mean the same."""
    text = repr((query.mode, query.incrementing, query.timestamps, query.initial, query.query))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checkpoint_of(source: str, plan: str, place: SourcePlace, now: datetime) -> Checkpoint:
    """The checkpoint that holds `place`, one write later."""
    writes = place.writes + 1
    return Checkpoint(
        stream=stream_of(source),
        token={
            "_data": f"{writes:016X}",
            "tables": [
                {
                    "table": table,
                    "place": dict(at.place),
                    "passes": at.passes,
                    "rows": at.rows,
                    "rejected": at.rejected,
                    "error": at.error,
                }
                for table, at in place.tables.items()
            ],
        },
        cluster_time=Timestamp(int(now.timestamp()), writes % 2**32),
        cluster_id=_CLUSTER,
        pipeline_hash=plan,
        updated_at=now,
    )


def place_in(checkpoint: Checkpoint) -> SourcePlace:
    """The place that `checkpoint` holds; the beginning where it holds none."""
    token: Mapping[str, Any] = checkpoint.token or _NOTHING
    tables = {
        str(row["table"]): TablePlace(
            row["place"], row["passes"], row["rows"], row["rejected"], row.get("error", "")
        )
        for row in token.get("tables", ())
    }
    return SourcePlace(tables, int(str(token.get("_data", "0")), 16))
