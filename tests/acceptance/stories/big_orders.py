"""The example big-orders while it runs: orders in PostgreSQL, and a verdict on what came of them."""

import asyncio
import random
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pymongo.errors import ConnectionFailure

from acceptance.stories.enduring import by_key
from acceptance.stories.parts import Client, Parts, playing
from support.command import MtriggerCommand
from support.smtp_sink import SmtpSink
from support.sql_servers import POSTGRESQL, connected_or_skip

Document = dict[str, Any]

COMMANDS = {
    "source": ("source", "run"),
    "watch": ("watch",),
    "credit check 1": ("consumers/credit_check.py",),
    "credit check 2": ("consumers/credit_check.py",),
}
CONNECTIONS = "connections of PostgreSQL"
CUSTOMERS = ("C-1", "C-2", "C-3")
BIG = 10_000
AT_ONCE = 10
"""Mails that may be under way when the process is killed: they come a second time."""


class SoeOrders:
    """The table of the old shop, in a schema of the test's own; `url` is the source's way to it."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.url = f"{POSTGRESQL}?application_name={schema}"
        self._engine = sa.create_engine(POSTGRESQL)

    @classmethod
    @contextmanager
    def made_by(cls, schema_file: Path) -> Iterator["SoeOrders"]:
        """The table, as the example makes it."""
        table = cls(f"soe_{uuid.uuid4().hex[:12]}")
        try:
            connected_or_skip(table._engine, "postgresql")
            with table._engine.begin() as connection:
                connection.exec_driver_sql(re.sub(r"\bsoe\b", table.schema, schema_file.read_text()))
            try:
                yield table
            finally:
                table.run(f"DROP SCHEMA {table.schema} CASCADE")
        finally:
            table._engine.dispose()

    def run(self, statement: str, **values: Any) -> None:
        """Carry out a statement in a transaction of its own."""
        with self._engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def place(self, customer: str, amount: Decimal) -> int:
        """A new order; returns its number."""
        insert = (
            f"INSERT INTO {self.schema}.orders (customer, amount) VALUES (:customer, :amount) "
            "RETURNING order_id"
        )
        with self._engine.begin() as connection:
            return int(connection.scalar(sa.text(insert), {"customer": customer, "amount": amount}) or 0)

    def rows(self) -> list[Document]:
        """All orders."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.text(f"SELECT * FROM {self.schema}.orders")).mappings()
            return [dict(row) for row in found]

    def cut_connections(self) -> int:
        """End the connections of the source. Returns how many there were."""
        select = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = :name"
        )
        with self._engine.begin() as connection:
            return int(connection.scalar(sa.text(select), {"name": self.schema}) or 0)


class BigOrders:
    """The story (`enduring.Story`), with its parts running."""

    def __init__(self, parts: Parts, client: Client, table: SoeOrders, mail: SmtpSink, seed: int) -> None:
        self.parts = parts
        self._client = client
        self._table = table
        self._mail = mail
        self._chance = random.Random(seed)
        self._numbers: list[int] = []

    @classmethod
    @asynccontextmanager
    async def told(cls, command: MtriggerCommand, mail: SmtpSink, seed: int) -> AsyncIterator["BigOrders"]:
        """The story from its beginning; its table and its processes are gone in the end."""
        async with playing(command, "big-orders", COMMANDS) as (parts, client):
            with SoeOrders.made_by(parts.folder / "schema.sql") as table:
                _look_often(parts.folder / "sources" / "soe-orders.yaml", table.schema)
                parts.start(
                    {
                        "SOE_URL": table.url,
                        "MTRIGGER_SMTP_URL": mail.url,
                        "MTRIGGER_MAIL_FROM": "shop@example.com",
                    }
                )
                yield cls(parts, client, table, mail, seed)

    async def happen(self) -> None:
        """An order is placed; sometimes an earlier one moves on."""
        chance = self._chance
        if self._numbers and chance.random() < 0.3:
            number = chance.choice(self._numbers)
            update = f"UPDATE {self._table.schema}.orders SET status = :status WHERE order_id = :number"
            status = f"state {chance.randrange(1000)}"
            await asyncio.to_thread(self._table.run, update, status=status, number=number)
            return
        amount = Decimal(chance.randrange(1, 2 * BIG * 100)) / 100
        self._numbers.append(await asyncio.to_thread(self._table.place, chance.choice(CUSTOMERS), amount))

    async def arrived(self) -> int:
        """Big orders whose credit was looked into."""
        return len(set(self.parts.seen()))

    async def done_by(self, name: str) -> int:
        """Rows that the source has published, mails that mtrigger has sent, orders that were looked into."""
        if name in ("source", CONNECTIONS):
            return await self._client.mtrigger["topics.SOE-ORDERS"].estimated_document_count()
        return len(self._mail.mails) if name == "watch" else await self.arrived()

    async def complete(self) -> bool:
        """Whether every order is stored as it is, and every big one was mailed, counted and looked into."""
        rows = await asyncio.to_thread(self._table.rows)
        big = {row["order_id"] for row in rows if row["amount"] > BIG}
        try:
            stored = [(row["_id"], row["status"]) async for row in self._client.shop.orders.find()]
            counted = [row["orders"] async for row in self._client.shop.best_customers.find()]
        except ConnectionFailure:
            return False
        return (
            sorted(stored) == sorted((row["order_id"], row["status"]) for row in rows)
            and big <= {number for _, number in self._looked_into()}
            and big <= set(self._mailed())
            and sum(counted) >= len(big)
        )

    def kill(self, name: str) -> None:
        """Kill a part, or all connections of the source."""
        if name != CONNECTIONS:
            self.parts.kill(name)
            return
        assert self._table.cut_connections() > 0

    async def judge(self) -> list[str]:
        """Everything that is wrong, once it is complete."""
        rows = {row["order_id"]: row for row in await asyncio.to_thread(self._table.rows)}
        big = {number for number, row in rows.items() if row["amount"] > BIG}
        assert len(big) > 20, "a story too small to show anything"
        return [
            *await self._wrong_in_the_topic_of_rows(rows),
            *await self._wrong_in_shop(rows),
            *await self._wrong_in_messages(big),
            *await self._wrong_in_groups(rows),
            *self._wrong_in_mails(big),
        ]

    async def _wrong_in_the_topic_of_rows(self, rows: dict[int, Document]) -> list[str]:
        """Each state of a row once, the states of one order in their order, the last one as the row is."""
        states: defaultdict[int, list[Any]] = defaultdict(list)
        for message in await self._messages("SOE-ORDERS"):
            states[message["body"]["order_id"]].append(message["body"]["updated_at"])
        wrong = [f"missing in SOE-ORDERS: {number}" for number in rows.keys() - states.keys()]
        for number, times in states.items():
            if times != sorted(set(times)):
                wrong.append(f"order {number} in SOE-ORDERS: {times}")
        return wrong

    async def _wrong_in_shop(self, rows: dict[int, Document]) -> list[str]:
        stored = {row["_id"]: row async for row in self._client.shop.orders.find()}
        wrong = [f"not an order: {number}" for number in stored.keys() - rows.keys()]
        for number, row in rows.items():
            found = stored[number]
            if (found["amount"].to_decimal(), found["status"]) != (row["amount"], row["status"]):
                wrong.append(f"order {number} is {row}, and in shop.orders {found}")
        return wrong

    async def _wrong_in_messages(self, big: set[int]) -> list[str]:
        """Each big order has one message."""
        published = Counter(message["body"]["order_id"] for message in await self._messages("BIZ-BIGORDER"))
        found = f"BIZ-BIGORDER: {published - Counter(big)} too much, {Counter(big) - published} missing"
        return [] if published == Counter(big) else [found]

    async def _wrong_in_groups(self, rows: dict[int, Document]) -> list[str]:
        """Both have had all of each customer's big orders, in the order of the topic."""
        messages = await self._messages("BIZ-BIGORDER")
        published = by_key((message["key"], message["body"]["order_id"]) for message in messages)
        spent = {
            customer: sum(rows[number]["amount"] for number in numbers)
            for customer, numbers in published.items()
        }
        counted = [row async for row in self._client.shop.best_customers.find()]
        looked_into = self._looked_into()
        wrong = []
        if {row["_id"]: row["order_ids"] for row in counted} != published:
            wrong.append(f"best-customers has had {counted}, and published were {published}")
        if {row["_id"]: row["spent"].to_decimal() for row in counted} != spent:
            wrong.append(f"best-customers has summed up {counted}, and spent were {spent}")
        if by_key(looked_into) != published:
            wrong.append(f"credit-check has had {by_key(looked_into)}, and published were {published}")
        again = len(looked_into) - len(set(looked_into))
        if again > self.parts.kills:
            wrong.append(f"credit-check has had {again} again")
        return wrong

    def _wrong_in_mails(self, big: set[int]) -> list[str]:
        """One for each big order, or the same again where mtrigger was killed between mail and outcome."""
        mailed, ids = self._mailed(), {mail.message["Message-ID"] for mail in self._mail.mails}
        again = sum(mailed.values()) - len(mailed)
        wrong = []
        if mailed.keys() != big or len(ids) != len(big):
            wrong.append(f"{len(big)} big orders, {len(ids)} mails about {sorted(mailed)}")
        if again > AT_ONCE * self.parts.kills:
            wrong.append(f"{again} mails came again")
        return wrong

    async def _messages(self, topic: str) -> list[Document]:
        return await self._client.mtrigger[f"topics.{topic}"].find().sort("offset", 1).to_list()

    def _mailed(self) -> Counter[int]:
        subjects = (str(mail.message["Subject"]) for mail in list(self._mail.mails))
        return Counter(int(match[1]) for text in subjects if (match := re.match(r"Big order (\d+):", text)))

    def _looked_into(self) -> list[tuple[str, int]]:
        """Customer and number of each order that was looked into."""
        lines = (re.fullmatch(r"order (\d+): may (\S+) owe us \S+", line) for line in self.parts.seen())
        return [(match[2], int(match[1])) for match in lines if match]


def _look_often(source: Path, schema: str) -> None:
    """The example's source for the table in `schema`; it does not let one wait."""
    text = source.read_text()
    for old, new in (
        ("soe.orders", f"{schema}.orders"),
        ("poll: 1s", "poll: 100ms"),
        ("delay: 2s", "delay: 1s"),
    ):
        assert old in text
        text = text.replace(old, new)
    source.write_text(text)
