"""Relational databases for tests: SQLite in a file, PostgreSQL and MariaDB on their usual loopback ports.

A test that needs a server is skipped where there is none, and fails in CI, where there has to be one. Each
test has a table with a name of its own, dropped afterwards.
"""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
MARIADB = "mysql+pymysql://root@127.0.0.1:3306/test"

_TIME = {"sqlite": "TIMESTAMP", "postgresql": "TIMESTAMP", "mariadb": "DATETIME"}
LONG_AGO = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - the columns have no zone

KINDS = ("sqlite", "postgresql", "mariadb")


@dataclass(frozen=True)
class OrdersTable:
    """A table of orders: `order_id` (the primary key), `customer`, `amount` (NUMERIC), `updated_at`."""

    url: str
    name: str
    engine: sa.Engine

    @classmethod
    @contextmanager
    def on(cls, kind: str, folder: Path) -> Iterator["OrdersTable"]:
        """An empty one on a database of this kind."""
        urls = {"sqlite": f"sqlite:///{folder / 'soe.db'}", "postgresql": POSTGRESQL, "mariadb": MARIADB}
        engine = sa.create_engine(urls[kind])
        table = cls(urls[kind], f"orders_{uuid.uuid4().hex[:12]}", engine)
        try:
            connected_or_skip(engine, kind)
            table.run(
                f"CREATE TABLE {table.name} (order_id INTEGER PRIMARY KEY, customer VARCHAR(100), "
                f"amount NUMERIC(20, 2), updated_at {_TIME[kind]})"
            )
            try:
                yield table
            finally:
                table.run(f"DROP TABLE IF EXISTS {table.name}")
        finally:
            engine.dispose()

    def run(self, statement: str, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        """Carry out a statement in a transaction of its own; once for each of `rows` where there are any."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), list(rows) or None)

    def insert(self, numbers: range, amount: int = 1, at: datetime = LONG_AGO) -> None:
        """Orders with these numbers, last changed `at`."""
        self.run(
            f"INSERT INTO {self.name} (order_id, customer, amount, updated_at) "
            f"VALUES (:order_id, :customer, :amount, :at)",
            [{"order_id": n, "customer": f"c{n}", "amount": amount, "at": at} for n in numbers],
        )


def connected_or_skip(engine: sa.Engine, kind: str) -> None:
    """Skip the test unless the database answers."""
    try:
        with engine.connect():
            return
    except OperationalError as error:
        reason = f"no {kind} on its loopback port: {error}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
