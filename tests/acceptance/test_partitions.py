"""`watch --partitions N --processes P`: each document in one partition, each partition in one process."""

import json
import re
from collections import Counter

from acceptance.divided import all_told, begin, repeated, steps_rule, take_steps, told, until_watched
from acceptance.shop import Shop
from support.polling import eventually


async def test_two_processes_share_four_partitions(shop: Shop) -> None:
    """2,000 changes: each is told once, each document's in their order; every partition has one owner, each
    line of the log names its partition; SIGTERM ends all of it in good order."""
    steps_rule(shop)
    running = until_watched(begin(shop, "--partitions", "4", "--processes", "2"), 4)

    await take_steps(shop, range(500), range(1, 5))
    await all_told(shop, 500, 4)

    shown = json.loads(shop.run("status", "--json").stdout)
    assert [part["stream"] for part in shown["partitions"]] == [f"main/{n}-of-4" for n in range(4)]
    owners = [part["owner"]["name"] for part in shown["partitions"]]
    assert owners[0] == owners[2] != owners[1] == owners[3]
    assert all(part["owner"]["watching"] for part in shown["partitions"])
    owed = [row["partition"] async for row in shop.deliveries.find()]
    assert set(owed) == {f"main/{n}-of-4" for n in range(4)}
    assert running.terminate() == 0
    assert repeated(shop) == 0
    assert set(re.findall(r"process=(\d) partition=(\d)-of-4 watching", running.stderr)) == {
        ("1", "0"), ("2", "1"), ("1", "2"), ("2", "3"),
    }  # fmt: skip


async def test_one_process_serves_all_partitions_and_a_second_one_takes_over(shop: Shop) -> None:
    """`--partitions` alone; the second stands by for each of them and goes on where the first was killed."""
    steps_rule(shop)
    first = until_watched(begin(shop, "--partitions", "3"), 3)
    second = begin(shop, "--partitions", "3")
    for number in range(3):
        second.wait_for_line(rf"partition={number}-of-3 standing by")
    await take_steps(shop, range(50), range(1, 3))
    first.kill()
    until_watched(second, 3)
    await take_steps(shop, range(50), range(3, 4))
    await all_told(shop, 50, 3)


async def test_a_process_that_comes_later_gets_its_share(shop: Shop) -> None:
    """The first gives up one after the other in good order; what changes meanwhile is told once, in order."""
    steps_rule(shop)
    first = until_watched(begin(shop, "--partitions", "4", "--lease", "1s"), 4)
    await take_steps(shop, range(100), range(1, 2))
    second = begin(shop, "--partitions", "4", "--lease", "1s")
    for step in range(2, 8):
        await take_steps(shop, range(100), range(step, step + 1))
        until_watched(second, min(2, step - 1))
    await all_told(shop, 100, 7)

    shown = json.loads(shop.run("status", "--json").stdout)["partitions"]
    assert sorted(Counter(part["owner"]["name"] for part in shown).values()) == [2, 2]
    assert first.output.count("given up: another process has fewer partitions") == 2
    assert second.terminate() == 0
    until_watched(first, 6)
    assert first.terminate() == 0
    assert repeated(shop) == 0


async def test_processes_alone_make_as_many_partitions(shop: Shop) -> None:
    """Also by the environment; what is wrong with the rules is said once, not by each of them."""
    shop.rule("broken", "on: {collection: SHOP.orders}\nwhen: amount >\ndo: [log: hello]\n")
    done = shop.run("watch", "--rules", "triggers/", MTRIGGER_PROCESSES="2")
    assert done.code == 64
    assert done.stderr.count("broken.yaml:2:") == 1

    (shop.folder / "triggers/broken.yaml").unlink()
    steps_rule(shop)
    running = until_watched(begin(shop, "--processes", "2"), 2)
    assert running.interrupt() == 0
    assert await shop.state["checkpoints"].distinct("_id") == ["main/0-of-2", "main/1-of-2"]


def test_an_order_that_partitions_cannot_keep_is_refused(shop: Shop) -> None:
    """64, the rule's name and the ways out; undivided it is no mistake."""
    shop.rule("one-by-one", "on: {collection: SHOP.orders}\nordering: rule\ndo: [log: hello]\n")
    done = shop.run("watch", "--rules", "triggers/", "--partitions", "4")
    assert done.code == 64
    assert "rule one-by-one: `ordering: rule` asks for one sequence" in done.stderr
    assert shop.watch().terminate() == 0


async def test_the_operators_commands_mean_all_partitions(shop: Shop) -> None:
    """`checkpoint set` moves each (and one alone), `gaps` tells each, `replay` owes to the owner of each
    document's partition, `reset` forgets all."""
    steps_rule(shop)
    running = until_watched(begin(shop, "--partitions", "2", "--lease", "2s"), 2)
    assert shop.run("checkpoint", "set", "--time", "now").code == 75
    await take_steps(shop, range(40), range(1, 2))
    await all_told(shop, 40, 1)
    await shop.deliveries.delete_many({})
    shop.web.requests.clear()

    done = shop.run("replay", "--rules", "triggers/", "--from", "10m", "--yes")
    assert "40 events held against the rules: 40 deliveries are newly owed" in done.stdout
    await all_told(shop, 40, 1)
    assert running.terminate() == 0
    assert {row["partition"] async for row in shop.deliveries.find()} == {"main/0-of-2", "main/1-of-2"}

    shown = json.loads(shop.run("checkpoint", "show", "--json").stdout)
    token = shown["partitions"][1]["checkpoint"]["token"]
    refused = shop.run("checkpoint", "set", "--token", token)
    assert refused.code == 2
    assert "a token belongs to one partition" in refused.stderr
    assert shop.run("checkpoint", "set", "--token", token, "--partition", "1").code == 0
    assert shop.run("checkpoint", "set", "--time", "now").code == 0
    skipped = json.loads(shop.run("gaps", "--json").stdout)["gaps"]
    assert {gap["stream"] for gap in skipped} == {"main/0-of-2", "main/1-of-2"}
    assert shop.run("checkpoint", "reset", "--yes").code == 0
    assert await shop.state["checkpoints"].count_documents({}) == 0


async def test_a_rescan_holds_each_document_against_the_rules_once(shop: Shop) -> None:
    """Each partition reads its own share of the collection."""
    steps_rule(shop)
    await take_steps(shop, range(300), range(1, 2))
    running = until_watched(begin(shop, "--partitions", "3", "--start-from", "rescan"), 3)
    await all_told(shop, 300, 1)
    assert running.terminate() == 0
    assert repeated(shop) == 0
    assert await shop.deliveries.distinct("event.operation") == ["rescan"]
    assert len(told(shop)) == 300


async def test_a_partition_without_a_position_begins_where_the_others_stand(shop: Shop) -> None:
    """A first start that was killed has written some of the positions: the rest is not "now", later on."""
    steps_rule(shop)
    assert until_watched(begin(shop, "--partitions", "2"), 2).terminate() == 0
    await shop.state["checkpoints"].delete_one({"_id": "main/1-of-2"})
    await take_steps(shop, range(20), range(1, 2))
    until_watched(begin(shop, "--partitions", "2"), 2)
    await eventually(lambda: len(told(shop)) == 20)
