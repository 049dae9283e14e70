"""Tables as sources read them, on SQLite, PostgreSQL and MariaDB: every row, in every mode, whatever happens
between two pages."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from bson.decimal128 import Decimal128
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtrigger.errors import ConnectionLostError, SourceError
from mtrigger.sources import table_reading
from mtrigger.sources.database import Database
from mtrigger.sources.definition import Destination, Mode, Query, Source
from mtrigger.sources.pages import Page, Place, RejectedRow, Row, key_text
from mtrigger.sources.sql_tables import SqlTables, open_tables
from support.polling import eventually
from support.sql_servers import KINDS, LONG_AGO, OrdersTable

BERLIN = ZoneInfo("Europe/Berlin")
SERVERS = ("postgresql", "mariadb")
GROWING: Sequence[Mode] = ("incrementing", "timestamp", "timestamp+incrementing")


@pytest.fixture(params=KINDS)
def orders(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OrdersTable]:
    """An empty table of orders on each database."""
    with OrdersTable.on(request.param, tmp_path) as table:
        yield table


@pytest.fixture
def postgresql_orders(tmp_path: Path) -> Iterator[OrdersTable]:
    """An empty table of orders on PostgreSQL."""
    with OrdersTable.on("postgresql", tmp_path) as table:
        yield table


def source_of(table: OrdersTable, mode: Mode = "bulk", key: tuple[str, ...] = (), **changes: Any) -> Source:
    """A source that reads the table, by its columns for the mode, without waiting for anything."""
    asked: dict[str, Any] = {
        "tables": () if "query" in changes else (table.name,),
        "incrementing": "order_id" if "incrementing" in mode else "",
        "timestamps": ("updated_at",) if "timestamp" in mode else (),
        "delay": 0.0,
        "batch": 4,
    }
    return Source(
        "orders", Query(table.url, mode=mode, **(asked | changes)), Destination(collection="a.b", key=key)
    )


@contextmanager
def opened(source: Source) -> Iterator[SqlTables]:
    with closing(open_tables(source)) as tables:
        yield tables


def read(tables: SqlTables, place: Place | None = None, name: str = "") -> tuple[list[Any], Place]:
    """The keys of all rows behind a place, and the place behind them."""
    rows, place = rows_of(tables, place, name)
    return [row.key for row in rows], place


def rows_of(tables: SqlTables, place: Place | None = None, name: str = "") -> tuple[list[Row], Place]:
    pages = pages_of(tables, place, name)
    return [row for page in pages for row in page.rows], pages[-1].place


def pages_of(tables: SqlTables, place: Place | None = None, name: str = "") -> list[Page]:
    pages = list(tables.pages(name or tables.names()[0], place or {}))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    return pages


@pytest.mark.parametrize("mode", GROWING)
def test_behind_a_place_there_is_only_what_is_new(orders: OrdersTable, mode: Mode) -> None:
    orders.insert(range(1, 11))
    with opened(source_of(orders, mode)) as tables:
        found, place = read(tables)
        assert sorted(found) == list(range(1, 11))
        assert read(tables, place) == ([], place)
        orders.insert(range(11, 13), at=LONG_AGO + timedelta(seconds=1))
        assert sorted(read(tables, place)[0]) == [11, 12]


@pytest.mark.parametrize("mode", ["bulk", "snapshot"])
def test_all_rows_are_read_each_time(orders: OrdersTable, mode: Mode) -> None:
    orders.insert(range(1, 9))
    with opened(source_of(orders, mode)) as tables:
        for _ in range(2):
            pages = pages_of(tables)
            assert sorted(row.key for page in pages for row in page.rows) == list(range(1, 9))
            assert [page.place for page in pages] == [{}] * 3
            assert {page.expected for page in pages} == {8} or orders.url.startswith("mysql")


def test_a_row_that_was_changed_is_read_again(orders: OrdersTable) -> None:
    orders.insert(range(1, 4))
    with opened(source_of(orders, "timestamp+incrementing")) as tables:
        first, place = rows_of(tables)
        orders.run(
            f"UPDATE {orders.name} SET amount = 5, updated_at = :at WHERE order_id = 2",
            [{"at": LONG_AGO + timedelta(seconds=1)}],
        )
        (row,), _ = rows_of(tables, place)
    assert (row.key, row.values["amount"]) == (2, Decimal128("5" if "sqlite" in orders.url else "5.00"))
    assert row.version != first[1].version == first[0].version


@pytest.mark.parametrize("mode", GROWING)
def test_reading_begins_where_the_source_says(orders: OrdersTable, mode: Mode) -> None:
    for number in range(1, 6):
        orders.insert(range(number, number + 1), at=LONG_AGO + timedelta(seconds=number))
    initial = 3 if mode == "incrementing" else LONG_AGO + timedelta(seconds=3)
    with opened(source_of(orders, mode, initial=initial)) as tables:
        assert read(tables)[0] == [3, 4, 5]


@pytest.mark.parametrize("mode", ["bulk", *GROWING])
def test_a_query_is_read_like_a_table(orders: OrdersTable, mode: Mode) -> None:
    orders.insert(range(1, 11))
    query = f"SELECT order_id AS id, updated_at, '50%:x' AS note FROM {orders.name} WHERE order_id > 2;"
    changes = {"incrementing": "id"} if "incrementing" in mode else {}
    with opened(source_of(orders, mode, ("id",), query=query, **changes)) as tables:
        assert tables.names() == ("query",)
        rows, _ = rows_of(tables)
    assert sorted(row.key for row in rows) == list(range(3, 11))
    assert rows[0].values["note"] == "50%:x"


def test_several_columns_are_one_key(orders: OrdersTable) -> None:
    orders.insert(range(1, 2))
    with opened(source_of(orders, key=("customer", "ORDER_ID"))) as tables:
        assert read(tables)[0] == [{"customer": "c1", "order_id": 1}]


def test_a_column_can_say_that_a_row_is_gone(orders: OrdersTable) -> None:
    orders.run(f"ALTER TABLE {orders.name} ADD COLUMN gone INTEGER")
    orders.insert(range(1, 4))
    orders.run(f"UPDATE {orders.name} SET gone = order_id - 2 WHERE order_id > 1")
    with opened(source_of(orders, deleted="gone")) as tables:
        rows, _ = rows_of(tables)
    assert {row.key: row.deleted for row in rows} == {1: False, 2: False, 3: True}


def test_of_two_times_the_first_that_is_not_null_counts(orders: OrdersTable) -> None:
    orders.run(f"ALTER TABLE {orders.name} ADD COLUMN made_at {orders_time(orders)}")
    orders.insert(range(1, 4))
    orders.run(f"UPDATE {orders.name} SET made_at = updated_at, updated_at = NULL WHERE order_id = 2")
    with opened(source_of(orders, "timestamp")) as tables:
        assert sorted(read(tables)[0]) == [1, 3]
        assert any("updated_at is null" in finding.text for finding in tables.findings())
    with opened(source_of(orders, "timestamp", timestamps=("updated_at", "made_at"))) as tables:
        assert sorted(read(tables)[0]) == [1, 2, 3]
        assert not any("is null" in finding.text for finding in tables.findings())


def orders_time(orders: OrdersTable) -> str:
    return "DATETIME" if orders.url.startswith("mysql") else "TIMESTAMP"


def test_a_column_that_comes_is_read_and_one_that_goes_is_not_missed(orders: OrdersTable) -> None:
    orders.insert(range(1, 2))
    with opened(source_of(orders, "incrementing")) as tables:
        _, place = rows_of(tables)
        orders.run(f"ALTER TABLE {orders.name} ADD COLUMN note VARCHAR(10) DEFAULT 'new'")
        orders.run(f"ALTER TABLE {orders.name} DROP COLUMN customer")
        orders.run(f"INSERT INTO {orders.name} (order_id, amount) VALUES (2, 1)")
        (row,), _ = rows_of(tables, place)
    assert set(row.values) == {"order_id", "amount", "updated_at", "note"}


@pytest.mark.parametrize(
    ("mode", "column"), [("incrementing", "order_id"), ("timestamp", "updated_at"), ("bulk", "customer")]
)
def test_a_column_that_is_needed_and_goes_is_named(orders: OrdersTable, mode: Mode, column: str) -> None:
    with opened(source_of(orders, mode, ("customer",))) as tables:
        read(tables)
        orders.run(f"ALTER TABLE {orders.name} RENAME COLUMN {column} TO elsewhere")
        with pytest.raises(
            SourceError, match=rf"table `{orders.name}` has no column `{column}` \(any more\)"
        ):
            read(tables)
        assert [finding.grave for finding in tables.findings()] == [True]


def test_a_table_that_goes_is_named(orders: OrdersTable) -> None:
    with opened(source_of(orders)) as tables:
        read(tables)
        orders.run(f"DROP TABLE {orders.name}")
        with pytest.raises(SourceError, match=rf"there is no table `{orders.name}`"):
            read(tables)


def test_tables_of_a_pattern_come_and_go(orders: OrdersTable) -> None:
    other = f"{orders.name}_2"
    with opened(source_of(orders, tables=(f"{orders.name.upper()}*",))) as tables:
        assert tables.names() == (orders.name,)
        orders.run(f"CREATE VIEW {other} AS SELECT * FROM {orders.name}")
        try:
            assert tables.names() == (orders.name, other)
            with pytest.raises(SourceError, match=r"no primary key: say `key:` in `into:`"):
                read(tables, name=other)
        finally:
            orders.run(f"DROP VIEW {other}")
        assert tables.names() == (orders.name,)


def test_a_source_writes_nothing(orders: OrdersTable) -> None:
    orders.insert(range(1, 2))
    with (
        closing(Database(orders.url)) as database,
        pytest.raises(SourceError, match=r"^writing: "),
        database.connected("writing") as connection,
    ):
        connection.execute(sa.text(f"DELETE FROM {orders.name}"))


def test_who_stops_in_the_middle_can_begin_again(orders: OrdersTable) -> None:
    orders.insert(range(1, 101))
    with opened(source_of(orders)) as tables:
        pages = tables.pages(orders.name, {})
        assert len(next(pages).rows) == 4
        pages.close()  # type: ignore[attr-defined]  # a generator
        assert len(read(tables)[0]) == 100


@pytest.fixture(scope="module")
def sqlite_orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrdersTable]:
    """One table for many examples."""
    with OrdersTable.on("sqlite", tmp_path_factory.mktemp("orders")) as table:
        yield table


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), mode=st.sampled_from(GROWING))
def test_every_row_is_read_whenever_it_comes(
    sqlite_orders: OrdersTable, data: st.DataObject, mode: Mode
) -> None:
    """Rows with equal times, rows that come between two readings, readings that end after any page and go on
    at its place, stretches of four rows: nothing is passed over."""
    sqlite_orders.run(f"DELETE FROM {sqlite_orders.name}")
    batch = data.draw(st.integers(1, 5), label="batch")
    number, second, seen = 0, 0, set[Any]()
    place: Place = {}
    with (
        patch.object(table_reading, "STRETCH", 4),
        opened(source_of(sqlite_orders, mode, batch=batch)) as tables,
    ):
        for _ in range(data.draw(st.integers(1, 4), label="rounds")):
            second += 1
            for _ in range(data.draw(st.integers(0, 9), label="rows")):
                number, second = number + 1, second + data.draw(st.integers(0, 1), label="later")
                sqlite_orders.insert(range(number, number + 1), at=LONG_AGO + timedelta(seconds=second))
            taken = data.draw(st.integers(1, 9), label="pages")
            for count, page in enumerate(tables.pages(sqlite_orders.name, place), start=1):
                seen |= {row.key for row in page.rows}
                place = page.place
                if count == taken:
                    break
        seen |= set(read(tables, place)[0])
    assert seen == set(range(1, number + 1))


def late(table: OrdersTable, number: int) -> str:
    return (
        f"INSERT INTO {table.name} (order_id, customer, amount, updated_at) "
        f"VALUES ({number}, 'late', 1, now() AT TIME ZONE 'UTC')"
    )


@pytest.mark.parametrize("mode", GROWING)
async def test_a_transaction_that_commits_late_is_lost_without_a_delay_and_read_with_one(
    postgresql_orders: OrdersTable, mode: Mode
) -> None:
    """The trap of polling: two transactions, and the one that began first commits last."""
    table = postgresql_orders
    with (
        opened(source_of(table, mode)) as hasty,
        opened(source_of(table, mode, delay=2.0)) as patient,
        table.engine.connect() as slow,
    ):
        slow.execute(sa.text(late(table, 1)))
        table.run(late(table, 2))
        hasty_keys, hasty_place = read(hasty)
        patient_keys, patient_place = read(patient)
        slow.commit()
        assert hasty_keys == [2]
        assert read(hasty, hasty_place)[0] == []

        def all_read() -> bool:
            nonlocal patient_place
            found, patient_place = read(patient, patient_place)
            patient_keys.extend(found)
            return set(patient_keys) == {1, 2}

        await eventually(all_read)


def test_a_connection_that_is_cut_goes_on_at_its_place(postgresql_orders: OrdersTable) -> None:
    table = postgresql_orders
    table.insert(range(1, 5001))
    source = source_of(table, "incrementing", batch=100)
    named = replace(source.query, url=f"{table.url}?application_name={table.name}")
    with opened(replace(source, query=named)) as tables:
        pages = tables.pages(table.name, {})
        seen = {row.key for row in next(pages).rows}
        place = next(pages).place
        table.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{table.name}'"
        )
        with pytest.raises(ConnectionLostError, match=f"reading `{table.name}`"):
            list(pages)
        seen |= {*range(1, int(place["number"]) + 1), *read(tables, place)[0]}
    assert seen == set(range(1, 5001))


POSTGRESQL_VALUES: dict[str, tuple[str, Any]] = {
    "NUMERIC(38, 10)": ("12345678901234567890.5", Decimal128("12345678901234567890.5000000000")),
    "DATE": ("2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)),
    "TIMESTAMP": ("2026-07-01 12:00:00.123456", datetime(2026, 7, 1, 10, 0, 0, 123456, tzinfo=UTC)),
    "TIMESTAMPTZ": ("2026-07-01 12:00:00-05", datetime(2026, 7, 1, 17, tzinfo=UTC)),
    "TIME": ("24:00", "24:00:00"),
    "INTERVAL": ("1 year 2 mons 3 days 04:05:06.5", "P1Y2M3DT4H5M6.5S"),
    "UUID": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "BYTEA": (r"\x00ff", b"\x00\xff"),
    "JSONB": ('{"a": [1, {"b": 2.5}]}', {"a": [1, {"b": 2.5}]}),
    "INTEGER[]": ("{1,2,NULL}", [1, 2, None]),
    "BOOLEAN": ("true", True),
    "BIGINT": ("9223372036854775807", 2**63 - 1),
    "INT4RANGE": ("[1,10)", "[1, 10)"),
    "INET": ("10.0.0.1/8", "10.0.0.1/8"),
    "BIT(3)": ("101", "101"),
}

POSTGRESQL_REJECTED = {
    "TIMESTAMPTZ": "infinity",
    "TIMESTAMP": "0044-03-15 BC",
    "DATE": "-infinity",
    "NUMERIC": "1" * 35,
    "DATE[]": "{infinity}",
    "JSON": r'"\ud800"',
    "JSONB": "[" * 150 + "]" * 150,
}


def test_values_of_postgresql(postgresql_orders: OrdersTable) -> None:
    table = postgresql_orders
    for index, kind in enumerate(POSTGRESQL_VALUES):
        table.run(f"ALTER TABLE {table.name} ADD COLUMN c{index} {kind}")
    values = [text for text, _ in POSTGRESQL_VALUES.values()]
    places = ", ".join(f"'{value}'" for value in values)
    table.run(f"INSERT INTO {table.name} VALUES (1, 'grün', NULL, NULL, {places})".replace(":", r"\:"))
    with opened(source_of(table, timezone=BERLIN)) as tables:
        (row,), _ = rows_of(tables)
    found = {kind: row.values[f"c{index}"] for index, kind in enumerate(POSTGRESQL_VALUES)}
    assert found == {kind: expected for kind, (_, expected) in POSTGRESQL_VALUES.items()}


def test_rows_of_postgresql_that_cannot_be_stored_are_rejected_by_themselves(
    postgresql_orders: OrdersTable,
) -> None:
    table = postgresql_orders
    table.insert(range(1, len(POSTGRESQL_REJECTED) + 2))
    for index, (kind, text) in enumerate(POSTGRESQL_REJECTED.items(), start=1):
        table.run(f"ALTER TABLE {table.name} ADD COLUMN c{index} {kind}")
        table.run(f"UPDATE {table.name} SET c{index} = :text WHERE order_id = {index}", [{"text": text}])
    with opened(source_of(table, batch=100)) as tables:
        (page,) = pages_of(tables)
        assert [row.key for row in page.rows] == [len(POSTGRESQL_REJECTED) + 1]
        assert sorted(row.why.partition(":")[0] for row in page.rejected) == [
            f"column `c{index}`" for index in range(1, len(POSTGRESQL_REJECTED) + 1)
        ]
        rejected = next(row for row in page.rejected if "`c1`" in row.why)
        assert tables.row(table.name, rejected.key) == rejected
        table.run(f"UPDATE {table.name} SET c1 = NULL")
        mended = tables.row(table.name, rejected.key)
        assert isinstance(mended, Row)
        assert mended.key == 1
        table.run(f"DELETE FROM {table.name} WHERE order_id = 1")
        assert tables.row(table.name, rejected.key) is None


MARIADB_VALUES: dict[str, tuple[str, Any]] = {
    "DECIMAL(38, 10)": ("12345678901234567890.5", Decimal128("12345678901234567890.5000000000")),
    "DATE": ("2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)),
    "DATETIME(6)": ("2026-07-01 12:00:00.123456", datetime(2026, 7, 1, 10, 0, 0, 123456, tzinfo=UTC)),
    "TIMESTAMP(3) NULL": ("2026-07-01 12:00:00.123", datetime(2026, 7, 1, 17, 0, 0, 123000, tzinfo=UTC)),
    "TIME": ("-100:00:01", "-100:00:01"),
    "BIGINT UNSIGNED": ("18446744073709551615", Decimal128("18446744073709551615")),
    "BIT(1)": ("1", True),
    "TINYINT(1)": ("1", 1),
    "YEAR": ("2026", 2026),
    "ENUM('new', 'old')": ("old", "old"),
    "BLOB": ("abc", b"abc"),
    "TEXT": ("grün", "grün"),
}


def test_values_of_mariadb(tmp_path: Path) -> None:
    """A TIMESTAMP is a moment, here written five hours west of Greenwich; a DATETIME is in the source's
    zone."""
    with OrdersTable.on("mariadb", tmp_path) as table:
        for index, kind in enumerate(MARIADB_VALUES):
            table.run(f"ALTER TABLE {table.name} ADD COLUMN c{index} {kind}")
        places = ", ".join(
            text if kind.startswith("BIT") else f"'{text}'" for kind, (text, _) in MARIADB_VALUES.items()
        ).replace(":", r"\:")
        with table.engine.begin() as connection:
            connection.execute(sa.text(r"SET time_zone = '-05\:00'"))
            connection.execute(sa.text(f"INSERT INTO {table.name} VALUES (1, 'c', NULL, NULL, {places})"))
            connection.execute(sa.text("SET time_zone = DEFAULT"))
        with opened(source_of(table, timezone=BERLIN)) as tables:
            (row,), _ = rows_of(tables)
    found = {kind: row.values[f"c{index}"] for index, kind in enumerate(MARIADB_VALUES)}
    assert found == {kind: expected for kind, (_, expected) in MARIADB_VALUES.items()}


def test_a_zero_date_of_mariadb_rejects_its_row(tmp_path: Path) -> None:
    with OrdersTable.on("mariadb", tmp_path) as table:
        table.run(f"ALTER TABLE {table.name} ADD COLUMN day DATE")
        table.insert(range(1, 3))
        with table.engine.begin() as connection:
            connection.execute(sa.text("SET sql_mode = ''"))
            connection.execute(sa.text(f"UPDATE {table.name} SET day = '0000-00-00' WHERE order_id = 1"))
            connection.execute(sa.text("SET sql_mode = DEFAULT"))
        with opened(source_of(table)) as tables:
            (page,) = pages_of(tables)
        (rejected,) = page.rejected
    assert [row.key for row in page.rows] == [2]
    assert rejected == RejectedRow(rejected.key, rejected.values, "column `day`: '0000-00-00' is not a day")


SQLITE_VALUES: dict[str, tuple[Any, Any]] = {
    "TIMESTAMP": ("2026-07-01 12:00:00.5", datetime(2026, 7, 1, 10, 0, 0, 500000, tzinfo=UTC)),
    "DATETIME": ("2026-07-01T12:00:00Z", datetime(2026, 7, 1, 12, tzinfo=UTC)),
    "DATE": ("2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)),
    "DECIMAL(10, 2)": (12.5, Decimal128("12.5")),
    "BOOLEAN": (1, True),
    "JSON": ('{"a": [1]}', {"a": [1]}),
    "BLOB": (b"abc", b"abc"),
    "TEXT": ("2026-07-01", "2026-07-01"),
}


def test_values_of_sqlite_are_what_their_columns_were_declared_as(tmp_path: Path) -> None:
    with OrdersTable.on("sqlite", tmp_path) as table:
        table.insert(range(1, 4))
        for index, (kind, (value, _)) in enumerate(SQLITE_VALUES.items()):
            table.run(f"ALTER TABLE {table.name} ADD COLUMN c{index} {kind}")
            table.run(f"UPDATE {table.name} SET c{index} = :value WHERE order_id = 1", [{"value": value}])
        table.run(f"UPDATE {table.name} SET c0 = 'soon' WHERE order_id = 2")
        table.run(f"UPDATE {table.name} SET customer = CAST(X'FF' AS TEXT) WHERE order_id = 3")
        with opened(source_of(table, timezone=BERLIN)) as tables:
            (page,) = pages_of(tables)
    found = {kind: page.rows[0].values[f"c{index}"] for index, kind in enumerate(SQLITE_VALUES)}
    assert found == {kind: expected for kind, (_, expected) in SQLITE_VALUES.items()}
    assert [row.why.partition(":")[0] for row in page.rejected] == ["column `c0`", "column `customer`"]


def test_times_of_sqlite_may_be_written_in_several_ways(tmp_path: Path) -> None:
    """They are read in the order of time, not of letters."""
    with OrdersTable.on("sqlite", tmp_path) as table:
        table.insert(range(1, 5))
        for number, time in ((1, "2026-01-01T10:00:00Z"), (2, "2026-01-01 09:00"), (3, 1767259800)):
            table.run(f"UPDATE {table.name} SET updated_at = :at WHERE order_id = {number}", [{"at": time}])
        with opened(source_of(table, "timestamp", batch=1)) as tables:
            assert read(tables)[0] == [2, 3, 1, 4]


def test_a_row_whose_time_is_before_all_times_is_rejected(postgresql_orders: OrdersTable) -> None:
    """It could be read by no place. One that is later than all times is not read, like any time to come."""
    table = postgresql_orders
    table.insert(range(1, 4))
    for number, time in ((1, "-infinity"), (2, "infinity")):
        table.run(f"UPDATE {table.name} SET updated_at = '{time}' WHERE order_id = {number}")
    with opened(source_of(table, "timestamp+incrementing")) as tables:
        (page,) = pages_of(tables)
        assert [row.key for row in page.rows] == [3]
        assert [row.why for row in page.rejected] == ["column `updated_at`: '-infinity' is not a time"]
        assert read(tables, page.place)[0] == []


def test_a_row_is_found_again_by_a_key_of_several_columns(postgresql_orders: OrdersTable) -> None:
    table = postgresql_orders
    table.insert(range(1, 3))
    for mode in ("bulk", "timestamp+incrementing"):
        key = ("order_id", "updated_at", "amount")
        with opened(source_of(table, mode, key, timezone=BERLIN)) as tables:
            rows, _ = rows_of(tables)
            assert [tables.row(table.name, key_text(row.key)) for row in rows] == rows


@pytest.mark.parametrize("kind", SERVERS)
def test_a_row_is_found_again_by_a_time_of_which_bson_knows_only_the_millisecond(
    kind: str, tmp_path: Path
) -> None:
    with OrdersTable.on(kind, tmp_path) as table:
        table.run(f"ALTER TABLE {table.name} ADD made TIMESTAMP(6)")
        table.run(
            f"INSERT INTO {table.name} (order_id, made) VALUES (1, '2026-01-01 00:00:00.123456'), "
            "(2, '2026-01-01 00:00:00.124')"
        )
        with opened(source_of(table, key=("made",))) as tables:
            rows, _ = rows_of(tables)
            found = [tables.row(table.name, key_text(row.key)) for row in rows]
    assert [row.values["order_id"] for row in found if isinstance(row, Row)] == [1, 2]


def test_sqlite_finds_a_row_again_by_a_decimal_and_a_time(tmp_path: Path) -> None:
    """Its driver binds neither as they are stored."""
    with OrdersTable.on("sqlite", tmp_path) as table:
        table.run(f"CREATE TABLE {table.name}_more (price NUMERIC, made DATETIME, PRIMARY KEY (price, made))")
        table.run(f"INSERT INTO {table.name}_more VALUES (1.25, '2026-01-01T00:00'), (2, '2026-01-01')")
        source = source_of(table, tables=(f"{table.name}_more",), timezone=BERLIN)
        with opened(source) as tables:
            rows = [row for page in tables.pages(f"{table.name}_more", {}) for row in page.rows]
            found = [tables.row(f"{table.name}_more", key_text(row.key)) for row in rows]
    assert len(rows) == 2
    assert found == rows


def test_times_without_a_zone_are_compared_in_the_zone_of_the_source(postgresql_orders: OrdersTable) -> None:
    """A row of this moment in Berlin waits for the delay there, not for two hours more or less."""
    table = postgresql_orders
    table.run(f"INSERT INTO {table.name} (order_id, updated_at) SELECT 1, now() AT TIME ZONE 'Europe/Berlin'")
    with opened(source_of(table, "timestamp", timezone=BERLIN)) as tables:
        assert read(tables)[0] == [1]
    with opened(source_of(table, "timestamp", timezone=BERLIN, delay=60.0)) as tables:
        assert read(tables)[0] == []
    with opened(source_of(table, "timestamp", timezone=ZoneInfo("America/New_York"))) as tables:
        assert read(tables)[0] == []  # it would be a time to come


def test_names_in_capital_letters_and_with_dots(postgresql_orders: OrdersTable) -> None:
    schema = f"s{uuid.uuid4().hex[:12]}"
    postgresql_orders.run(f"CREATE SCHEMA {schema}")
    try:
        postgresql_orders.run(f'CREATE TABLE {schema}."Orders" ("Id" INT PRIMARY KEY, "a.b" INT, "$c" INT)')
        postgresql_orders.run(f'INSERT INTO {schema}."Orders" VALUES (1, 2, 3)')
        for text in (f"{schema}.Orders", f"{schema}.ORDERS", f"{schema[:8]}*.ord*"):
            source = source_of(postgresql_orders, "incrementing", tables=(text,), incrementing="ID")
            with opened(source) as tables:
                (row,), _ = rows_of(tables)
            assert row == Row(1, {"Id": 1, "a_b": 2, "_c": 3}, "1")
    finally:
        postgresql_orders.run(f"DROP SCHEMA {schema} CASCADE")


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ("day DATE", "is a day without a time"),
        ("day TEXT", "is no time"),
    ],
)
def test_what_is_no_time_is_not_read_by(postgresql_orders: OrdersTable, columns: str, what: str) -> None:
    postgresql_orders.run(f"ALTER TABLE {postgresql_orders.name} ADD COLUMN {columns}")
    with (
        opened(source_of(postgresql_orders, "timestamp", timestamps=("day",))) as tables,
        pytest.raises(SourceError, match=f"column `day` of table `{postgresql_orders.name}` {what}"),
    ):
        read(tables)


def test_a_number_that_is_none_is_told(postgresql_orders: OrdersTable) -> None:
    postgresql_orders.insert(range(1, 2))
    with (
        opened(source_of(postgresql_orders, "incrementing", incrementing="customer")) as tables,
        pytest.raises(SourceError, match="needs a column of whole numbers"),
    ):
        read(tables)
