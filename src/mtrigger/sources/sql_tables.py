"""The tables of a relational database, for whoever stores their rows (see `pages.Tables`).

Promises: a table that changes while it is read is looked at again, and read on from the same place; what
cannot go on is told in words that name the table and the column.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from bson import json_util
from bson.decimal128 import Decimal128

from mtrigger.errors import SourceError
from mtrigger.sources import statements
from mtrigger.sources.database import Database
from mtrigger.sources.definition import Source
from mtrigger.sources.pages import Finding, Page, Place, RejectedRow, Row
from mtrigger.sources.table_checks import checked
from mtrigger.sources.table_names import TableName, is_pattern, matching, parsed
from mtrigger.sources.table_reading import ColumnsChangedError, TableReading
from mtrigger.sources.table_rows import TableRows
from mtrigger.sources.table_shapes import QUERY, Shape, found_shape, tables_in

_KEY_OPTIONS = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, tzinfo=UTC)


def open_tables(source: Source) -> "SqlTables":
    """The tables of `source`; nothing is connected yet. Raises SettingsError for an address that cannot be
    used, and where the driver is missing."""
    return SqlTables(source, Database(source.query.url))


class SqlTables:
    """The tables of one source."""

    def __init__(self, source: Source, database: Database) -> None:
        self._source = source
        self._database = database
        self._shapes: dict[str, Shape] = {}

    def names(self) -> Sequence[str]:
        """The tables that belong to the source. Names without a star are told without asking; what is not
        there is an error when it is read."""
        query = self._source.query
        if query.query:
            return (QUERY,)
        if not any(map(is_pattern, query.tables)):
            return query.tables
        with self._database.connected("listing tables") as connection:
            found = [name for text in query.tables for name in self._matching(connection, text)]
        return tuple(dict.fromkeys(found))

    def findings(self) -> Iterator[Finding]:
        """What is wrong or worth knowing of each table."""
        names = self.names()
        if not names:
            patterns = ", ".join(self._source.query.tables)
            yield Finding(patterns, grave=False, text="there is no such table at the moment")
        for name in names:
            try:
                shape, _ = self._shape(name)
            except SourceError as error:
                yield Finding(name, grave=True, text=str(error))
            else:
                with self._database.connected(f"checking `{name}`") as connection:
                    yield from checked(self._database, connection, self._source.query, shape)

    def pages(self, table: str, place: Place) -> Iterator[Page]:
        """What is new in `table` behind `place`."""
        again = False
        while True:
            shape, fresh = self._shape(table)
            reading = TableReading(self._database, self._source.query, shape)
            try:
                for page in reading.pages(place, None if place else self._expected(shape)):
                    place, again = page.place, False
                    yield page
            except (ColumnsChangedError, SourceError) as error:
                del self._shapes[table]
                if (fresh or again) and isinstance(error, SourceError):
                    raise
                if again:
                    raise SourceError(
                        f"the columns of `{table}` differ from one statement to the next"
                    ) from error
                again = True
            else:
                return

    def row(self, table: str, key: str) -> Row | RejectedRow | None:
        """The row with this key (see `pages.key_text`), as it is now."""
        self._shapes.pop(table, None)
        shape, _ = self._shape(table)
        statement = statements.keyed(shape.relation, self._key(shape, key), self._database.dialect.name)
        with self._database.connected(f"reading `{table}`") as connection:
            found = connection.execute(statement.limit(1)).all()
        rows, rejected = TableRows(shape, self._source.query.timezone).read(
            found, len(shape.relation.positions)
        )
        both: list[Row | RejectedRow] = [*rows, *rejected]
        return both[0] if both else None

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def _shape(self, table: str) -> tuple[Shape, bool]:
        """The table as it was found, and whether that was just now."""
        if table in self._shapes:
            return self._shapes[table], False
        where = f"looking at `{table}`"
        with self._database.connected(where) as connection:
            shape = found_shape(self._database, connection, self._source, table)
        self._shapes[table] = shape
        return shape, True

    def _expected(self, shape: Shape) -> int | None:
        """About how many rows a first reading will find."""
        if shape.table is None or self._source.query.initial is not None:
            return None
        estimate = self._database.dialect.estimate
        found: int | None = -1
        with self._database.connected(f"counting `{shape.name}`") as connection:
            if estimate:
                values = {"schema": shape.table.schema or None, "name": shape.table.table}
                found = connection.execute(sa.text(estimate), values).scalar()
            if found == -1:
                found = connection.execute(statements.counted(shape.relation)).scalar_one()
        return None if found is None else int(found)

    def _matching(self, connection: sa.Connection, text: str) -> list[str]:
        if not is_pattern(text):
            return [text]
        pattern = parsed(text)
        schemas = [pattern.schema]
        if is_pattern(pattern.schema):
            known = self._database.inspector(connection).get_schema_names()
            hidden = self._database.dialect.system_schemas
            schemas = [name for name in matching(pattern.schema, known) if name.lower() not in hidden]
        return [
            str(TableName(schema, table))
            for schema in schemas
            for table in matching(pattern.table, tables_in(self._database, connection, schema))
        ]

    def _key(self, shape: Shape, text: str) -> Mapping[str, Any]:
        """The key's columns with values as the driver takes them."""
        try:
            key = json_util.loads(text, json_options=_KEY_OPTIONS)
        except (ValueError, TypeError) as error:
            raise SourceError(
                f"`{text}` is not a key by which a row of `{shape.name}` can be found again: change the row, "
                "and it is read anew"
            ) from error
        values = tuple(key.values()) if isinstance(key, Mapping) and len(shape.key) > 1 else (key,)
        if len(values) != len(shape.key):
            raise SourceError(f"the key of `{shape.name}` is another one by now: {', '.join(shape.key)}")
        kinds = {column.name: column.kind for column in shape.columns}
        zone = self._source.query.timezone
        asked = {
            name: _asked(kinds[name], value, zone) for name, value in zip(shape.key, values, strict=True)
        }
        if self._database.dialect.name != "sqlite":
            return asked
        # Its driver takes no Decimal; the column makes a number of the text.
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in asked.items()}


def _asked(kind: str, value: Any, zone: Any) -> Any:
    """A value of a document as one to compare a column with."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if not isinstance(value, datetime):
        return value
    if kind == "day":
        return date(value.year, value.month, value.day)
    if kind == "local time":
        return value.astimezone(zone).replace(tzinfo=None)
    return value if kind == "zoned time" else value.replace(tzinfo=None)
