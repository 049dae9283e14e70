"""The story of the big orders: a shop that keeps its orders in PostgreSQL, and what must come of them."""

import asyncio
import os
import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, OperationalError
from stage import MTRIGGER, Check, Stage, Story

from mtrigger.errors import SettingsError

HERE = Path(__file__).parent
LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"
OURS = "made by the example big-orders"
"""The comment on the schema `soe` when it is ours to drop."""

BIG = 10_000
CUSTOMERS = ("C-1007", "C-1042", "C-1066", "C-1101", "C-1120")
STATES = ("paid", "shipped")


class OrdersTable:
    """soe.orders, as the old shop writes it."""

    def __init__(self, url: str) -> None:
        try:
            driver = sa.make_url(url).get_backend_name()
        except ArgumentError:
            driver = ""
        if driver != "postgresql":
            raise SettingsError("SOE_URL must be postgresql://user:password@host:5432/database")
        self._engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))

    def make(self) -> None:
        """Make the schema anew. Raises SettingsError when there is no server, or somebody else's schema."""
        try:
            with self._engine.connect():
                pass
        except OperationalError as error:
            first = str(error.orig).strip().splitlines()[0]
            raise SettingsError(
                f"This example needs a PostgreSQL, and there is none: {first}\n"
                "Start one:\n"
                "    docker run --rm -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres\n"
                "or say where yours is:\n"
                "    SOE_URL=postgresql://user:password@host:5432/database make big-orders\n"
                "A schema `soe` is made there, and dropped at the end."
            ) from error
        if self._is_there():
            self.drop()
        with self._engine.begin() as connection:
            connection.exec_driver_sql((HERE / "schema.sql").read_text())

    def drop(self) -> None:
        """Drop the schema."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA soe CASCADE")
        self._engine.dispose()

    def place(self, customer: str, amount: Decimal) -> int:
        """A new order; returns its number."""
        insert = "INSERT INTO soe.orders (customer, amount) VALUES (:customer, :amount) RETURNING order_id"
        with self._engine.begin() as connection:
            return int(connection.scalar(sa.text(insert), {"customer": customer, "amount": amount}) or 0)

    def move_on(self, order: int, status: str) -> None:
        """An order is paid, or shipped."""
        update = "UPDATE soe.orders SET status = :status WHERE order_id = :order"
        with self._engine.begin() as connection:
            connection.execute(sa.text(update), {"status": status, "order": order})

    def rows(self) -> list[tuple[int, Decimal, str]]:
        """All orders: number, amount, status."""
        select = "SELECT order_id, amount, status FROM soe.orders"
        with self._engine.connect() as connection:
            return [(row.order_id, row.amount, row.status) for row in connection.execute(sa.text(select))]

    def _is_there(self) -> bool:
        """Whether an earlier run has left the schema. Raises SettingsError when it is not ours."""
        select = (
            "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') "
            "FROM pg_namespace WHERE nspname = 'soe'"
        )
        with self._engine.connect() as connection:
            comment = connection.scalar(sa.text(select))
        if comment not in (None, OURS):
            raise SettingsError(
                "There is a schema `soe` already, and this example would drop it: "
                "name another database in SOE_URL."
            )
        return bool(comment == OURS)


class BigOrders:
    """A story (`stage.Story`)."""

    def __init__(self, on: Stage, table: OrdersTable, url: str) -> None:
        self.environment = {"SOE_URL": url}
        credit_check = (sys.executable, "consumers/credit_check.py")
        self.parts = {
            "watch": (MTRIGGER, "watch", "--sources", "sources"),
            "credit check 1": credit_check,
            "credit check 2": credit_check,
        }
        self._on = on
        self._table = table
        self._chance = random.Random()  # noqa: S311 - play money
        self._on_the_way: list[int] = []

    async def happen(self) -> str:
        """An order is placed; sometimes an earlier one is paid or shipped."""
        chance = self._chance
        if self._on_the_way and chance.random() < 0.25:
            order, status = chance.choice(self._on_the_way), chance.choice(STATES)
            await asyncio.to_thread(self._table.move_on, order, status)
            return f"order {order} is {status}"
        big = chance.random() < 0.3
        cents = chance.randint(BIG * 100 + 1, 9_000_000) if big else chance.randint(500, BIG * 100)
        customer, amount = chance.choice(CUSTOMERS), Decimal(cents) / 100
        order = await asyncio.to_thread(self._table.place, customer, amount)
        self._on_the_way.append(order)
        return f"order {order} of {customer}: {amount:,.2f} USD{'  <- big' if amount > BIG else ''}"

    async def checks(self) -> list[Check]:
        """Every order in shop.orders as it is in the table; of each big one a mail and a message, which both
        groups have seen."""
        rows = await asyncio.to_thread(self._table.rows)
        big = frozenset(order for order, amount, _ in rows if amount > BIG)
        shop = self._on.client["shop"]
        orders = [(found["_id"], found["status"]) async for found in shop["orders"].find()]
        messages = self._on.client["mtrigger"]["topics.BIZ-BIGORDER"].find()
        published = [message["body"]["order_id"] async for message in messages]
        counted = [order async for found in shop["best_customers"].find() for order in found["order_ids"]]
        subjects = [mail.header("Subject") for mail in self._on.mailbox.mailbox.newest_first]
        said = [line for name, lines in self._on.said.items() if name.startswith("credit") for line in lines]
        return [
            Check("shop.orders", frozenset((order, status) for order, _, status in rows), Counter(orders)),
            Check("mails to the sales manager", big, _numbers("Big order", subjects), repeats=True),
            Check("messages in BIZ-BIGORDER", big, Counter(published)),
            Check("group best-customers (a rule)", big, Counter(counted)),
            Check("group credit-check (a program)", big, _numbers("order", said), repeats=True),
        ]


@asynccontextmanager
async def told(on: Stage) -> AsyncIterator[Story]:
    """The story, with its table, which is gone in the end."""
    url = os.environ.get("SOE_URL") or LOCAL
    table = OrdersTable(url)
    await asyncio.to_thread(table.make)
    await on.client["shop"].create_collection("orders")
    try:
        yield BigOrders(on, table, url)
    finally:
        await asyncio.to_thread(table.drop)


def _numbers(word: str, texts: Iterable[str]) -> Counter[Any]:
    """The orders whose numbers stand behind `word` at the beginnings of `texts`."""
    return Counter(int(match[1]) for text in texts if (match := re.match(rf"{word} (\d+):", text)))
