"""What a source is: which rows of which tables it reads, how it finds those that are new, where they go.

Sources are frozen. They are made by `mtrigger.loading` from YAML files; a changed file makes a new source.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

Mode = Literal["bulk", "incrementing", "timestamp", "timestamp+incrementing", "snapshot"]
"""How new rows are found: all of them each time; by a number that only grows; by a time that every change
sets; by both, so that rows of one time are kept apart; all of them, compared with those of the time before,
so that deletes are seen."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is read of the database at `url` (a secret).

    `tables` are names (`schema.table`) or patterns with `*`, none when there is a `query` (a SELECT). The
    columns `incrementing` and `timestamps` (the first that is not null counts) are for the modes named after
    them; `initial` is where these begin, None for everything. `poll` and `delay` are seconds: rows younger
    than `delay`, by the clock of the database, wait. `batch` rows are read at once. Times without a zone are
    in `timezone`. A row whose column `deleted` holds neither null, false nor 0 has been deleted.
    """

    url: str = field(repr=False)
    tables: tuple[str, ...] = ()
    query: str = ""
    mode: Mode = "bulk"
    incrementing: str = ""
    timestamps: tuple[str, ...] = ()
    initial: datetime | int | None = None
    poll: float = 5.0
    delay: float = 5.0
    batch: int = 1000
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    deleted: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where rows go: a collection (`db.collection`), where they are upserted, or a topic. One of the two;
    with several tables, `{table}` in it is the table's name without its schema. `key` are the columns that
    make the `_id` (one: its value; several: a document), the table's primary key when it is empty."""

    collection: str = ""
    topic: str = ""
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One source file. `enabled: false` reads nothing."""

    name: str
    query: Query
    destination: Destination
    description: str = ""
    enabled: bool = True
    file: str = ""
