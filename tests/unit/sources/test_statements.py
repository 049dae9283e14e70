"""The statements of every mode, as each database gets them."""

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from mtrigger.sources.statements import (
    After,
    Relation,
    everything,
    first_time,
    highest,
    keyed,
    newer,
    numbered,
    of_query,
    of_table,
    unplaced,
    whole_of,
)

DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "sqlite": "sqlite+pysqlite",
    "oracle": "oracle+oracledb",
}

T1, T2 = datetime(2026, 1, 1), datetime(2026, 2, 1)  # noqa: DTZ001 - as the columns are


def orders(dialect: str, *times: str) -> Relation:
    clause = of_table("orders", "soe", ["order_id", "updated_at", "Made"])
    time = first_time([clause.c[name] for name in times], dialect) if times else None
    return Relation(clause, whole_of(clause), time, clause.c.order_id)


def spoken(dialect: str) -> sa.Dialect:
    return sa.make_url(f"{DRIVERS[dialect]}://").get_dialect()()


def sql(statement: sa.Select[Any], dialect: str) -> str:
    return " ".join(str(statement.compile(dialect=spoken(dialect))).split())


BEHIND_A_PLACE = {
    "postgresql": "SELECT t.updated_at AS mtrigger_position_0, t.order_id AS mtrigger_position_1, t.* "
    "FROM soe.orders AS t WHERE t.updated_at < %(param_1)s AND t.updated_at >= %(param_2)s "
    "AND (t.updated_at > %(param_2)s OR t.order_id > %(param_3)s) "
    "ORDER BY t.updated_at, t.order_id LIMIT %(param_4)s::INTEGER",
    "mysql": "SELECT t.updated_at AS mtrigger_position_0, t.order_id AS mtrigger_position_1, t.* "
    "FROM soe.orders AS t WHERE t.updated_at < %s AND t.updated_at >= %s "
    "AND (t.updated_at > %s OR t.order_id > %s) ORDER BY t.updated_at, t.order_id LIMIT %s",
    "oracle": "SELECT t.updated_at AS mtrigger_position_0, t.order_id AS mtrigger_position_1, t.* "
    "FROM soe.orders t WHERE t.updated_at < :param_1 AND t.updated_at >= :param_2 "
    "AND (t.updated_at > :param_2 OR t.order_id > :param_3) ORDER BY t.updated_at, t.order_id "
    "FETCH FIRST __[POSTCOMPILE_param_4] ROWS ONLY",
}


@pytest.mark.parametrize("dialect", sorted(BEHIND_A_PLACE))
def test_behind_a_time_and_a_number_rows_are_found_by_comparing_both(dialect: str) -> None:
    """With a range of the time alone, which an index can serve."""
    statement = newer(orders(dialect, "updated_at"), After(T1, 7), T2, 100)
    assert sql(statement, dialect) == BEHIND_A_PLACE[dialect]


@pytest.mark.parametrize("dialect", sorted(DRIVERS))
def test_every_statement_can_be_said_in_every_dialect(dialect: str) -> None:
    relation = orders(dialect, "updated_at", "Made")
    for statement in (
        everything(relation),
        newer(relation, None, T2, None),
        newer(relation, After(T1, inclusive=True), T2, 10),
        numbered(relation, None),
        numbered(relation, 5, 9, 10),
        highest(relation),
        keyed(relation, {"order_id": 5, "Made": None}, dialect),
        keyed(relation, {"Made": T1}, dialect),
        unplaced(relation),
    ):
        text = sql(statement, dialect)
        assert "soe.orders" in text
        assert "Made" not in text.replace('"Made"', "").replace("`Made`", "")  # quoted wherever it stands


def test_of_several_times_the_first_that_is_not_null_counts() -> None:
    relation = orders("postgresql", "updated_at", "Made")
    assert 'coalesce(t.updated_at, t."Made") < %(param_1)s' in sql(
        newer(relation, None, T2, None), "postgresql"
    )


def test_times_of_sqlite_are_compared_in_one_form() -> None:
    """Texts as they were written would not sort: `2026-01-01T10:00` and `2026-01-01 10:00:00.5`."""
    text = sql(newer(orders("sqlite", "updated_at"), None, T2, None), "sqlite")
    assert "strftime" in text.partition(" WHERE ")[0]
    assert "strftime" in text.partition(" ORDER BY ")[2]


@pytest.mark.parametrize(
    ("low", "high", "condition"),
    [
        (None, None, "t.order_id IS NOT NULL"),
        (5, None, "t.order_id > %s"),
        (5, 9, "t.order_id > %s AND t.order_id <= %s"),
        (None, 9, "t.order_id IS NOT NULL AND t.order_id <= %s"),
    ],
)
def test_a_stretch_of_numbers_has_two_ends(low: int | None, high: int | None, condition: str) -> None:
    text = sql(numbered(orders("mysql"), low, high), "mysql")
    assert text.partition(" WHERE ")[2] == f"{condition} ORDER BY t.order_id"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, to_char(made, 'HH24:MI:SS') AS at FROM a",
        "SELECT id::text AS id FROM a WHERE b LIKE '10%'",
        "SELECT id FROM a WHERE b = ':name' -- and a remark",
        "WITH x AS (SELECT 1 AS id) SELECT id FROM x",
    ],
)
def test_a_query_is_read_from_as_it_was_written(query: str) -> None:
    clause = of_query(query + " ;\n", ["id"])
    statement = numbered(Relation(clause, whole_of(clause), number=clause.c.id), 5)
    assert sql(statement, "sqlite") == (
        f"SELECT t.id AS mtrigger_position_0, t.* FROM ({query} ) AS t WHERE t.id > ? ORDER BY t.id"
    )
    compiled = statement.compile(dialect=spoken("sqlite"))
    assert list(compiled.params.values()) == [5]


def test_oracles_times_with_a_zone_are_told_in_utc() -> None:
    clause = of_table("orders", "soe", ["order_id", "seen"])
    text = sql(everything(Relation(clause, whole_of(clause, in_utc=["seen"]))), "oracle")
    assert text == "SELECT t.order_id, sys_extract_utc(t.seen) AS seen FROM soe.orders t"
