"""Reading one table: what is new behind a place, page after page.

Promises: no row is passed over, and none is named in the place before it was handed out. A place lies between
two rows that differ in what they are read by, so that of rows with the same time or number either all are
behind it or none. A statement that may find much is a stretch of `STRETCH` rows, so that no transaction lasts
long, where rows can be told apart by a number.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from mtrigger.errors import SourceError
from mtrigger.sources import statements
from mtrigger.sources.database import Database
from mtrigger.sources.definition import Query
from mtrigger.sources.late_commits import Progress
from mtrigger.sources.pages import Page, Place
from mtrigger.sources.portions import Raw, cut_between
from mtrigger.sources.statements import After
from mtrigger.sources.table_rows import TableRows
from mtrigger.sources.table_shapes import Shape, columns_of
from mtrigger.sources.values import text_of

STRETCH = 50_000


class ColumnsChangedError(Exception):
    """The table is not what it was: its shape has to be found anew. Nothing was handed out of this result."""


class TableReading:
    """One reading of one table, which has this shape."""

    def __init__(self, database: Database, query: Query, shape: Shape) -> None:
        self._database = database
        self._query = query
        self._shape = shape
        self._delay = timedelta(seconds=query.delay)
        self._rows = TableRows(shape, query.timezone)
        self._positions = len(shape.relation.positions)
        self._stretch = max(STRETCH, query.batch)

    def pages(self, place: Place, expected: int | None) -> Iterator[Page]:
        """What is new behind `place`."""
        if self._shape.time is not None:
            found = self._by_time(place)
        elif self._shape.number:
            found = self._by_number(place)
        else:
            found = self._everything()
        for page in found:
            yield replace(page, expected=expected)

    def _everything(self) -> Iterator[Page]:
        with self._result(statements.everything(self._shape.relation)) as portions:
            for portion in portions:
                yield self._page(portion, {}, last=len(portion) < self._query.batch)

    def _by_time(self, place: Place) -> Iterator[Page]:
        assert self._shape.time is not None
        limit = self._stretch if self._shape.number else None
        while True:
            with self._connected() as connection:
                before = self._shape.time.bound(self._database.now(connection) - self._delay)
                statement = statements.newer(self._shape.relation, self._after(place), before, limit)
                began, cut = place, False
                with self._opened(connection, statement) as portions:
                    for portion in cut_between(portions, self._query.batch, self._positions, limit):
                        if portion.position is not None:
                            place = self._time_place(portion.position)
                        cut = portion.cut
                        yield self._page(portion.rows, place, last=portion.ended and not cut)
            if not cut:
                return
            if began == place:
                raise self._not_distinct()

    def _by_number(self, place: Place) -> Iterator[Page]:
        progress = self._begun(Progress.from_place(place))
        with self._connected() as connection:
            now = self._database.now(connection)
        for early in progress.due(now - self._delay):
            statement = statements.numbered(self._shape.relation, early.low, early.high)
            with self._result(statement) as portions:
                for portion in portions:
                    yield self._page(portion, progress.as_place(), last=False)
            progress = progress.settled(early)
        yield from self._new_numbers(progress, much=not place)

    def _new_numbers(self, progress: Progress, *, much: bool) -> Iterator[Page]:
        """What is above all that was read; `much` of it, perhaps."""
        limit, cut = self._stretch, True
        while cut:
            with self._connected() as connection:
                now = self._database.now(connection)
                began = self._with_mark(connection, progress, now) if much else progress
                statement = statements.numbered(self._shape.relation, began.reached, limit=limit)
                with self._opened(connection, statement) as portions:
                    for portion in cut_between(portions, self._query.batch, self._positions, limit):
                        if portion.position is not None:
                            number = _whole_number(portion.position[-1], self._shape)
                            progress = began.read(number, now, self._delay)
                        cut = portion.cut
                        last = portion.ended and not cut
                        kept = replace(progress, ahead=None) if last else progress
                        yield self._page(portion.rows, kept.as_place(), last=last)
            if cut and progress.reached == began.reached:
                raise self._not_distinct()
            much = True

    def _after(self, place: Place) -> After | None:
        time = self._shape.time
        assert time is not None
        if "time" not in place:
            initial = self._query.initial
            return After(time.given(initial), inclusive=True) if isinstance(initial, datetime) else None
        number = int(place["number"]) if "number" in place and self._shape.number else None
        inclusive = "number" in place and not self._shape.number  # the mode was another one before
        return After(time.again(place["time"]), number, inclusive)

    def _time_place(self, position: Raw) -> dict[str, Any]:
        """{} for a time that is none: such rows (-infinity, 0000-00-00) come before all others."""
        assert self._shape.time is not None
        kept = self._shape.time.kept(position[0])
        if kept is None:
            return {}
        if not self._shape.number:
            return {"time": kept}
        number = _whole_number(position[1], self._shape)
        return {"time": kept, "number": number if abs(number) < 2**63 else str(number)}

    def _begun(self, progress: Progress) -> Progress:
        initial = self._query.initial
        if progress.reached is None and isinstance(initial, int):
            return replace(progress, reached=initial - 1)
        return progress

    def _with_mark(self, connection: sa.Connection, progress: Progress, now: datetime) -> Progress:
        """Note a number that is there already, unless there is one ahead."""
        ahead = progress.ahead
        if not self._delay or (ahead is not None and (progress.reached or ahead[0] - 1) < ahead[0]):
            return progress
        highest = connection.execute(statements.highest(self._shape.relation)).scalar()
        if highest is None:
            return progress
        return replace(progress, ahead=(_whole_number(highest, self._shape), now))

    def _not_distinct(self) -> SourceError:
        names = " and ".join((*self._shape.times, self._shape.number))
        return SourceError(
            f"more than {self._stretch:,} rows of `{self._shape.name}` have the same {names}: "
            "`incrementing` has to name a column whose numbers differ"
        )

    def _page(self, portion: Sequence[Raw], place: Place, *, last: bool) -> Page:
        rows, rejected = self._rows.read(portion, self._positions)
        return Page(self._shape.name, rows, rejected, place, last)

    def _connected(self) -> AbstractContextManager[sa.Connection]:
        return self._database.connected(f"reading `{self._shape.name}`")

    @contextmanager
    def _result(self, statement: sa.Select[Any]) -> Iterator[Iterator[list[Raw]]]:
        with self._connected() as connection, self._opened(connection, statement) as portions:
            yield portions

    @contextmanager
    def _opened(self, connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Iterator[list[Raw]]]:
        """A result whose columns are those of the shape. Raises ColumnsChangedError."""
        with self._database.reading(connection, statement, self._query.batch) as (description, portions):
            found = columns_of(self._database, description[self._positions :], self._shape.declared)
            if not self._shape.is_still(found):
                raise ColumnsChangedError
            yield portions


def _whole_number(value: Any, shape: Shape) -> int:
    """What `incrementing` names has to hold: 7, but also the decimal number 7."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != int(value):
        raise SourceError(
            f"column `{shape.number}` of `{shape.name}` holds {text_of(value, 50)!r}: `incrementing` needs a "
            "column of whole numbers"
        )
    return int(value)
