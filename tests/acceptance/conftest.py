"""The shop that most acceptance tests play in."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from acceptance.shop import Shop
from mtrigger.embedded import EmbeddedServer
from support.command import MtriggerCommand
from support.http_sink import HttpSink
from support.smtp_sink import SmtpSink


@pytest.fixture
async def shop(
    mtrigger_command: MtriggerCommand,
    database: AsyncDatabase[dict[str, Any]],
    mongod: EmbeddedServer,
    smtp_sink: SmtpSink,
    http_sink: HttpSink,
) -> AsyncIterator[Shop]:
    """A shop with an empty database, a mail server and a web server, and no rules yet."""
    shop = Shop(mtrigger_command, database, mongod.uri, smtp_sink, http_sink)
    yield shop
    mtrigger_command.end_all()
    await database.client.drop_database(shop.state.name)
