"""The end of the process: in good order, in haste, with a hung action, a hung state database, a dead part
(rows 7, 8, 9 and 64 of the catalogue of faults)."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from acceptance.shop import Shop
from mtrigger.deployment.connecting import connect
from support.fail_points import failing_commands
from support.http_sink import Answer
from support.mongo_servers import MongoServers
from support.polling import eventually

HOOK_RULE = """
on: {collection: SHOP.orders}
do: [webhook: {url: "HOOK/orders"}]
retry: {first_delay: 20ms, max_delay: 100ms}
"""

FUNCTION_RULE = """
on: {collection: SHOP.orders}
do: [function: {function: "shop_functions:work", timeout: 1h}]
"""

HANGS_IN_A_THREAD = """
import pathlib, threading
def work(document):
    pathlib.Path("begun").touch()
    threading.Event().wait()
"""

HANGS_IN_THE_LOOP = """
import asyncio, pathlib
async def work(document):
    pathlib.Path("begun").touch()
    await asyncio.Event().wait()
"""

CANNOT_BE_CANCELLED = """
import asyncio, pathlib
async def work(document):
    pathlib.Path("begun").touch()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""

APP_NAME = "mtrigger that is stopped"

ENDINGS = [
    pytest.param(signal.SIGTERM, id="SIGTERM"),
    pytest.param(signal.SIGINT, id="SIGINT"),
]


def hook_rule(shop: Shop) -> None:
    """Every order goes to the shop's web server."""
    shop.rule("order", HOOK_RULE.replace("HOOK", shop.web.url))


def ids(shop: Shop) -> list[str]:
    """The delivery ids received, in order."""
    return [request.headers["webhook-id"] for request in list(shop.web.requests)]


async def begun(shop: Shop) -> None:
    """Wait until the function of FUNCTION_RULE runs."""
    await eventually((shop.folder / "begun").exists)


async def received(shop: Shop, number: int) -> None:
    """Wait for `number` requests."""
    await eventually(lambda: len(shop.web.requests) >= number)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_runs_may_end(shop: Shop, ending: signal.Signals) -> None:
    """Row 7: one signal, an attempt under way: it ends, its outcome is written, and nothing comes twice."""
    hook_rule(shop)
    shop.web.answer_always(Answer(delay=1.0))
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})
    await received(shop, 1)

    running.send(ending)
    assert running.wait() == 0
    row = await shop.delivery({})

    assert (row["status"], row["attempts"]) == ("delivered", 1)
    shop.watch()
    await shop.orders.insert_one({"order_id": "SO-2"})
    await received(shop, 2)
    assert len(set(ids(shop))) == 2


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_second_signal_does_not_wait(shop: Shop, ending: signal.Signals) -> None:
    """Row 9: the drain would take an hour. What runs is left, stays owed, and is done at the next start."""
    hook_rule(shop)
    shop.web.answer_next(Answer(delay=3600))
    running = shop.watch("--drain", "1h")
    await shop.orders.insert_one({"order_id": "SO-1"})
    await received(shop, 1)

    running.send(ending)
    running.wait_for_line("stopping: ")
    running.send(ending)
    assert running.wait() == 0
    assert "did not end in time" in running.stderr
    assert (await shop.delivery({}))["status"] == "pending"

    shop.watch()
    await shop.delivery({"status": "delivered"})
    assert len(ids(shop)) == 2
    assert len(set(ids(shop))) == 1


@pytest.mark.parametrize(
    "function", [HANGS_IN_THE_LOOP, HANGS_IN_A_THREAD], ids=["in the loop", "in a thread"]
)
async def test_an_action_that_hangs_is_left_after_the_drain(shop: Shop, function: str) -> None:
    """Row 8: also a plain function in a thread, which nobody can stop: the process ends all the same."""
    (shop.folder / "shop_functions.py").write_text(function)
    shop.rule("order", FUNCTION_RULE)
    running = shop.watch("--drain", "500ms")
    await shop.orders.insert_one({"order_id": "SO-1"})
    await begun(shop)

    assert running.terminate() == 0
    assert "1 attempt did not end in time" in running.stderr
    assert (await shop.delivery({}))["status"] == "pending"

    (shop.folder / "shop_functions.py").write_text("def work(document):\n    return 'done at last'\n")
    shop.watch()
    row = await shop.delivery({"status": "delivered"})
    assert row["log"][-1]["detail"] == "done at last"


async def test_an_action_that_refuses_to_end_cannot_keep_the_process(shop: Shop) -> None:
    """It swallows its cancellation. The others' outcomes and the position are written; the code is not 0."""
    (shop.folder / "shop_functions.py").write_text(CANNOT_BE_CANCELLED)
    shop.rule("stubborn", FUNCTION_RULE)
    hook_rule(shop)
    running = shop.watch("--drain", "1h")
    await shop.orders.insert_one({"order_id": "SO-1"})
    await begun(shop)
    await received(shop, 1)

    running.send(signal.SIGTERM)
    running.wait_for_line("stopping: ")
    running.send(signal.SIGTERM)
    assert running.wait() == 1
    assert "stopping was cut short after a second signal" in running.stderr
    assert "Traceback" not in running.output

    assert (await shop.delivery({"rule": "order"}))["status"] == "delivered"
    assert (await shop.delivery({"rule": "stubborn"}))["status"] == "pending"


async def test_killed_in_the_drain_nothing_is_lost(shop: Shop) -> None:
    """kill -9 while it waits for 20 attempts: each is owed, or done; none is forgotten."""
    hook_rule(shop)
    shop.web.answer_always(Answer(delay=3600))
    running = shop.watch("--drain", "1h")
    await shop.orders.insert_many([{"order_id": f"SO-{number}"} for number in range(20)])
    await received(shop, 20)
    running.send(signal.SIGTERM)
    running.wait_for_line("stopping: ")
    running.kill()

    shop.web.answer_always(Answer())
    shop.watch()
    await eventually(lambda: _all_delivered(shop, 20))

    assert len(set(ids(shop))) == 20


async def _all_delivered(shop: Shop, number: int) -> bool:
    return await shop.deliveries.count_documents({"status": "delivered"}) == number


# -- the state database does not answer ----------------------------------------------------------------------


@asynccontextmanager
async def hung(uri: str) -> AsyncIterator[None]:
    """A `mongod` that is there and does not answer."""
    async with connect(uri) as client:
        process = (await client.admin.command("serverStatus"))["pid"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@pytest.fixture
async def apart(shop: Shop, start_mongod: MongoServers) -> AsyncIterator[Shop]:
    """A shop whose state is kept on a server of its own."""
    server = start_mongod.standalone()
    async with connect(server.uri) as client:
        yield replace(shop, state_uri=server.uri, home=client)


@pytest.mark.parametrize("signals", [1, 2], ids=["after the drain", "after a second signal"])
async def test_a_hung_state_database_does_not_keep_the_process(apart: Shop, signals: int) -> None:
    """What could not be written is named; it is done again with the same id."""
    shop = apart
    hook_rule(shop)
    shop.web.answer_always(Answer(delay=1.0))
    running = shop.watch("--drain", "1s" if signals == 1 else "1h")
    await shop.orders.insert_one({"order_id": "SO-1"})
    await received(shop, 1)
    async with hung(shop.state_uri):
        running.wait_for_line("delivered: insert")
        running.send(signal.SIGTERM)
        running.wait_for_line("stopping: ")
        if signals == 2:
            running.send(signal.SIGTERM)
        assert running.wait() == 1
    (once,) = ids(shop)
    assert f"delivery={once}" in next(
        line for line in running.stderr.splitlines() if "could not be written" in line
    )
    assert "stopping was cut short" in running.stderr
    assert "Traceback" not in running.output

    shop.watch()
    await shop.delivery({"status": "delivered"})
    assert ids(shop) == [once, once]


# -- a part dies ---------------------------------------------------------------------------------------------

BAD_VALUE = 2
"""An error that no waiting mends."""

PARTS = [
    pytest.param("reader", ["getMore"], "", id="reader"),
    pytest.param("planner", ["insert"], "deliveries", id="planner"),
    pytest.param("writer of outcomes", ["update"], "deliveries", id="outcomes"),
    pytest.param("search for what operators wish", ["find"], "deliveries", id="reopened"),
    pytest.param("checkpoint writer", ["update"], "checkpoints", id="checkpoint"),
]


@pytest.mark.parametrize(("part", "commands", "collection"), PARTS)
async def test_a_part_that_dies_ends_the_process_and_is_named(
    shop: Shop, client: AsyncMongoClient[dict[str, Any]], part: str, commands: list[str], collection: str
) -> None:
    """Row 64: one line that says which and why, a code that is not 0, and nothing is lost."""
    named = replace(
        shop, uri=f"{shop.uri}{'&' if '?' in shop.uri else '?'}appname={APP_NAME.replace(' ', '%20')}"
    )
    hook_rule(shop)
    running = named.watch()
    where = {"namespace": f"{shop.state.name}.{collection}"} if collection else {}
    async with failing_commands(client, commands, app_name=APP_NAME, errorCode=BAD_VALUE, **where):
        await shop.orders.insert_one({"order_id": "SO-1"})
        assert running.wait() == 1

    said = [line for line in running.stderr.splitlines() if line.startswith("mtrigger: ")]
    assert len(said) == 1, running.stderr
    assert said[0].startswith(f"mtrigger: the {part} died: OperationFailure: ") or said[0].startswith(
        f"mtrigger: the {part} died: BulkWriteError: "
    )
    assert "Traceback" not in running.output
    await shop.orders.insert_one({"order_id": "SO-2"})
    shop.watch()
    await eventually(lambda: _all_delivered(shop, 2))


async def test_a_function_that_ends_the_thread_or_the_loop_hurts_only_itself(shop: Shop) -> None:
    """`sys.exit()` in a user's function is a failed attempt, not the end of the engine."""
    (shop.folder / "shop_functions.py").write_text("import sys\ndef work(document):\n    sys.exit(7)\n")
    shop.rule("order", FUNCTION_RULE + "retry: {attempts: 1}\n")
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1"})
    row = await shop.delivery({"status": "dead"})

    assert "sys.exit(7)" in row["error"]
    assert running.terminate() == 0
