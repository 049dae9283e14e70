"""History that is really lost: a tiny oplog, and more changes than it holds while nobody watches."""

import json
import re
import signal

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from acceptance.shop import Shop
from faults.oplogs import Document, lose_history, make_noise, oldest, owed_for, position
from mtrigger.embedded import EmbeddedServer
from support.fail_points import failing_commands
from support.polling import eventually


async def lose(shop: Shop) -> Document:
    """Watch one order, stop, make two orders, and lose the history; returns the position that is left.

    The order "gone" is deleted meanwhile.
    """
    running = shop.watch()
    await shop.orders.insert_one({"_id": "seen", "amount": 11_000})
    await shop.delivery({"status": "delivered"})
    assert running.terminate() == 0
    stored = await position(shop)
    await shop.orders.insert_many([{"_id": "missed", "amount": 12_000}, {"_id": "gone", "amount": 13_000}])
    await shop.orders.insert_one({"_id": "small", "amount": 5})
    await shop.orders.delete_one({"_id": "gone"})
    await lose_history(shop.database.client, stored["cluster_time"])
    return stored


async def test_by_default_it_ends_with_78_and_leaves_the_position_as_it_is(tiny: Shop) -> None:
    """Fault 23: what was missed from when to when, and the command that goes on."""
    stored = await lose(tiny)

    done = tiny.run("watch", "--rules", "triggers/")

    assert done.code == 78, done.output
    begins = (await oldest(tiny.database.client)).as_datetime().isoformat().replace("+00:00", "Z")
    since = stored["cluster_time"].as_datetime().isoformat().replace("+00:00", "Z")
    assert f"the changes from {since} to {begins}" in done.stderr
    assert "`mtrigger watch --on-history-lost rescan`" in done.stderr
    assert "Traceback" not in done.output
    after = await position(tiny)
    assert (after["token"], after["cluster_time"]) == (stored["token"], stored["cluster_time"])
    assert await tiny.state["gaps"].count_documents({}) == 0
    assert await owed_for(tiny) == ["seen"]


async def test_from_now_skips_what_was_missed_and_says_so_for_good(tiny: Shop) -> None:
    """Fault 23: the gap is written before the position moves; `gaps` and `status` tell of it."""
    stored = await lose(tiny)

    tiny.watch("--on-history-lost", "from-now")
    await eventually(tiny.state["gaps"].find_one)
    await eventually(lambda: _moved(tiny, stored))
    await tiny.orders.insert_one({"_id": "later", "amount": 14_000})
    await tiny.delivery({"event.key._id": "later"})

    assert await owed_for(tiny) == ["later", "seen"]
    (gap,) = json.loads(tiny.run("gaps", "--json").stdout)["gaps"]
    assert gap["policy"] == "from-now"
    assert gap["from"] == stored["cluster_time"].as_datetime().isoformat().replace("+00:00", "Z")
    assert gap["from"] < gap["to"]
    assert gap["rescanned"] is False
    assert "history lost" in gap["why"]
    assert json.loads(tiny.run("status", "--json").stdout)["gaps"] == 1


async def test_from_oldest_goes_on_with_the_first_change_that_is_still_there(tiny: Shop) -> None:
    """Fault 23: what the oplog still holds is not skipped."""
    await lose(tiny)
    await tiny.orders.insert_one({"_id": "still-there", "amount": 14_000})

    tiny.watch("--on-history-lost", "from-oldest")

    await tiny.delivery({"event.key._id": "still-there"})
    assert await owed_for(tiny) == ["seen", "still-there"]
    (gap,) = await tiny.state["gaps"].find().to_list()
    assert gap["policy"] == "from-oldest"


async def test_rescan_holds_the_rules_against_what_is_there_now(tiny: Shop) -> None:
    """Fault 23: an order that was missed is found by what it is; one that was deleted is not."""
    await lose(tiny)

    running = tiny.watch("--on-history-lost", "rescan")
    running.wait_for_line("rescan: done, 3 documents")
    await tiny.orders.insert_one({"_id": "later", "amount": 14_000})
    await tiny.delivery({"event.key._id": "later"})

    assert await owed_for(tiny) == ["later", "missed", "seen", "seen"]
    row = await tiny.delivery({"event.key._id": "missed"})
    assert (row["event"]["operation"], row["event"]["image"]) == ("rescan", "stored")
    (gap,) = await tiny.state["gaps"].find().to_list()
    assert (gap["policy"], gap["rescanned"]) == ("rescan", True)
    assert running.terminate() == 0
    assert (await position(tiny))["rescan"] is None


async def test_history_lost_while_it_runs_ends_it_with_78_too(tiny: Shop) -> None:
    """Fault 24: stopped in its tracks (SIGSTOP) while more is written than the oplog holds."""
    running = tiny.watch("--lease", "10m")
    await tiny.orders.insert_one({"_id": "seen", "amount": 11_000})
    await tiny.delivery({"status": "delivered"})
    running.send(signal.SIGSTOP)
    await eventually(lambda: _nobody_reads(tiny))
    await tiny.orders.insert_one({"_id": "missed", "amount": 12_000})
    stands_at = (await tiny.database.client.admin.command("hello"))["operationTime"]
    await make_noise(tiny.database.client)
    await lose_history(tiny.database.client, stands_at)
    running.send(signal.SIGCONT)

    assert running.wait() == 78, running.output
    assert re.search(r"the changes from \S+ to \S+, where it begins now, are gone", running.stderr)
    assert await tiny.state["gaps"].count_documents({}) == 0


@pytest.mark.parametrize(
    "command",
    [pytest.param(("replay", "--from"), id="replay"), pytest.param(("test", "--since"), id="test")],
)
async def test_the_past_before_the_oplog_begins_is_not_there_and_that_is_said(
    tiny: Shop, command: tuple[str, str]
) -> None:
    """A replay, and rules tried over the past: the way out is in the sentence."""
    stored = await lose(tiny)
    since = stored["cluster_time"].as_datetime().isoformat()

    done = tiny.run(command[0], "--rules", "triggers/", command[1], since)

    assert done.code == 78, done.output
    assert f"it begins with {(await oldest(tiny.database.client)).as_datetime().isoformat()}" in done.stderr
    assert "--query" in done.stderr
    assert "--over" in done.stderr


async def test_a_policy_that_gets_nowhere_is_given_up_after_three_times(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """Fault 24, by failCommand: a server that says 286 whatever one does is not asked for ever."""
    shop.rule("orders", "on: {collection: SHOP.orders}\ndo: [{log: x}]\n")
    name = f"lost-{database.name}"
    watched = Shop(shop.command, shop.database, f"{mongod.uri}&appName={name}", shop.mail, shop.web)
    running = watched.watch("--on-history-lost", "from-now")

    async with failing_commands(client, ["getMore"], app_name=name, errorCode=286):
        assert running.wait() == 78, running.output

    assert 1 <= await shop.state["gaps"].count_documents({}) <= 3
    assert "no longer reaches back" in running.stderr


async def _nobody_reads(shop: Shop) -> bool:
    """Whether the server is done with the last command of the stream."""
    reading = {"op": "getmore", "cursor.originatingCommand.comment": "mtrigger main/0"}
    running = await shop.database.client.admin.aggregate([{"$currentOp": {}}, {"$match": reading}])
    return not await running.to_list()


async def _moved(shop: Shop, stored: Document) -> bool:
    return bool((await position(shop))["cluster_time"] > stored["cluster_time"])
