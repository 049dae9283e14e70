"""What is worth knowing of a table before it is read, for `mtrigger source check`."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from mtrigger.sources import statements
from mtrigger.sources.database import Database
from mtrigger.sources.definition import Query
from mtrigger.sources.pages import Finding
from mtrigger.sources.table_shapes import Shape


def checked(database: Database, connection: sa.Connection, query: Query, shape: Shape) -> Iterator[Finding]:
    """Everything here is a hint: what keeps a table from being read was found before."""
    read_by = (*shape.times, *((shape.number,) if shape.number else ()))
    if read_by and connection.execute(statements.unplaced(shape.relation)).first() is not None:
        yield _hint(shape, _without_position(shape))
    if read_by and shape.table is not None and not _has_index(database, connection, shape, read_by):
        yield _hint(
            shape,
            f"no index begins with {', '.join(read_by)}: each poll sorts the whole table",
        )
    if read_by and not query.delay:
        yield _hint(shape, "with `delay: 0s` a row whose transaction commits late is never read")
    if shape.times and not shape.number:
        yield _hint(
            shape,
            "by the time alone, rows of one time are read together: with many of them, "
            "`mode: timestamp+incrementing` takes less at once",
        )


def _hint(shape: Shape, text: str) -> Finding:
    return Finding(shape.name, grave=False, text=text)


def _without_position(shape: Shape) -> str:
    if not shape.times:
        return f"there are rows whose {shape.number} is null: they are never read"
    names = " and ".join(shape.times)
    return (
        f"there are rows whose {names} is null: they are never read; a second column in `timestamp:` "
        "(the time at which rows are made) stands in for it"
    )


def _has_index(database: Database, connection: sa.Connection, shape: Shape, read_by: tuple[str, ...]) -> bool:
    """Whether some index, or the primary key, begins with what the table is read by. A view's are not known;
    of several times there can be none."""
    assert shape.table is not None
    inspector = database.inspector(connection)
    table, schema = shape.table.table, shape.table.schema or None
    if table not in inspector.get_table_names(schema):
        return True
    found: list[Sequence[str | None]] = [
        inspector.get_pk_constraint(table, schema)["constrained_columns"],
        *(index["column_names"] for index in inspector.get_indexes(table, schema)),
        *(unique["column_names"] for unique in inspector.get_unique_constraints(table, schema)),
    ]
    return len(shape.times) < 2 and any(columns[:1] == [read_by[0]] for columns in map(list, found))
