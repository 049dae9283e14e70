"""Rows of a PostgreSQL table into a collection: `mtrigger source run --once` against the loop everybody
writes (`benchmarks.copying`), each a process of its own from its start to its end; and how much memory it
takes.

The whole is a million rows: `--events 1_000_000`. Without a PostgreSQL there are no rows in the table.

    [MTRIGGER_BENCH_SQL=URL] python -m benchmarks.sources [--events N] [--rounds N] [--json] [--uri URI]
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from pymongo import MongoClient
from sqlalchemy.exc import OperationalError

from benchmarks.command import Sizes, run
from benchmarks.history import DATABASE, Document, mongod
from benchmarks.rounds import take_turns, tell
from benchmarks.table import Row, compared

ROWS = 100_000
MOST_MORE = 15
"""MB that ten times as many rows may take more."""

SQL_URL = os.environ.get("MTRIGGER_BENCH_SQL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")

_SOURCE = """\
from:
  sql: {url}
  table: {table}
  mode: timestamp+incrementing
  timestamp: updated_at
  incrementing: order_id
into:
  collection: {into}
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of `rows` orders, and the MongoDB that they are to be in."""

    name: str
    rows: int
    uri: str

    @property
    def into(self) -> str:
        """The collection they go to."""
        return f"{DATABASE}.orders"


@contextmanager
def table_of(rows: int, uri: str) -> Iterator[Table]:
    """A table of its own, dropped afterwards."""
    name, engine = f"mtrigger_bench_{os.getpid()}_{rows}", sa.create_engine(SQL_URL)
    columns = (
        "n AS order_id, 'C-' || (n % 1000) AS customer, (n % 10000)::numeric(12, 2) AS amount, "
        "'what is said about the order ' || n AS note, "
        "TIMESTAMP '2026-01-01' + n * INTERVAL '1 millisecond' AS updated_at"
    )
    made = (
        f"CREATE TABLE {name} AS SELECT {columns} FROM generate_series(1, {rows}) n",
        f"ALTER TABLE {name} ADD PRIMARY KEY (order_id)",
        f"CREATE INDEX ON {name} (updated_at, order_id)",
        f"ANALYZE {name}",
    )
    try:
        with engine.begin() as connection:
            for statement in made:
                connection.execute(sa.text(statement))
        yield Table(name, rows, uri)
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
        engine.dispose()


class Copying:
    """Copies tables, and notes the most memory that each kind of process has taken, in MB."""

    def __init__(self) -> None:
        self.most: dict[int, float] = {}

    def with_source(self, table: Table) -> float:
        """Rows a second of `mtrigger source run --once`."""
        with tempfile.TemporaryDirectory(prefix="mtrigger-bench-") as folder:
            source = Path(folder) / "orders.yaml"
            source.write_text(_SOURCE.format(url=SQL_URL, table=table.name, into=table.into))
            command = (
                "mtrigger",
                "source",
                "run",
                "--once",
                "--sources",
                str(source),
                "--log-level",
                "error",
            )
            state = f"{DATABASE}_state_{table.rows}"
            rate, most = _copied(
                table,
                (sys.executable, "-m", *command),
                {"MTRIGGER_URI": table.uri, "MTRIGGER_STATE_DB": state},
            )
            with MongoClient[Document](table.uri) as client:
                client.drop_database(state)
        self.most[table.rows] = max(self.most.get(table.rows, 0.0), most)
        return rate

    def with_loop(self, table: Table) -> float:
        """Rows a second of the loop."""
        command = ("benchmarks.copying", SQL_URL, table.name, table.uri, table.into)
        rate, _ = _copied(table, (sys.executable, "-m", *command), {})
        return rate


def _copied(table: Table, command: tuple[str, ...], environment: dict[str, str]) -> tuple[float, float]:
    """Rows a second, and the most memory in MB, of a process that copies the table."""
    database, _, collection = table.into.partition(".")
    with MongoClient[Document](table.uri) as client:
        client[database][collection].drop()
        began = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{command} ended with {process.returncode}"
        found = client[database][collection].count_documents({})
        assert found == table.rows, f"{found:,} of {table.rows:,} rows are there"
    return table.rows / took, _megabytes(usage)


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure(sizes: Sizes) -> Iterator[Row]:
    """Two rows."""
    count = sizes.of(ROWS)
    try:
        sa.create_engine(SQL_URL).connect().close()
    except OperationalError:
        tell("sources: no PostgreSQL to read from (MTRIGGER_BENCH_SQL names one): left out")
        return
    copying = Copying()
    with mongod(sizes.uri) as uri:
        with table_of(count, uri) as table:
            sides = {
                "mtrigger source": partial(copying.with_source, table),
                "SQLAlchemy + bulk_write": partial(copying.with_loop, table),
            }
            ours, limit = take_turns("rows", sides, sizes.rounds).values()
        with table_of(max(1, count // 10), uri) as small:
            copying.with_source(small)
    name = f"{count:,} rows of PostgreSQL into a collection"
    yield compared(name, "SQLAlchemy + bulk_write", ours, limit, at_least=0.8, unit="rows/s")
    most, before = copying.most[count], copying.most[small.rows]
    tell(f"sources: {before:.0f} MB at most for {small.rows:,} rows, {most:.0f} MB for {count:,}")
    wanted = f"+ {MOST_MORE} MB at most"
    yield Row(
        f"memory for {count:,} rows against {small.rows:,}",
        "",
        "MB",
        most - before,
        None,
        None,
        wanted,
        most - before <= MOST_MORE,
    )


if __name__ == "__main__":
    run(measure, "Rows of a PostgreSQL table into a collection.")
