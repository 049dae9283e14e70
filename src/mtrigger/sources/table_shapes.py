"""What a table looks like now: its columns, its key, what it is read by.

Promise: what a source file names and a table lacks is a SourceError that says which column of which table;
any other column may come and go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from mtrigger.errors import SourceError
from mtrigger.sources import statements
from mtrigger.sources.database import Database
from mtrigger.sources.definition import Query, Source
from mtrigger.sources.row_documents import Column, field_name
from mtrigger.sources.statements import Relation
from mtrigger.sources.table_names import TableName, column_among, matching, parsed
from mtrigger.sources.time_columns import Style, TimeColumn
from mtrigger.sources.values import Kind

QUERY = "query"
"""The name of what a source with a query reads."""

_STYLES: dict[Kind, Style] = {
    "zoned time": "zoned",
    "utc time": "utc",
    "unknown time": "utc",  # selected as SYS_EXTRACT_UTC
    "local time": "local",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as it was found. `name` is the one in messages; `table` is None for a query. `declared` are the
    types of SQLite's columns. `key`, `number`, `times` and `deleted` are names of columns; `time` says how
    the times are compared."""

    name: str
    table: TableName | None
    columns: tuple[Column, ...]
    declared: Mapping[str, str]
    relation: Relation
    key: tuple[str, ...]
    number: str
    times: tuple[str, ...]
    deleted: str
    time: TimeColumn | None = None

    def is_still(self, columns: Sequence[Column]) -> bool:
        """Whether a result with these columns is of this table as it was found. A column that was selected
        in UTC comes as some time."""
        return len(columns) == len(self.columns) and all(
            found.name == known.name and (found.kind == known.kind or known.kind == "unknown time")
            for found, known in zip(columns, self.columns, strict=True)
        )


def found_shape(database: Database, connection: sa.Connection, source: Source, table: str) -> Shape:
    """Look at a table, or at the query. Raises SourceError."""
    query = source.query
    name = None if query.query else _resolved(database, connection, table)
    declared = _declared_types(database, connection, name)
    columns = _columns(database, connection, name, query.query, declared)
    names = [column.name for column in columns]
    number = _named(query.incrementing, names, table) if "incrementing" in query.mode else ""
    times = (
        tuple(_named(time, names, table) for time in query.timestamps) if "timestamp" in query.mode else ()
    )
    key = tuple(
        _named(column, names, table) for column in _key(database, connection, source, name, names, number)
    )
    _check_fields(columns, key, table)
    time = _time_column(database, query, [column for column in columns if column.name in times], table)
    return Shape(
        name=table,
        table=name,
        columns=columns,
        declared=declared,
        relation=_relation(database, query, name, columns, number, times),
        key=key,
        number=number,
        times=times,
        deleted=_named(query.deleted, names, table) if query.deleted else "",
        time=time,
    )


def tables_in(database: Database, connection: sa.Connection, schema: str) -> list[str]:
    """The tables and views of a schema ("": where the connection begins)."""
    inspector = database.inspector(connection)
    found = {*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)}
    if database.dialect.name in ("postgresql", "oracle"):
        found.update(inspector.get_materialized_view_names(schema or None))
    return sorted(map(str, found))


def columns_of(
    database: Database, description: Sequence[Any], declared: Mapping[str, str]
) -> tuple[Column, ...]:
    """The columns of a result. Where a driver tells no types (SQLite), by what was `declared`."""
    return tuple(
        Column(name, database.dialect.kind(declared.get(name) if database.dialect.text_times else entry[1]))
        for entry in description
        for name in (database.normalized(entry[0]),)
    )


def _declared_types(
    database: Database, connection: sa.Connection, name: TableName | None
) -> Mapping[str, str]:
    """What SQLite's columns were declared as."""
    if not database.dialect.text_times or name is None:
        return {}
    statement = sa.text("SELECT name, type FROM pragma_table_info(:table, :schema)")
    rows = connection.execute(statement, {"table": name.table, "schema": name.schema or "main"})
    return {str(column): str(kind) for column, kind in rows}


def _resolved(database: Database, connection: sa.Connection, table: str) -> TableName:
    """The table that is meant, tried as it is written first: a catalogue can be long."""
    name = parsed(table)
    relation = _bare_relation(name)
    try:
        database.description(connection, statements.shape(relation))
    except exc.DatabaseError:
        connection.rollback()
        others = matching(name.table, tables_in(database, connection, name.schema))
        if len(others) != 1 or others == [name.table]:
            if not others:
                raise SourceError(f"there is no table `{table}`, or it may not be read") from None
            raise
        return TableName(name.schema, others[0])
    return name


def _bare_relation(name: TableName) -> Relation:
    clause = statements.of_table(name.table, name.schema, ())
    return Relation(clause, statements.whole_of(clause))


def _columns(
    database: Database,
    connection: sa.Connection,
    name: TableName | None,
    query: str,
    declared: Mapping[str, str],
) -> tuple[Column, ...]:
    clause = (
        statements.of_query(query, ()) if name is None else statements.of_table(name.table, name.schema, ())
    )
    description = database.description(
        connection, statements.shape(Relation(clause, statements.whole_of(clause)))
    )
    return columns_of(database, description, declared)


def _relation(
    database: Database,
    query: Query,
    name: TableName | None,
    columns: Sequence[Column],
    number: str,
    times: Sequence[str],
) -> Relation:
    names = [column.name for column in columns]
    clause = (
        statements.of_query(query.query, names)
        if name is None
        else statements.of_table(name.table, name.schema, names)
    )
    in_utc = [column.name for column in columns if column.kind == "unknown time" and name is not None]
    dialect = database.dialect.name
    time_columns = [
        sa.func.sys_extract_utc(clause.c[time]) if time in in_utc else clause.c[time] for time in times
    ]
    plain = Relation(clause, statements.whole_of(clause, in_utc))
    return Relation(
        clause,
        plain.whole,
        time=statements.first_time(time_columns, dialect) if times else None,
        number=clause.c[number] if number else None,
        time_type=sa.TIMESTAMP() if dialect == "oracle" else plain.time_type,
    )


def _key(
    database: Database,
    connection: sa.Connection,
    source: Source,
    name: TableName | None,
    columns: Sequence[str],
    number: str,
) -> Sequence[str]:
    """The columns that the file names, or the primary key, or the number that only grows."""
    if source.destination.key:
        return source.destination.key
    primary: Sequence[str] = ()
    if name is not None:
        try:
            found = database.inspector(connection).get_pk_constraint(name.table, name.schema or None)
            primary = [str(column) for column in found["constrained_columns"]]
        except exc.NoSuchTableError:  # a view, to some dialects
            primary = ()
    if primary or number:
        return primary or [number]
    what = "a query has" if name is None else f"table `{name}` has"
    raise SourceError(
        f"{what} no primary key: say `key:` in `into:`, one of these columns or several: {', '.join(columns)}"
    )


def _named(wanted: str, columns: Sequence[str], table: str) -> str:
    found = column_among(wanted, columns)
    if found is None:
        raise SourceError(
            f"table `{table}` has no column `{wanted}` (any more), which the source needs; "
            f"it has: {', '.join(columns)}"
        )
    return found


def _time_column(
    database: Database, query: Query, columns: Sequence[Column], table: str
) -> TimeColumn | None:
    if not columns:
        return None
    if database.dialect.text_times:
        return TimeColumn("text", query.timezone)
    styles = {_STYLES.get(column.kind) for column in columns}
    for column in columns:
        if column.kind not in _STYLES:
            what = "a day without a time" if column.kind == "day" else "no time"
            raise SourceError(
                f"column `{column.name}` of table `{table}` is {what}: nothing can be read by it"
            )
    if len(styles) > 1:
        names = ", ".join(column.name for column in columns)
        raise SourceError(f"the times {names} of table `{table}` are of different types: some have a zone")
    style = styles.pop()
    assert style is not None
    return TimeColumn(style, query.timezone)


def _check_fields(columns: Sequence[Column], key: Sequence[str], table: str) -> None:
    """Two columns must not become one field, nor a column the `_id` that the key makes."""
    seen: dict[str, str] = {}
    for column in columns:
        field = field_name(column.name)
        if field == "_id" and key != (column.name,):
            raise SourceError(
                f"column `_id` of `{table}` is not the key of its rows: give it another name with AS in a "
                "`query`, or say `key: _id` in `into:`"
            )
        if field in seen:
            raise SourceError(
                f"two columns of `{table}` would be the field `{field}` (`{seen[field]}` and "
                f"`{column.name}`): give one another name with AS in a `query`"
            )
        seen[field] = column.name
