"""The state database under fire, through the installed command: whatever becomes of a write, nothing is lost
and no action that has run runs again (rows 49, 50, 51, 53 and 57 of the catalogue of faults)."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import AsyncMongoClient

from acceptance.shop import Shop
from mtrigger.deployment.connecting import connect
from mtrigger.stores.mongo import MongoStore
from support.fail_points import failing_commands
from support.http_sink import Answer
from support.mongo_proxy import MongoProxy
from support.mongo_servers import MongoServers, StandaloneServer
from support.polling import eventually
from support.samples import delivery_at

HOOK_RULE = """
on: {collection: SHOP.orders}
do:
  - webhook:
      url: "HOOK/orders"
      body: {id: "{{ document._id }}", n: "{{ document.n }}"}
retry: {attempts: 1000, first_delay: 20ms, max_delay: 200ms}
"""

APP_NAME = "mtrigger under fire"
OUTAGE_SECONDS = 4.0

FULL = 600_000_000
"""Bytes of a disk with room for a `mongod` and its journal."""

Client = AsyncMongoClient[dict[str, Any]]


def hook_rule(shop: Shop) -> None:
    """Every order goes to the shop's web server."""
    shop.rule("order", HOOK_RULE.replace("HOOK", shop.web.url))


def received(shop: Shop) -> Counter[str]:
    """How often each delivery id was received."""
    return Counter(request.headers["webhook-id"] for request in list(shop.web.requests))


async def insert(shop: Shop, *numbers: int) -> None:
    """Orders with these numbers."""
    await shop.orders.insert_many([{"_id": number, "n": 0} for number in numbers])


async def all_delivered(shop: Shop, number: int) -> None:
    """Wait until so many deliveries are delivered, and none is open."""

    async def settled() -> bool:
        done = await shop.deliveries.count_documents({"status": "delivered"})
        return done == number and not await shop.deliveries.count_documents({"open": True})

    await eventually(settled, patience=60)


def each_once(number: int, times: Counter[str]) -> bool:
    """Whether so many deliveries were received, each once."""
    return len(times) == number and set(times.values()) == {1}


def steps(shop: Shop) -> dict[int, list[int]]:
    """For each document, its `n` in the order in which each delivery came first."""
    found: dict[int, list[int]] = {}
    seen: set[str] = set()
    for request in list(shop.web.requests):
        if (known := request.headers["webhook-id"]) not in seen:
            seen.add(known)
            body = request.json()
            found.setdefault(body["id"], []).append(body["n"])
    return found


@pytest.fixture
async def faulty(shop: Shop) -> Shop:
    """The shop, with an engine that the server's own faults can be meant for."""
    hook_rule(shop)
    return replace(shop, uri=f"{shop.uri}{'&' if '?' in shop.uri else '?'}appname={quote(APP_NAME)}")


# -- single writes -------------------------------------------------------------------------------------------

FAULTS = [
    pytest.param({"errorCode": 262}, id="ExceededTimeLimit"),
    pytest.param({"errorCode": 11602}, id="InterruptedDueToReplStateChange"),
    pytest.param({"closeConnection": True}, id="connection closed"),
    pytest.param(
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
        id="write concern timeout, after the write",
    ),
    pytest.param(
        {
            "writeConcernError": {
                "code": 91,
                "errmsg": "shutting down",
                "errorLabels": ["RetryableWriteError"],
            }
        },
        id="shutdown, after the write",
    ),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["insert", "update"])
async def test_a_write_that_fails_is_made_again_and_no_action_with_it(
    faulty: Shop, client: Client, command: str, fault: dict[str, Any]
) -> None:
    """Row 53: the insert of what is owed, the settle of what has run. Four failures in a row outlast the
    driver's own retry."""
    running = faulty.watch()
    outbox = f"{faulty.state.name}.deliveries"
    async with failing_commands(
        client, [command], app_name=APP_NAME, mode={"times": 4}, namespace=outbox, **fault
    ):
        await insert(faulty, *range(20))
        running.wait_for_line("The state database was interrupted")
        await all_delivered(faulty, 20)

    assert each_once(20, received(faulty))
    assert running.terminate() == 0


async def test_a_slow_state_database_keeps_the_order(faulty: Shop, client: Client) -> None:
    """Row 50: every write takes a second. Each document's changes are delivered in order, each once."""
    faulty.watch()
    outbox = f"{faulty.state.name}.deliveries"
    async with failing_commands(
        client,
        ["insert", "update"],
        app_name=APP_NAME,
        mode={"times": 8},
        namespace=outbox,
        blockConnection=True,
        blockTimeMS=1000,
    ):
        await insert(faulty, 1, 2, 3)
        for _ in range(5):
            await faulty.orders.update_many({}, {"$inc": {"n": 1}})
        await all_delivered(faulty, 18)

    assert each_once(18, received(faulty))
    assert steps(faulty) == {number: list(range(6)) for number in (1, 2, 3)}


# -- the server of the state ---------------------------------------------------------------------------------


@pytest.fixture
async def home(start_mongod: MongoServers) -> StandaloneServer:
    """A server for the state alone."""
    return start_mongod.standalone()


@pytest.fixture
async def apart(shop: Shop, home: StandaloneServer) -> AsyncIterator[Shop]:
    """A shop whose state is kept on `home`."""
    hook_rule(shop)
    async with connect(home.uri) as client:
        yield replace(shop, state_uri=home.uri, home=client)


async def test_the_state_database_may_be_away_for_many_lease_times(
    apart: Shop, home: StandaloneServer
) -> None:
    """Row 49: what is read meanwhile is kept, what runs is written down when it is back, the process is the
    same one, and everything comes once."""
    running = apart.watch("--lease", "1s")
    await insert(apart, *range(10))
    await all_delivered(apart, 10)
    home.stop()
    await insert(apart, *range(10, 60))
    running.wait_for_line("The state database was interrupted")
    running.wait_for_line("the lease could not be renewed")
    await asyncio.sleep(OUTAGE_SECONDS)  # the fault itself: it lasts for several lease times

    home.start()
    running.wait_for_line("The state database works again")
    await insert(apart, *range(60, 70))
    await all_delivered(apart, 70)

    assert each_once(70, received(apart))
    assert running.code is None
    assert running.stderr.count("The state database was interrupted") == 1
    assert running.terminate() == 0


async def test_a_reply_that_is_lost_doubles_nothing(apart: Shop, home: StandaloneServer) -> None:
    """Row 53: the rows are there, and the process does not know it: they are neither run twice nor forgotten.
    The same for an outcome that is written, and unknown."""
    proxy = MongoProxy(int(home.uri.rstrip("/").rpartition(":")[2]))
    await proxy.open()
    try:
        behind = replace(apart, state_uri=f"{proxy.uri}&retryWrites=false")
        running = await asyncio.to_thread(behind.watch)  # the proxy lives in this loop
        for round_, command in enumerate(("insert", "update", "insert", "update")):
            proxy.lose_reply(command)
            await insert(apart, *range(round_ * 10, round_ * 10 + 10))
            await all_delivered(apart, round_ * 10 + 10)
            await eventually(partial(_lost, proxy, round_ + 1))
        assert await asyncio.to_thread(running.terminate) == 0
    finally:
        await proxy.close()

    assert each_once(40, received(apart))


async def test_a_connection_that_breaks_while_it_is_made_costs_nothing(home: StandaloneServer) -> None:
    """Row 49: as while a server starts. The driver then asks for a write that only replica sets know (error
    20), although this server is none."""
    proxy = MongoProxy(int(home.uri.rstrip("/").rpartition(":")[2]))
    await proxy.open()
    try:
        async with connect(proxy.uri) as client:
            store = MongoStore(client, "state")
            await store.open()
            await eventually(lambda: proxy.connections == 3)  # one for writes, two the driver watches with
            proxy.refuse_next()
            deliveries = [delivery_at(number) for number in range(1, 5)]
            added = await asyncio.gather(*(store.add([delivery]) for delivery in deliveries))
    finally:
        await proxy.close()

    assert proxy.refused == 1
    assert added == [{delivery.id} for delivery in deliveries]


def _lost(proxy: MongoProxy, number: int) -> bool:
    return proxy.lost >= number


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 MB; skipped where none can be made (it takes the right to mount)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={FULL}", "tmpfs", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_of_the_state_is_waited_out(shop: Shop, small_disk: Path) -> None:
    """The server of the state dies of its full disk, as MongoDB does. An operator makes room and starts it
    again: the same process goes on; nothing is lost, nothing comes twice."""
    hook_rule(shop)
    home = StandaloneServer(small_disk / "data", ["--wiredTigerCacheSizeGB", "0.25", "--syncdelay", "1"])
    try:
        async with connect(home.uri) as client:
            shop = replace(shop, state_uri=home.uri, home=client)
            running = shop.watch("--lease", "2s")
            await insert(shop, 1)
            await all_delivered(shop, 1)
            filler = small_disk / "filler"
            fill(filler)
            text = "x" * 100_000
            for number in range(2, 402):
                await shop.orders.insert_one({"_id": number, "n": 0, "text": text})
            await eventually(lambda: home.exit_code is not None, patience=60)
            running.wait_for_line("The state database was interrupted")

            filler.unlink()
            home.start()
            await all_delivered(shop, 401)
            assert each_once(401, received(shop))
            assert running.terminate() == 0
    finally:
        home.stop()


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 1_000_000)
        except OSError:
            return


# -- the target ----------------------------------------------------------------------------------------------


async def test_a_target_that_is_down_costs_rows_not_history(shop: Shop) -> None:
    """Row 57: more matches than fit into memory; the position moves on all the while; afterwards the outbox
    empties in each document's order."""
    shop.rule("order", HOOK_RULE.replace("HOOK", shop.web.url).replace("20ms", "1s").replace("200ms", "2s"))
    shop.web.stop()
    running = shop.watch()
    await insert(shop, *range(30))
    for _ in range(59):
        await shop.orders.update_many({}, {"$inc": {"n": 1}})
    await eventually(lambda: _owed(shop, 1800), patience=60)
    last = (await shop.deliveries.find(sort=[("position", -1)]).to_list(1))[0]["position"]
    await eventually(lambda: _position_behind(shop, last), patience=60)
    running.kill()

    shop.web.start()
    shop.web.answer_always(Answer())
    shop.watch()
    await all_delivered(shop, 1800)

    assert len(received(shop)) == 1800
    assert steps(shop) == {number: list(range(60)) for number in range(30)}


async def _owed(shop: Shop, number: int) -> bool:
    return await shop.deliveries.count_documents({"open": True}) == number


async def _position_behind(shop: Shop, position: str) -> bool:
    checkpoint = await shop.state["checkpoints"].find_one({})
    if checkpoint is None or checkpoint["token"] is None:
        return False
    return bool(checkpoint["token"]["_data"] >= position)
