"""What differs between the databases that sources read.

Promise: a session never writes, tells times in a zone that is known, and is given up when the other side has
gone silent. Whatever is asked of a database in its own SQL stands here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtrigger.sources.values import Kind


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of database.

    `clock` selects its time in UTC, without a zone. `kind` tells what a column holds by the type code of the
    driver. `arguments` are for the driver's `connect`, `session` is said to every new connection. `estimate`
    selects about how many rows the table `:name` in `:schema` (None: the default) has: null or no row where
    nobody knows, -1 where they have to be counted; "" where that is always so. `system_schemas` are of no
    source unless it names them. `text_times`: times are stored as texts, so they are compared as texts of
    one form.
    """

    name: str
    driver: str
    package: str
    clock: str
    kind: Callable[[Any], Kind]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    session: tuple[str, ...] = ()
    estimate: str = ""
    system_schemas: frozenset[str] = frozenset()
    text_times: bool = False


_POSTGRESQL_KINDS: Mapping[Any, Kind] = {1082: "day", 1114: "local time", 1184: "zoned time"}

_MYSQL_KINDS: Mapping[Any, Kind] = {
    7: "utc time",  # TIMESTAMP, told in the zone of the session
    10: "day",
    11: "clock",
    12: "local time",  # DATETIME
    16: "bits",
    245: "json",
}

_ORACLE_KINDS: Mapping[Any, Kind] = {
    "DB_TYPE_DATE": "local time",  # with hours, minutes and seconds, in spite of its name
    "DB_TYPE_TIMESTAMP": "local time",
    "DB_TYPE_TIMESTAMP_LTZ": "utc time",
    "DB_TYPE_TIMESTAMP_TZ": "unknown time",
}


def _postgresql_kind(code: Any) -> Kind:
    return _POSTGRESQL_KINDS.get(code, "")


def _mysql_kind(code: Any) -> Kind:
    return _MYSQL_KINDS.get(code, "")


def _oracle_kind(code: Any) -> Kind:
    return _ORACLE_KINDS.get(getattr(code, "name", ""), "")


def _sqlite_kind(code: Any) -> Kind:
    """Of a column's declared type, since a result tells none."""
    declared = str(code or "").upper()
    for part, kind in _SQLITE_KINDS:
        if part in declared:
            return kind
    return ""


_SQLITE_KINDS: tuple[tuple[str, Kind], ...] = (
    ("DATETIME", "local time"),
    ("TIMESTAMP", "local time"),
    ("DATE", "day"),
    ("BOOL", "truth"),
    ("NUMERIC", "number"),
    ("DECIMAL", "number"),
    ("JSON", "json"),
)

_MYSQL = Dialect(
    name="mysql",
    driver="pymysql",
    package="PyMySQL",
    clock="SELECT UTC_TIMESTAMP(6)",
    kind=_mysql_kind,
    arguments={"connect_timeout": 10, "read_timeout": 900, "write_timeout": 60},
    session=(
        "SET time_zone = '+00:00'",
        "SET SESSION TRANSACTION READ ONLY",
        "SET SESSION net_write_timeout = 600",  # a page may wait a while before it is taken
    ),
    estimate=(
        "SELECT table_rows FROM information_schema.tables "
        "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
    ),
    system_schemas=frozenset({"information_schema", "mysql", "performance_schema", "sys"}),
)

DIALECTS: Mapping[str, Dialect] = {
    "postgresql": Dialect(
        name="postgresql",
        driver="psycopg",
        package="psycopg[binary]",
        clock="SELECT clock_timestamp() AT TIME ZONE 'UTC'",
        kind=_postgresql_kind,
        arguments={
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "mtrigger",
        },
        session=(
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET intervalstyle = 'iso_8601'",
            "SET datestyle = 'ISO'",
        ),
        estimate=(
            "SELECT CASE WHEN c.reltuples > 0 THEN CAST(c.reltuples AS bigint) ELSE -1 END "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = COALESCE(CAST(:schema AS text), current_schema()) AND c.relname = :name "
            "AND c.relkind IN ('r', 'p', 'm', 'f')"
        ),
        system_schemas=frozenset({"information_schema", "pg_catalog", "pg_toast"}),
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": Dialect(
        name="sqlite",
        driver="pysqlite",
        package="",
        clock="SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
        kind=_sqlite_kind,
        session=("PRAGMA query_only = ON",),
        text_times=True,
    ),
    "oracle": Dialect(
        name="oracle",
        driver="oracledb",
        package="oracledb",
        clock="SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) FROM DUAL",
        kind=_oracle_kind,
        arguments={"tcp_connect_timeout": 10, "expire_time": 1},
        session=("ALTER SESSION SET TIME_ZONE = '+00:00'",),
        estimate=(
            "SELECT num_rows FROM all_tables "
            "WHERE owner = COALESCE(UPPER(:schema), SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')) "
            "AND table_name = UPPER(:name)"
        ),
        system_schemas=frozenset({"sys", "system", "outln", "xdb", "ctxsys", "mdsys", "wmsys", "dbsnmp"}),
    ),
}
"""By the name that stands first in an address."""
