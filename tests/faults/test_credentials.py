"""Credentials that change while it runs: waited out with growing pauses, the position kept, no connections
piled up, and everything that happened meanwhile delivered after the grant (row 62 of the catalogue of faults,
incident 38)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import AsyncMongoClient

from acceptance.shop import Shop
from mtrigger.deployment.connecting import connect
from mtrigger.watcher import CHECKPOINT_EVERY
from support.command import Running
from support.fail_points import failing_commands
from support.mongo_servers import MongoServers
from support.polling import eventually

HOOK_RULE = """
on: {collection: SHOP.orders}
do: [webhook: {url: "HOOK/orders"}]
"""

APP_NAME = "mtrigger with a password"
PASSWORD = "correct-horse"
OUTAGE_SECONDS = 4.0

Client = AsyncMongoClient[dict[str, Any]]


@dataclass(frozen=True)
class Guarded:
    """A shop on a server with access control; `admin` may do everything, mtrigger what it was granted."""

    shop: Shop
    admin: Client

    async def may(self, *roles: dict[str, str]) -> None:
        """Let mtrigger have these roles and no others."""
        await self.admin.admin.command("updateUser", "mtrigger", roles=list(roles))

    async def password(self, text: str) -> None:
        """Let mtrigger have this password."""
        await self.admin.admin.command("updateUser", "mtrigger", pwd=text)

    async def connections(self) -> int:
        """How many connections the server holds for mtrigger."""
        pipeline: list[dict[str, Any]] = [
            {"$currentOp": {"allUsers": True, "idleConnections": True}},
            {"$match": {"appName": APP_NAME}},
        ]
        return len(await (await self.admin.admin.aggregate(pipeline)).to_list())

    async def position(self) -> Any:
        """The token of the stored position."""
        row = await self.shop.state["checkpoints"].find_one({})
        assert row is not None
        return row["token"]

    async def last_position(self) -> Any:
        """The same once it stands still: what was read before is written up to a second later."""
        token, before = await self.position(), None
        while token != before:
            await asyncio.sleep(2 * CHECKPOINT_EVERY)
            token, before = await self.position(), token
        return token

    @property
    def watching(self) -> dict[str, str]:
        """The role that lets it open the stream."""
        return {"role": "read", "db": self.shop.database.name}

    @property
    def keeping(self) -> dict[str, str]:
        """The role that lets it keep its state."""
        return {"role": "readWrite", "db": self.shop.state.name}


@pytest.fixture
async def guarded(shop: Shop, start_mongod: MongoServers) -> AsyncIterator[Guarded]:
    """A shop whose mtrigger signs in as `mtrigger` and may do what it needs."""
    server = start_mongod.with_users()
    async with connect(server.uri) as first:
        await first.admin.command("createUser", "admin", pwd="root", roles=["root"])
    place = server.uri.partition("://")[2]
    async with connect(f"mongodb://admin:root@{place}&authSource=admin") as admin:
        await admin.admin.command("createUser", "mtrigger", pwd=PASSWORD, roles=[])
        uri = f"mongodb://mtrigger:{PASSWORD}@{place}&authSource=admin&appname={quote(APP_NAME)}"
        moved = replace(shop, database=admin[shop.database.name], uri=uri)
        guarded = Guarded(moved, admin)
        await guarded.may(guarded.watching, guarded.keeping)
        moved.rule("order", HOOK_RULE.replace("HOOK", moved.web.url))
        yield guarded


def received(shop: Shop) -> Counter[str]:
    """How often each delivery id was received."""
    return Counter(request.headers["webhook-id"] for request in list(shop.web.requests))


async def delivered(shop: Shop, number: int) -> None:
    """Wait until so many deliveries are delivered; each came once."""

    async def settled() -> bool:
        return await shop.deliveries.count_documents({"status": "delivered"}) == number

    await eventually(settled, patience=60)
    times = received(shop)
    assert len(times) == number
    assert set(times.values()) == {1}


async def outlasts(guarded: Guarded, running: Running, before: int) -> None:
    """Let the fault last, and look at the connections all the while."""
    most = before
    deadline = asyncio.get_running_loop().time() + OUTAGE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        most = max(most, await guarded.connections())
        await asyncio.sleep(0.1)
    assert running.code is None, running.output
    assert most <= before + 4, f"{before} connections became {most}"


async def test_a_privilege_that_is_revoked_is_waited_for(guarded: Guarded) -> None:
    """The stream may not be read any more: the position stays, and after the grant it goes on from there."""
    shop = guarded.shop
    running = shop.watch()
    await shop.orders.insert_one({"_id": 1})
    await delivered(shop, 1)
    before = await guarded.connections()

    await guarded.may(guarded.keeping)
    running.wait_for_line("The change stream was interrupted")
    kept = await guarded.last_position()
    await shop.orders.insert_many([{"_id": number} for number in range(2, 12)])
    await outlasts(guarded, running, before)
    assert await guarded.position() == kept

    await guarded.may(guarded.watching, guarded.keeping)
    running.wait_for_line("The change stream works again")
    await delivered(shop, 11)
    assert running.terminate() == 0
    assert PASSWORD not in running.output


async def test_a_state_that_may_not_be_written_is_waited_for(guarded: Guarded) -> None:
    """For several lease times. What was read is kept, and nothing that has run runs again."""
    shop = guarded.shop
    running = shop.watch("--lease", "1s")
    await shop.orders.insert_one({"_id": 1})
    await delivered(shop, 1)
    before = await guarded.connections()

    await guarded.may(guarded.watching, {"role": "read", "db": shop.state.name})
    await shop.orders.insert_many([{"_id": number} for number in range(2, 12)])
    running.wait_for_line("the lease could not be renewed")
    await outlasts(guarded, running, before)
    assert len(received(shop)) == 1

    await guarded.may(guarded.watching, guarded.keeping)
    await delivered(shop, 11)
    assert running.terminate() == 0


async def test_a_password_that_does_not_fit_any_more_is_waited_for(guarded: Guarded) -> None:
    """It was changed, and the connections are cut, so that it has to sign in again: refused until the
    password is what it was."""
    shop = guarded.shop
    running = shop.watch("--lease", "1s")
    await shop.orders.insert_one({"_id": 1})
    await delivered(shop, 1)
    before = await guarded.connections()

    await guarded.password("second")
    async with failing_commands(
        guarded.admin,
        ["getMore", "find", "findAndModify", "update"],
        app_name=APP_NAME,
        mode={"times": 6},
        closeConnection=True,
    ):
        running.wait_for_line("Authentication failed")
        await shop.orders.insert_many([{"_id": number} for number in range(2, 12)])
        await outlasts(guarded, running, before)

    await guarded.password(PASSWORD)
    await delivered(shop, 11)
    assert running.terminate() == 0
    assert PASSWORD not in running.output
