"""Positions that are damaged, foreign, missing, or that nothing gets past: told, and never looped over."""

import json
import random
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from acceptance.shop import Shop
from faults.oplogs import BIG_ORDERS, Document, owed_for, position
from mtrigger.embedded import EmbeddedServer
from support.fail_points import failing_commands
from support.polling import eventually

SEED = 20_260_131


async def seen_then_missed(shop: Shop) -> Document:
    """Watch one order, stop, make another; returns the position that was left."""
    shop.rule("big-orders", BIG_ORDERS)
    running = shop.watch()
    await shop.orders.insert_one({"_id": "seen", "amount": 11_000})
    await shop.delivery({"status": "delivered"})
    assert running.terminate() == 0
    await shop.orders.insert_one({"_id": "missed", "amount": 12_000})
    return await position(shop)


async def store(shop: Shop, **fields: Any) -> None:
    """Damage the stored position."""
    await shop.state["checkpoints"].update_one({}, {"$set": fields})


def flipped(token: str, bit: int) -> str:
    """`token` with one wrong bit."""
    raw = bytearray.fromhex(token)
    raw[bit // 8] ^= 1 << bit % 8
    return raw.hex().upper()


def damaged_tokens() -> list[str]:
    """Names of ways to damage a token."""
    some = random.Random(SEED).sample(range(8 * 15), 3)
    return ["DEADBEEF", "", "not hex", "82", *(f"bit {bit}" for bit in (0, 14, 40, *some))]


@pytest.mark.parametrize("damage", damaged_tokens())
async def test_a_damaged_token_loses_and_loops_over_nothing(shop: Shop, damage: str) -> None:
    """Fault 27: whatever MongoDB makes of the bytes, reading goes on from the position's time."""
    stored = await seen_then_missed(shop)
    token = stored["token"]["_data"]
    name, _, bit = damage.partition(" ")
    await store(shop, token={"_data": flipped(token, int(bit)) if name == "bit" else damage})

    running = shop.watch()

    await shop.delivery({"event.key._id": "missed"})
    await shop.orders.insert_one({"_id": "later", "amount": 13_000})
    await shop.delivery({"event.key._id": "later"})
    assert await owed_for(shop) == ["later", "missed", "seen"]
    assert running.output.count("warning") <= 2, running.output
    assert running.terminate() == 0


async def test_280_in_the_middle_is_tried_once_by_time_and_then_asked_about(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """Faults 26 and 17: once is mended by the time; always ends with 78, after one try and not a thousand."""
    shop.rule("big-orders", BIG_ORDERS)
    name = f"fatal-{database.name}"
    watched = Shop(shop.command, shop.database, f"{mongod.uri}&appName={name}", shop.mail, shop.web)
    running = watched.watch()
    async with failing_commands(client, ["getMore"], app_name=name, mode={"times": 1}, errorCode=280):
        running.wait_for_line("going on from its time")
    await shop.orders.insert_one({"_id": "on", "amount": 13_000})
    await shop.delivery({"event.key._id": "on"})

    async with failing_commands(client, ["getMore"], app_name=name, errorCode=280):
        assert running.wait() == 78, running.output

    assert 2 <= running.stderr.count("going on from its time") <= 4
    assert "accepts neither the position of this stream nor its time" in running.stderr
    assert "`mtrigger watch --on-invalid-token rescan`" in running.stderr


async def test_an_invalid_token_can_be_given_up_for_now(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """Fault 26 with --on-invalid-token: the stretch is a gap of its own kind."""
    shop.rule("big-orders", BIG_ORDERS)
    name = f"invalid-{database.name}"
    watched = Shop(shop.command, shop.database, f"{mongod.uri}&appName={name}", shop.mail, shop.web)
    running = watched.watch("--on-invalid-token", "from-now")

    async def told_while_changes_come() -> bool:
        await shop.orders.insert_one({"amount": 1})
        return "--on-invalid-token from-now" in running.stderr

    # While each refusal takes its time, something happens that is skipped.
    refused = {"errorCode": 260, "blockConnection": True, "blockTimeMS": 200}
    async with failing_commands(client, ["getMore"], app_name=name, mode={"times": 2}, **refused):
        await eventually(told_while_changes_come)
    await shop.orders.insert_one({"_id": "on", "amount": 13_000})
    await shop.delivery({"event.key._id": "on"})

    (gap,) = await shop.state["gaps"].find().to_list()
    assert (gap["policy"], gap["why"].partition(":")[0]) == ("from-now", "invalid token")


async def test_a_damaged_checkpoint_shows_the_tokens_before_it(shop: Shop) -> None:
    """Fault 27: nothing is guessed; the way back is in the sentence."""
    stored = await seen_then_missed(shop)
    earlier = {"_data": stored["token"]["_data"]}
    await store(shop, token=5, previous=[earlier])

    done = shop.run("watch", "--rules", "triggers/")

    assert done.code == 78, done.output
    assert earlier["_data"] in done.stderr
    assert shop.run("checkpoint", "set", "--token", earlier["_data"]).code == 0
    shop.watch()
    await shop.delivery({"event.key._id": "missed"})


async def test_a_position_of_another_deployment_is_refused(shop: Shop) -> None:
    """Fault 28: a connection string that points somewhere else would silently see nothing."""
    stored = await seen_then_missed(shop)
    await store(shop, cluster_id="set:0123456789abcdef01234567")

    done = shop.run("watch", "--rules", "triggers/")

    assert (done.code, "belongs to another deployment" in done.stderr) == (78, True), done.output
    assert (await position(shop))["token"] == stored["token"]


async def test_a_position_in_the_future_is_refused(shop: Shop) -> None:
    """A deployment that was restored from a backup would silently see nothing until then."""
    await seen_then_missed(shop)
    later = Timestamp(int(datetime.now(UTC).timestamp()) + 3_600, 1)
    await store(shop, token=None, cluster_time=later)

    done = shop.run("watch", "--rules", "triggers/")

    assert (done.code, "lies in the future" in done.stderr) == (78, True), done.output


async def test_a_missing_position_is_not_replaced_by_now_in_silence(shop: Shop) -> None:
    """Fault 29: there are deliveries, so there was a position: an operator says where to begin."""
    await seen_then_missed(shop)
    await shop.state["checkpoints"].delete_one({})

    refused = shop.run("watch", "--rules", "triggers/", MTRIGGER_START_FROM="now")

    assert refused.code == 78, refused.output
    time = refused.stderr.split("checkpoint set --time ")[1].split("`")[0]
    assert await shop.state["checkpoints"].count_documents({}) == 0
    assert shop.run("checkpoint", "set", "--time", time).code == 0
    running = shop.watch()
    await shop.delivery({"event.key._id": "missed"})
    assert await owed_for(shop) == ["missed", "seen"]
    assert running.terminate() == 0


async def test_somebody_who_says_so_may_begin_afresh_and_the_gap_is_kept(shop: Shop) -> None:
    """Fault 29: `--start-from now` on the command line is an operator's word."""
    await seen_then_missed(shop)
    assert shop.run("checkpoint", "reset", "--yes").code == 0

    shop.watch("--start-from", "now")
    await shop.orders.insert_one({"_id": "later", "amount": 13_000})
    await shop.delivery({"event.key._id": "later"})

    assert await owed_for(shop) == ["later", "seen"]
    (gap,) = json.loads(shop.run("gaps", "--json").stdout)["gaps"]
    assert (gap["policy"], gap["rescanned"]) == ("operator", False)


async def test_a_start_that_fails_three_times_at_one_position_asks_an_operator(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """Fault 27: a supervisor would start it for ever. Once the cause is gone it simply goes on."""
    await seen_then_missed(shop)
    name = f"failing-{database.name}"
    watched = Shop(shop.command, shop.database, f"{mongod.uri}&appName={name}", shop.mail, shop.web)

    async with failing_commands(client, ["getMore"], app_name=name, errorCode=8):  # UnknownError
        ends = [watched.run("watch", "--rules", "triggers/") for _ in range(4)]

    assert [end.code for end in ends] == [1, 1, 78, 1], [end.output for end in ends]
    assert "the third start in a row that failed at the position" in ends[2].stderr
    assert all("Traceback" not in end.output for end in ends)
    running = watched.watch()
    await shop.delivery({"event.key._id": "missed"})
    await eventually(lambda: _starts(shop, 0))
    assert running.terminate() == 0


async def test_starts_that_are_killed_before_they_get_anywhere_are_counted_too(
    shop: Shop, client: AsyncMongoClient[Document], mongod: EmbeddedServer, database: AsyncDatabase[Document]
) -> None:
    """Fault 27: out of memory says nothing. After ten, one start asks; the next one tries again."""
    await seen_then_missed(shop)
    await shop.state["checkpoints"].update_one({}, {"$set": {"starts": 7}})
    name = f"killed-{database.name}"
    watched = Shop(shop.command, shop.database, f"{mongod.uri}&appName={name}", shop.mail, shop.web)
    # Longer than it takes to kill what was just seen to start; the last of them is waited for at the end.
    async with failing_commands(client, ["getMore"], app_name=name, blockConnection=True, blockTimeMS=5_000):
        for number in range(8, 11):
            running = watched.watch()
            await eventually(partial(_starts, shop, number))
            running.kill()
        asked = watched.run("watch", "--rules", "triggers/")

    assert asked.code == 78, asked.output
    assert "The last 10 starts ended at the position" in asked.stderr
    watched.watch()
    await shop.delivery({"event.key._id": "missed"})


async def test_starts_that_end_in_good_order_are_never_too_many(shop: Shop) -> None:
    """Nothing happens in the deployment, and somebody starts and stops it five times."""
    await seen_then_missed(shop)
    for _ in range(5):
        running = shop.watch()
        assert running.terminate() == 0, running.output
    assert await _starts(shop, 0)


async def _starts(shop: Shop, count: int) -> bool:
    return bool((await position(shop))["starts"] == count)


async def test_what_an_operator_skips_is_a_gap_too(shop: Shop) -> None:
    """`checkpoint set` forward; going back skips nothing, and a rescan is not set but started."""
    stored = await seen_then_missed(shop)
    back = stored["cluster_time"].as_datetime().isoformat()

    assert shop.run("checkpoint", "set", "--time", "now").code == 0
    assert shop.run("checkpoint", "set", "--time", back).code == 0
    refused = shop.run("checkpoint", "set", "--time", "rescan")

    (gap,) = json.loads(shop.run("gaps", "--json").stdout)["gaps"]
    assert (gap["policy"], gap["why"]) == ("operator", "an operator set the position")
    assert (refused.code, "--start-from rescan" in refused.stderr) == (2, True), refused.output
    assert "1 gap" in shop.run("status").output
