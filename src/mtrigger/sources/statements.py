"""The statements that sources send, in SQLAlchemy's Core. Pure: nothing here is connected to anything.

Promises: every statement that begins behind a place finds what lies behind it by comparing (keyset), never
by counting rows; the columns of its position come first, then all columns as they are now. Rows whose
position is null are never found.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.types import NullType, TypeEngine

T = TypeVar("T")

_NOT_A_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w)")

_OF_THE_DRIVER = NullType()

_SQLITE_TIME = "%Y-%m-%d %H:%M:%f"

_BSON_TIME = timedelta(milliseconds=1)
"""What BSON knows of a time; the column may know more."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a query to read: `whole` selects all its columns, `time` and `number` are what it is read
    by, where the mode has them. `time_type` is how a time is handed over."""

    clause: sa.FromClause
    whole: tuple[sa.ColumnElement[Any], ...]
    time: sa.ColumnElement[Any] | None = None
    number: sa.ColumnElement[Any] | None = None
    time_type: TypeEngine[Any] = _OF_THE_DRIVER

    @property
    def positions(self) -> tuple[sa.ColumnElement[Any], ...]:
        """What it is read by, in order."""
        return tuple(column for column in (self.time, self.number) if column is not None)


@dataclass(frozen=True, slots=True)
class After:
    """A place among times: behind it are later times, and at the same time higher numbers, or all at the
    same time when it is `inclusive`."""

    time: Any
    number: int | None = None
    inclusive: bool = False


def of_table(table: str, schema: str, columns: Sequence[str]) -> sa.FromClause:
    """A table under the name `t`."""
    return sa.table(table, *map(sa.column, columns), schema=schema or None).alias("t")


def of_query(query: str, columns: Sequence[str]) -> sa.FromClause:
    """A SELECT as it was written, as a table `t`. A colon in it is a colon, not a parameter."""
    written = _NOT_A_PARAMETER.sub(r"\\:", query.strip().rstrip(";").rstrip())
    return sa.text(f"{written}\n").columns(*map(sa.column, columns)).subquery("t")


def whole_of(clause: sa.FromClause, in_utc: Sequence[str] = ()) -> tuple[sa.ColumnElement[Any], ...]:
    """What selects all columns. Those of Oracle's that have a zone of their own are told `in_utc`, since the
    driver would not tell the zone."""
    if not in_utc:
        return (sa.literal_column("t.*"),)
    return tuple(
        sa.func.sys_extract_utc(column).label(column.name) if column.name in in_utc else column
        for column in clause.c
    )


def first_time(columns: Sequence[sa.ColumnElement[Any]], dialect: str) -> sa.ColumnElement[Any]:
    """The first of the times that is not null. SQLite's are texts or seconds since 1970: they are brought
    into one form."""
    if dialect == "sqlite":
        columns = [
            sa.case(
                (
                    sa.func.typeof(column).in_(("integer", "real")),
                    sa.func.strftime(_SQLITE_TIME, column, "unixepoch"),
                ),
                else_=sa.func.strftime(_SQLITE_TIME, column),
            )
            for column in columns
        ]
    return columns[0] if len(columns) == 1 else sa.func.coalesce(*columns)


def shape(relation: Relation) -> sa.Select[Any]:
    """No rows, but the columns and their types."""
    return sa.select(*relation.whole).select_from(relation.clause).where(sa.literal_column("1") == 0)


def everything(relation: Relation) -> sa.Select[Any]:
    """All rows, in no order."""
    return _selected(relation)


def newer(relation: Relation, after: After | None, before: Any, limit: int | None) -> sa.Select[Any]:
    """Rows with a time behind `after` and before `before`, in order, `limit` at most."""
    assert relation.time is not None
    conditions: list[sa.ColumnElement[bool]] = [relation.time < _bound(relation, before)]
    if after is not None:
        time = _bound(relation, after.time)
        if after.inclusive:
            conditions.append(relation.time >= time)
        elif relation.number is None or after.number is None:
            conditions.append(relation.time > time)
        else:
            conditions.append(relation.time >= time)  # alone it is a range for an index
            conditions.append(sa.or_(relation.time > time, relation.number > _driven(after.number)))
    return _selected(relation).where(*conditions).order_by(*relation.positions).limit(limit)


def numbered(
    relation: Relation, low: int | None, high: int | None = None, limit: int | None = None
) -> sa.Select[Any]:
    """Rows with a number above `low` and up to `high`, in order, `limit` at most."""
    assert relation.number is not None
    conditions: list[sa.ColumnElement[bool]] = [relation.number.is_not(None)]
    if low is not None:
        conditions = [relation.number > _driven(low)]
    if high is not None:
        conditions.append(relation.number <= _driven(high))
    return _selected(relation).where(*conditions).order_by(relation.number).limit(limit)


def highest(relation: Relation) -> sa.Select[Any]:
    """The highest number."""
    assert relation.number is not None
    return sa.select(sa.func.max(relation.number)).select_from(relation.clause)


def keyed(relation: Relation, key: Mapping[str, Any], dialect: str) -> sa.Select[Any]:
    """The row whose columns hold these values; of a time, all within its millisecond."""
    return _selected(relation).where(
        *(_holds(relation.clause.c[name], value, dialect) for name, value in key.items())
    )


def unplaced(relation: Relation) -> sa.Select[Any]:
    """One row that is never read, because what it is read by is null."""
    return (
        sa.select(sa.literal_column("1"))
        .select_from(relation.clause)
        .where(sa.or_(*(column.is_(None) for column in relation.positions)))
        .limit(1)
    )


def counted(relation: Relation) -> sa.Select[Any]:
    """How many rows there are."""
    return sa.select(sa.func.count()).select_from(relation.clause)


def _selected(relation: Relation) -> sa.Select[Any]:
    positions = [
        column.label(f"mtrigger_position_{index}") for index, column in enumerate(relation.positions)
    ]
    return sa.select(*positions, *relation.whole).select_from(relation.clause)


def _holds(column: sa.ColumnElement[Any], value: Any, dialect: str) -> sa.ColumnElement[bool]:
    if value is None:
        return column.is_(None)
    if isinstance(value, datetime) and dialect == "sqlite":
        return first_time([column], dialect) == _driven(value.isoformat(" ", "milliseconds"))
    if isinstance(value, datetime):
        return sa.and_(column >= _driven(value), column < _driven(value + _BSON_TIME))
    return column == _driven(value)


def _bound(relation: Relation, time: Any) -> sa.BindParameter[Any]:
    """No type of SQLAlchemy's: the driver's own fits the column, so that its index can be used."""
    return sa.bindparam(None, time, type_=relation.time_type, unique=True)


def _driven(value: Any) -> sa.BindParameter[Any]:
    """A value as the driver takes it."""
    return sa.bindparam(None, value, type_=_OF_THE_DRIVER, unique=True)
