"""`resolved:` through the installed command: one message when what a rule fired for is over."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from pymongo import UpdateOne

from acceptance.shop import Shop
from support.command import Running
from support.http_sink import Answer
from support.polling import eventually

Document = dict[str, Any]

LOW = """
on: {collection: SHOP.tanks}
when: level < 10 and open == true
fire: FIRE
retry: {attempts: 1000, first_delay: 20ms, max_delay: 100ms}
do:
  - webhook: {url: 'SINK/low', body: '{{ document._id }} {{ document.level }} {{ resolved }}'}
resolved:
  - webhook:
      url: SINK/over
      body: '{{ document._id }} {{ document.level }} {{ resolved }} {{ since.year }} {{ event.operation }}'
"""


def low_rule(shop: Shop, fire: str = "entering") -> None:
    shop.rule("low", LOW.replace("SINK", shop.web.url).replace("FIRE", fire))
    shop.rule("mark", f"on: {{collection: SHOP.marks}}\ndo: [{{webhook: {{url: '{shop.web.url}/mark'}}}}]\n")


async def tanks_with_images(shop: Shop) -> None:
    await shop.database.create_collection("tanks", changeStreamPreAndPostImages={"enabled": True})


def told(shop: Shop, path: str) -> list[str]:
    return [request.body.decode() for request in list(shop.web.requests) if request.path == f"/{path}"]


async def all_read(shop: Shop) -> None:
    """Everything before this moment has been read and done."""
    marked = len(told(shop, "mark"))
    await shop.database.marks.insert_one({})
    await eventually(lambda: len(told(shop, "mark")) > marked)

    async def done() -> bool:
        return await shop.deliveries.count_documents({"open": True}) == 0

    await eventually(done)


async def stands(shop: Shop, expected: dict[str, str]) -> bool:
    """Whether the delivery of each action has this status, and there are no others."""
    rows = await shop.deliveries.find({}, {"action": 1, "status": 1}).to_list()
    return sorted((row["action"], row["status"]) for row in rows) == sorted(expected.items())


YEAR = datetime.now(UTC).year


@pytest.mark.parametrize("fire", ["always", "entering"])
async def test_it_is_told_once_that_it_is_over(shop: Shop, fire: str) -> None:
    """For documents that the rule fired for, each time that it did; with the document as it is now."""
    await tanks_with_images(shop)
    low_rule(shop, fire)
    shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_many([{"_id": "a", "level": 5, "open": True}, {"_id": "b", "level": 50, "open": True}])
    for level in (4, 20, 30):
        await tanks.update_many({}, {"$set": {"level": level}})
    await tanks.update_one({"_id": "a"}, {"$set": {"level": 3}})
    await tanks.update_one({"_id": "a"}, {"$set": {"open": False}})
    await all_read(shop)

    low = ["a 3 false", "a 5 false", "b 4 false"] + (["a 4 false"] if fire == "always" else [])
    assert sorted(told(shop, "low")) == sorted(low)
    assert sorted(told(shop, "over")) == [
        f"a 20 true {YEAR} update",
        f"a 3 true {YEAR} update",
        f"b 20 true {YEAR} update",
    ]


async def test_a_delete_is_the_end_as_well(shop: Shop) -> None:
    """With the document as it was last; one that the rule did not fire for ends nothing."""
    await tanks_with_images(shop)
    low_rule(shop)
    shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_many([{"_id": "a", "level": 5, "open": True}, {"_id": "b", "level": 50, "open": True}])
    await tanks.update_one({"_id": "a"}, {"$set": {"level": 6}})
    await tanks.delete_many({})
    await all_read(shop)

    assert told(shop, "over") == [f"a 6 true {YEAR} delete"]


async def test_without_images_documents_are_looked_up(shop: Shop) -> None:
    """The end is seen all the same; of a deleted document it is known what it was when the rule fired."""
    low_rule(shop, "always")
    shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_many([{"_id": n, "level": 5, "open": True} for n in "abc"])
    await eventually(lambda: len(told(shop, "low")) == 3)
    await tanks.update_one({"_id": "a"}, {"$set": {"level": 11}})
    await tanks.replace_one({"_id": "b"}, {"level": 1})
    await tanks.delete_one({"_id": "c"})
    await all_read(shop)

    assert sorted(told(shop, "over")) == [
        f"a 11 true {YEAR} update",
        f"b 1 true {YEAR} replace",
        f"c 5 true {YEAR} delete",
    ]


async def test_a_killed_process_knows_what_it_fired_for(shop: Shop) -> None:
    """Killed after it fired, and again; whatever is read twice is told once."""
    await tanks_with_images(shop)
    low_rule(shop)
    running = shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_many([{"_id": number, "level": 1, "open": True} for number in range(30)])
    await eventually(lambda: len(told(shop, "low")) >= 15)
    for level in (20, 2, 30):
        running = again(shop, running)
        await tanks.update_many({}, {"$set": {"level": level}})
    running = again(shop, running)
    await all_read(shop)

    for path, ends in (
        ("low", ("1 false", "2 false")),
        ("over", (f"20 true {YEAR} update", f"30 true {YEAR} update")),
    ):
        ids = await shop.deliveries.count_documents(
            {"action": "webhook" if path == "low" else "resolved-webhook", "rule": "low"}
        )
        assert ids == 60
        assert set(told(shop, path)) == {f"{number} {end}" for number in range(30) for end in ends}


def again(shop: Shop, running: Running) -> Running:
    running.kill()
    return shop.watch()


async def test_every_beginning_and_every_end_under_load_and_kills(shop: Shop) -> None:
    """Each document's own history says what is owed for it, wherever the process dies."""
    await tanks_with_images(shop)
    low_rule(shop)
    running = shop.watch()
    tanks = shop.database.tanks
    chance = random.Random(20261122)
    histories = {number: [50] for number in range(40)}
    await tanks.insert_many([{"_id": number, "level": 50, "open": True} for number in histories])
    for turn in range(12):
        for history in histories.values():
            history.append(chance.choice((5, 6, 20, 30)))
        await tanks.bulk_write(
            [
                UpdateOne({"_id": number}, {"$set": {"level": levels[-1]}})
                for number, levels in histories.items()
            ]
        )
        if turn % 3 == 0:
            running = again(shop, running)
    await all_read(shop)

    steps = {number: list(pairwise(levels)) for number, levels in histories.items()}
    begun = {number: sum(was >= 10 > level for was, level in some) for number, some in steps.items()}
    ended = {number: sum(was < 10 <= level for was, level in some) for number, some in steps.items()}
    rows = shop.deliveries.find({"rule": "low"}, {"event.key": 1, "action": 1})
    owed = Counter([(row["action"], row["event"]["key"]["_id"]) async for row in rows])
    assert owed == Counter(
        {("webhook", number): count for number, count in begun.items()}
        | {("resolved-webhook", number): count for number, count in ended.items()}
    )


async def test_what_is_read_again_ends_nothing_twice(shop: Shop) -> None:
    """The position set back by an operator to before it all."""
    await tanks_with_images(shop)
    low_rule(shop)
    running = shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_one({"_id": "a", "level": 1, "open": True})
    for level in (20, 2, 30, 3):
        await tanks.update_one({"_id": "a"}, {"$set": {"level": level}})
    await all_read(shop)
    begun = (await shop.deliveries.find_one({"rule": "low"}, sort=[("position", 1)]) or {})["event"]["time"]
    assert running.terminate() == 0
    count = await shop.deliveries.count_documents({"rule": "low"})
    done = shop.run("checkpoint", "set", "--time", begun.isoformat())
    assert done.code == 0, done.output
    shop.watch()
    await tanks.update_one({"_id": "a"}, {"$set": {"level": 40}})
    await all_read(shop)

    assert count == 5
    assert await shop.deliveries.count_documents({"rule": "low"}) == 6
    assert told(shop, "over")[-1] == f"a 40 true {YEAR} update"


async def test_several_partitions_each_follow_their_documents(shop: Shop) -> None:
    """And after the stream was divided in another way."""
    await tanks_with_images(shop)
    low_rule(shop)
    tanks = shop.database.tanks
    running = shop.watch("--partitions", "2")
    await tanks.insert_many([{"_id": number, "level": 1, "open": True} for number in range(20)])
    await eventually(lambda: len(told(shop, "low")) == 20)
    assert running.terminate() == 0
    shop.watch("--partitions", "3")
    await tanks.update_many({}, {"$set": {"level": 20}})
    await eventually(lambda: len(told(shop, "over")) == 20)
    await all_read(shop)

    assert sorted(told(shop, "over")) == sorted(f"{number} 20 true {YEAR} update" for number in range(20))


async def test_gates_keep_back_the_message_and_not_its_end(shop: Shop) -> None:
    """A throttled message may have been left out; that it is over is told."""
    await tanks_with_images(shop)
    shop.rule(
        "low", LOW.replace("SINK", shop.web.url).replace("FIRE", "entering") + "throttle: {every: 1h}\n"
    )
    shop.rule("mark", f"on: {{collection: SHOP.marks}}\ndo: [{{webhook: {{url: '{shop.web.url}/mark'}}}}]\n")
    shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_many([{"_id": n, "level": 5, "open": True} for n in "ab"])
    await tanks.update_many({}, {"$set": {"level": 20}})
    await all_read(shop)

    assert len(told(shop, "low")) == 1
    assert sorted(text[0] for text in told(shop, "over")) == ["a", "b"]


async def test_the_end_is_not_told_before_the_beginning_is(shop: Shop) -> None:
    """The alert is refused for a while: the message that it is over waits for it, also across a crash."""
    await tanks_with_images(shop)
    low_rule(shop)
    shop.web.answer_path("/low", Answer(500))
    running = shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_one({"_id": "a", "level": 5, "open": True})
    await eventually(lambda: len(told(shop, "low")) >= 2)
    await tanks.update_one({"_id": "a"}, {"$set": {"level": 20}})
    await shop.delivery({"action": "resolved-webhook"})
    await eventually(lambda: len(told(shop, "low")) >= 5)
    assert told(shop, "over") == []

    running.kill()  # what waits in the outbox waits for what lies there, too
    long_ago = datetime.now(UTC) - timedelta(days=2)
    await shop.deliveries.update_one({"action": "resolved-webhook"}, {"$set": {"created_at": long_ago}})
    running = shop.watch()
    tried = len(told(shop, "low"))
    await eventually(lambda: len(told(shop, "low")) >= tried + 2)
    assert told(shop, "over") == []

    shop.web.answer_path("/over", Answer(500))  # it has not grown old by waiting: it is tried again
    shop.web.answer_path("/low", Answer(200))
    await eventually(lambda: len(told(shop, "over")) >= 2)
    shop.web.answer_path("/over", Answer(200))
    await all_read(shop)
    requests = [request.path for request in list(shop.web.requests) if request.path != "/mark"]
    assert set(requests[requests.index("/over") :]) == {"/over"}
    assert (await shop.delivery({"action": "resolved-webhook"}))["status"] == "delivered"


async def test_an_end_waits_for_the_hours_of_its_rule(shop: Shop) -> None:
    """What is left out outside of them has its end all the same, when the rule may speak again."""
    await tanks_with_images(shop)
    now = datetime.now(UTC)
    first, last = (f"{now + timedelta(hours=ahead):%H:%M}" for ahead in (2, 4))
    rule = LOW.replace("SINK", shop.web.url).replace("FIRE", "entering")
    shop.rule("low", f'{rule}active: {{hours: "{first}-{last}", otherwise: skip}}\n')
    shop.watch()
    tanks = shop.database.tanks
    await tanks.insert_one({"_id": "a", "level": 5, "open": True})
    await tanks.update_one({"_id": "a"}, {"$set": {"level": 20}})
    await eventually(lambda: stands(shop, {"webhook": "suppressed", "resolved-webhook": "pending"}))
    assert not shop.web.requests

    shop.rule("low", rule)

    await eventually(lambda: stands(shop, {"webhook": "suppressed", "resolved-webhook": "delivered"}))
    assert told(shop, "over") == [f"a 20 true {YEAR} update"]
