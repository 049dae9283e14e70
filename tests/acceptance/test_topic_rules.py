"""Rules that consume topics, through the installed command on a real deployment.

Messages are inserted as any producer would insert them: by plain PyMongo, without offsets.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection

from acceptance.shop import Shop
from mtrigger.ownership.sharing import same
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.registry import MongoTopics
from support.command import Running
from support.http_sink import Answer
from support.polling import eventually
from support.raw_bson import document, fields, old_binary

Document = dict[str, Any]

MAILS = """
name: big
on: {topic: ORDERS}
when: amount > 10000 and message.headers.kind == "web"
do:
  - email:
      to: sales@example.com
      subject: "Big order {{ message.key }}"
      text: "{{ document.amount }} in {{ message.topic }} at {{ message.offset }}"
"""

STEPS = """
name: {name}
on: {{topic: ORDERS, group: {group}, from: {start}}}
do:
  - write:
      into: SHOP.{name}
      insert: {{key: "{{{{ message.key }}}}", n: "{{{{ document.n }}}}", id: "{{{{ message.id }}}}"}}
"""


def messages(shop: Shop) -> AsyncCollection[Document]:
    """The collection of the topic ORDERS."""
    return shop.state["topics.ORDERS"]


def consumes(shop: Shop, name: str, group: str, start: str = "beginning") -> None:
    """A rule `name` that writes each message down in a collection of its name."""
    shop.rule(name, STEPS.format(name=name, group=group, start=start))


def watch(shop: Shop, *arguments: str) -> Running:
    """Start watching; return when a group reads."""
    running = shop.command.start("watch", "--rules", "triggers/", *arguments, env=shop.environment)
    running.wait_for_line(r"reading the topic ORDERS with")
    return running


async def publish(shop: Shop, numbers: range, keys: int = 5) -> None:
    """Messages with these numbers, of so many keys in turn."""
    await messages(shop).insert_many(
        [{"_id": f"m{n}", "key": f"k{n % keys}", "body": {"n": n}} for n in numbers]
    )


def log_of(shop: Shop) -> MongoLog:
    """The topic ORDERS."""
    return MongoTopics(shop.state, StateOutage(None)).log("ORDERS")


async def written(shop: Shop, name: str, count: int) -> list[Document]:
    """What the rule `name` has written down, in that order, once it is so much."""

    async def enough() -> list[Document] | None:
        found = await shop.database[name].find({}).to_list()
        return found if len(found) >= count else None

    return await eventually(enough)


async def test_a_rule_gets_the_messages_that_its_condition_is_about(shop: Shop) -> None:
    """Bare names are the body's; what was there before anybody watched is read, then what comes."""
    shop.rule("big", MAILS)
    wanted = {"headers": {"kind": "web"}, "body": {"amount": 20_000}}
    await messages(shop).insert_many(
        [
            {"_id": 1, "key": "early", **wanted},
            {"_id": 2, "key": "small", **wanted, "body": {"amount": 5}},
            {"_id": 3, "key": "shop", **wanted, "headers": {"kind": "shop"}},
            {"_id": 4, "key": "odd", "headers": "no mapping", "body": "no document"},
        ]
    )
    running = watch(shop)
    await messages(shop).insert_one({"_id": 5, "key": "late", **wanted})
    await eventually(lambda: len(shop.mail.mails) == 2)
    assert dict(shop.mailed()) == {"early": 1, "late": 1}
    (late,) = [mail for mail in shop.messages() if mail["Subject"] == "Big order late"]
    assert "20000 in ORDERS at 5" in late.as_string()
    assert running.terminate() == 0
    row = await shop.delivery({"position": {"$gt": "00000000000000000005"}})
    assert row["partition"] == "topic/ORDERS/big"
    assert row["event"]["operation"] == "message"


async def test_two_groups_are_independent_and_begin_where_they_are_told(shop: Shop) -> None:
    """From the beginning, behind a message, at an offset; a group that comes with a reload, from now on."""
    await publish(shop, range(10))
    consumes(shop, "all", "first")
    consumes(shop, "after", "second", "after:m6")
    consumes(shop, "offset", "third", "offset:9")
    running = watch(shop)
    assert [row["n"] for row in await written(shop, "all", 10)] == list(range(10))
    assert [row["n"] for row in await written(shop, "after", 3)] == [7, 8, 9]
    assert [row["n"] for row in await written(shop, "offset", 2)] == [8, 9]
    consumes(shop, "later", "fourth", "now")
    running.wait_for_line("group=ORDERS/fourth reading the topic ORDERS")
    await publish(shop, range(10, 12))
    assert [row["n"] for row in await written(shop, "later", 2)] == [10, 11]
    (shop.folder / "triggers" / "later.yaml").unlink()
    running.wait_for_line("group=ORDERS/fourth no rule is of this group any more")
    await publish(shop, range(12, 14))
    for name, count in (("all", 14), ("after", 7), ("offset", 6)):
        assert [row["n"] for row in await written(shop, name, count)][-1] == 13
    assert await shop.database["later"].count_documents({}) == 2
    assert running.terminate() == 0


async def test_what_is_published_while_nobody_runs_is_read_later_and_once(shop: Shop) -> None:
    """A position is a number: how long a group was away makes no difference."""
    consumes(shop, "all", "g")
    await publish(shop, range(3))
    running = watch(shop)
    await written(shop, "all", 3)
    assert running.terminate() == 0
    await publish(shop, range(3, 6))
    running = watch(shop)
    assert [row["n"] for row in await written(shop, "all", 6)] == list(range(6))
    assert running.terminate() == 0


async def test_kills_with_a_backlog_do_everything_once(shop: Shop) -> None:
    """Each message is written down once, those of one key in their order."""
    consumes(shop, "all", "g")
    await publish(shop, range(1_500))
    running = watch(shop)
    for far in (100, 700):
        await written(shop, "all", far)
        running.kill()
        running = watch(shop)
    rows = await written(shop, "all", 1_500)
    assert sorted(row["n"] for row in rows) == list(range(1_500))
    for key in range(5):
        of_key = [row["n"] for row in rows if row["key"] == f"k{key}"]
        assert of_key == sorted(of_key)
    assert running.terminate() == 0


async def test_a_second_process_takes_over(shop: Shop) -> None:
    """It stands by for the group, and goes on where the first was killed."""
    consumes(shop, "all", "g")
    first = watch(shop)
    await publish(shop, range(5))
    await written(shop, "all", 5)
    second = shop.command.start("watch", "--rules", "triggers/", env=shop.environment)
    second.wait_for_line("group=ORDERS/g standing by")
    first.kill()
    second.wait_for_line("group=ORDERS/g reading the topic ORDERS")
    await publish(shop, range(5, 10))
    assert [row["n"] for row in await written(shop, "all", 10)] == list(range(10))
    assert second.terminate() == 0


async def test_a_reset_reads_again_in_a_running_process(shop: Shop) -> None:
    """The group is lost and begins anew from where it was put, with new deliveries; nothing else ends."""
    consumes(shop, "all", "g")
    consumes(shop, "other", "h")
    running = watch(shop, "--lease", "1s")
    await publish(shop, range(4))
    await written(shop, "all", 4)
    done = shop.run("topic", "reset", "ORDERS", "g", "--to", "after:m1", "--yes")
    assert done.code == 0
    assert [row["n"] for row in await written(shop, "all", 6)] == [0, 1, 2, 3, 2, 3]
    assert await shop.database["other"].count_documents({}) == 4

    async def caught_up() -> bool:
        groups = json.loads(shop.run("status", "--json").stdout)["groups"]
        return [(one["group"], one["position"], one["lag"]) for one in groups] == [("g", 4, 0), ("h", 4, 0)]

    await eventually(caught_up)
    assert re.search(r"ORDERS\s+g\s+rules\s+4\s+0\s", shop.run("status").stdout)
    assert running.terminate() == 0


async def test_what_was_not_kept_is_a_gap(shop: Shop) -> None:
    """The group goes on with the oldest message there is, and says what it has missed."""
    consumes(shop, "all", "g")
    running = watch(shop)
    await publish(shop, range(4))
    await written(shop, "all", 4)
    assert running.terminate() == 0
    await publish(shop, range(4, 8))
    assert len(await log_of(shop).read(4, 10)) == 4  # they have their numbers now
    await shop.state["topics"].update_one({"_id": "ORDERS"}, {"$set": {"first": 7}})
    await messages(shop).delete_many({"_id": {"$in": ["m4", "m5"]}})
    running = watch(shop)
    assert [row["n"] for row in await written(shop, "all", 6)] == [0, 1, 2, 3, 6, 7]
    running.wait_for_line("2 messages behind the offset 4 were not kept")
    gaps = json.loads(shop.run("gaps", "--json").stdout)
    assert [gap["stream"] for gap in gaps["gaps"]] == ["topic/ORDERS/g"]
    assert running.terminate() == 0


async def test_messages_of_a_key_wait_for_its_retries(shop: Shop) -> None:
    """Those of others go on; so does whatever comes behind one that is dead."""
    shop.rule(
        "calls",
        """
name: calls
on: {topic: ORDERS}
do:
  - webhook: {url: "URL/{{ message.key }}", body: {n: "{{ document.n }}"}}
retry: {attempts: 3, first_delay: 50ms, max_delay: 50ms}
""".replace("URL", shop.web.url),
    )
    shop.web.answer_next(Answer(503))
    shop.web.answer_path("/k1", Answer(400))
    watch(shop)
    await publish(shop, range(12), keys=3)
    await eventually(lambda: len(shop.web.requests) >= 13)
    calls = [(request.path, int(request.json()["n"]), request.status) for request in shop.web.requests]
    for key in range(3):
        numbers = [n for path, n, _ in calls if path == f"/k{key}"]
        assert sorted(set(numbers)) == list(range(key, 12, 3))
        assert numbers == sorted(numbers)
    dead = await shop.delivery({"status": "dead"})
    assert dead["partition"] == "topic/ORDERS/calls"


async def test_a_message_that_cannot_be_read_dies_and_holds_up_nothing(shop: Shop) -> None:
    """Its delivery is dead, and says why; a rule of dead letters is told."""
    consumes(shop, "all", "g")
    shop.rule(
        "told",
        """
name: told
on: {dead_letters: true}
do: {write: {into: SHOP.told, insert: {error: "{{ document.error }}", rule: "{{ document.rule }}"}}}
""",
    )
    await publish(shop, range(1))
    raw = document(fields(_id="m1", key="k1"), old_binary("body"))
    await shop.state.get_collection("topics.ORDERS").insert_one(RawBSONDocument(raw))
    await publish(shop, range(2, 4))
    watch(shop)
    assert sorted(row["n"] for row in await written(shop, "all", 3)) == [0, 2, 3]
    (told,) = await written(shop, "told", 1)
    assert told["rule"] == "all"
    assert "the change cannot be read" in told["error"]


async def test_a_group_that_cannot_begin_is_refused(shop: Shop) -> None:
    """At the start, and at a reload, where the rules before stay in force."""
    consumes(shop, "all", "g")
    consumes(shop, "members", "m")
    await shop.state["topic_groups"].insert_one({"_id": "ORDERS/m"})
    refused = shop.run("watch", "--rules", "triggers/")
    assert refused.code == 64
    assert "rule members: the group m of the topic ORDERS has members in Python" in refused.stderr
    (shop.folder / "triggers" / "members.yaml").unlink()
    running = watch(shop)
    consumes(shop, "nowhere", "n", "after:nobody")
    running.wait_for_line("rule nowhere: its group is new and cannot begin at `from`")
    await publish(shop, range(2))
    await written(shop, "all", 2)
    assert running.terminate() == 0


async def test_a_dry_run_shows_and_leaves_the_position_alone(shop: Shop) -> None:
    """It reads from the beginning, as a new group would."""
    consumes(shop, "all", "g")
    await publish(shop, range(2))
    running = watch(shop, "--dry-run")
    running.wait_for_line("would run: rule all, write")
    assert running.terminate() == 0
    assert await shop.state["checkpoints"].count_documents({}) == 0
    assert await shop.database["all"].count_documents({}) == 0


async def test_processes_share_the_groups(shop: Shop) -> None:
    """Each group is one process's."""
    groups = [f"g{number}" for number in range(4)]
    for group in groups:
        consumes(shop, group, group)
    running = watch(shop, "--processes", "2", "--partitions", "2")
    for group in groups:
        running.wait_for_line(f"group=ORDERS/{group} reading the topic ORDERS")
    await publish(shop, range(3))
    for group in groups:
        assert [row["n"] for row in await written(shop, group, 3)] == [0, 1, 2]
    rows = shop.state["checkpoints"].find({"_id": {"$regex": "^topic/"}}, sort=[("_id", 1)])
    owners = [same(row["lease"]["owner"]) async for row in rows]
    assert owners[0] == owners[2] != owners[1] == owners[3]
    assert running.terminate() == 0


async def test_messages_are_gathered_by_what_their_bodies_say(shop: Shop) -> None:
    """Groups, sums and documents are those of the bodies, under the names that the rule gives them."""
    shop.rule(
        "sums",
        """
name: sums
on: {topic: ORDERS}
digest: {every: 1s, per: customer.id, sums: n}
do:
  - write:
      into: SHOP.sums
      insert: {group: "{{ group['customer.id'] }}", sum: "{{ sums.n }}", documents: "{{ documents }}"}
""",
    )
    bodies = [{"customer": {"id": number % 2}, "n": number} for number in range(4)]
    await messages(shop).insert_many([{"_id": body["n"], "body": body} for body in bodies])
    watch(shop)
    rows = sorted(await written(shop, "sums", 2), key=lambda row: int(row["group"]))
    assert [(row["group"], row["sum"]) for row in rows] == [(0, 2), (1, 4)]
    assert [row["documents"] for row in rows] == [bodies[0::2], bodies[1::2]]


async def test_a_topic_that_is_deleted_and_filled_again_is_read_whole(shop: Shop) -> None:
    """By a group that was away meanwhile, and stood further than the new messages are many; with ids that it
    has seen before."""
    consumes(shop, "all", "g")
    await publish(shop, range(4))
    running = watch(shop)
    await written(shop, "all", 4)
    assert running.terminate() == 0
    assert shop.run("topic", "delete", "ORDERS", "--yes").code == 0
    await publish(shop, range(6))
    running = watch(shop)
    assert [row["n"] for row in await written(shop, "all", 10)] == [0, 1, 2, 3, *range(6)]
    assert json.loads(shop.run("gaps", "--json").stdout)["gaps"] == []
    assert running.terminate() == 0


async def test_a_group_begins_at_a_time_and_large_messages_are_looked_up(shop: Shop) -> None:
    """The time may have any zone; what does not fit into the outbox is read from the topic again."""
    shop.rule(
        "sizes",
        """
name: sizes
on: {topic: ORDERS, from: "2026-01-01T10:00:00+09:00"}
do: {write: {into: SHOP.sizes, insert: {id: "{{ message.id }}", size: "{{ document.text | length }}"}}}
""",
    )
    start = datetime(2026, 1, 1, 1, tzinfo=UTC)
    large = "x" * 15_900_000
    await messages(shop).insert_many(
        [
            {"_id": "before", "time": start - timedelta(seconds=1), "body": {"text": ""}},
            {"_id": "at", "time": start, "body": {"text": "x"}},
            {"_id": "large", "time": start, "body": {"text": large}},
        ]
    )
    running = watch(shop)
    found = {row["id"]: row["size"] for row in await written(shop, "sizes", 2)}
    assert found == {"at": 1, "large": len(large)}
    assert running.terminate() == 0
