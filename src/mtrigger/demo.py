"""The whole product on one machine, for a look: a MongoDB, a mailbox, the engine, and a trickle of orders.

Promise: everything is real (a replica set, an SMTP server, the rules and templates of the folder it is
given), everything listens on the loopback interface only, and everything is gone when it ends.
"""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.engine import Engine, started
from mtrigger.loading import load
from mtrigger.orders import BIG, orders
from mtrigger.settings import Settings
from mtrigger.supervision.stopping import Stop
from mtrigger.web.mailbox import MailboxServer

ORDER_EVERY = 1.5
"""Seconds between two orders."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What runs, and where: the page with the mails, and the database for whoever wants to add an order."""

    mailbox: str
    mongodb: str
    engine: Engine


@asynccontextmanager
async def demo(rules: Path, environ: Mapping[str, str], mailbox: MailboxServer) -> AsyncIterator[Demo]:
    """Start all parts and stop them in the opposite order."""
    with tempfile.TemporaryDirectory(prefix="mtrigger-demo-") as folder:
        server = await asyncio.to_thread(EmbeddedServer.start, Path(folder) / "mongodb")
        try:
            await mailbox.start()
            try:
                settings = Settings(
                    rules=rules,
                    uri=server.uri,
                    smtp=SmtpServer.parse(mailbox.smtp_url),
                    mail_from="mtrigger demo <shop@example.com>",
                    environ=environ,
                )
                await _make_collections(server.uri, settings)
                async with started(settings, lambda _work, _preview: None) as engine:
                    yield Demo(mailbox.http_url, server.uri, engine)
            finally:
                await mailbox.stop()
        finally:
            await asyncio.to_thread(server.stop)


async def _make_collections(uri: str, settings: Settings) -> None:
    """Make what the rules watch, with the images they need, so that each of them can be tried out."""
    rules = load(settings.rules, settings.templates, settings.environ).rules
    async with connect(uri) as client:
        for namespace in sorted({name for rule in rules for name in rule.collections.exact}):
            database, _, collection = namespace.partition(".")
            await client[database].create_collection(
                collection, changeStreamPreAndPostImages={"enabled": True}
            )


async def run(demo: Demo, stop: Stop, say: Callable[[str], None]) -> None:
    """Watch, and take an order every now and then, until `stop`; each order is told to `say`."""
    async with asyncio.TaskGroup() as tasks:
        ordering = tasks.create_task(_take_orders(demo, say))
        await demo.engine.run(stop)
        ordering.cancel()


async def _take_orders(demo: Demo, say: Callable[[str], None]) -> None:
    await demo.engine.watching.wait()
    async with connect(demo.mongodb) as client:
        for order in orders(random.Random()):  # noqa: S311 - play money
            amount = order["amount"].to_decimal()
            await client["shop"]["orders"].insert_one(order)
            mark = "  -> a mail" if amount > BIG else ""
            say(f"{order['order_id']}  {order['customer']['name']:<26} {amount:>12,.2f} USD{mark}")
            await asyncio.sleep(ORDER_EVERY)
