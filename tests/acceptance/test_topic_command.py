"""`mtrigger topic`: what somebody at a terminal sees of topics, and does to them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.embedded import EmbeddedServer
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.mongo import MongoStore
from mtrigger.topic_client import Topic
from mtrigger.topics.message_events import Group, Place
from support.command import Finished, MtriggerCommand

SECOND = '{"amount": 2, "at": {"$date": "2026-01-31T10:00:00Z"}}'


class Terminal:
    """Somebody at a terminal, and the topic behind the commands."""

    def __init__(self, command: MtriggerCommand, uri: str, state: AsyncDatabase[dict[str, Any]]) -> None:
        self.command = command
        self.environment = {"MTRIGGER_URI": uri, "MTRIGGER_STATE_DB": state.name}
        self.state = state
        self.topic = Topic("ORDERS", uri, state.name)

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> Finished:
        """A command about topics that ends with `code`."""
        done = self.command.run("topic", *arguments, env=self.environment, stdin=stdin)
        assert done.code == code, done.output
        return done

    def json(self, *arguments: str) -> Any:
        """The one document that a command prints with `--json`."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def lines(self, *arguments: str) -> list[Any]:
        """The documents, one a line, that `tail` prints with `--json`."""
        return [json.loads(line) for line in self.run("tail", *arguments, "--json").stdout.splitlines()]


@pytest.fixture
async def terminal(
    mtrigger_command: MtriggerCommand, database: AsyncDatabase[dict[str, Any]], mongod: EmbeddedServer
) -> AsyncIterator[Terminal]:
    """An empty state database."""
    terminal = Terminal(mtrigger_command, mongod.uri, database)
    async with terminal.topic:
        yield terminal


async def store_of(terminal: Terminal, offset: int) -> MongoStore:
    """The store, in which a group of rules stands behind this offset."""
    store = MongoStore(terminal.state.client, terminal.state.name)
    await store.open()
    now = datetime.now(UTC)
    token = Place(0, offset).token
    at = Timestamp(int(now.timestamp()), 1)
    await store.begin(Checkpoint(Group("ORDERS", "big").stream, token, at, "", "", now))
    return store


def test_what_is_published_is_shown_one_a_line(terminal: Terminal) -> None:
    """From the place that is named, as many as are wanted; and can be published again from these lines."""
    assert "no topics yet" in terminal.run("list").stderr
    done = terminal.run("publish", "ORDERS", '{"amount": 1}', "--key", "eu", "--header", "a=b", "--id", "one")
    assert "1 message published" in done.stderr
    again = terminal.json("publish", "ORDERS", '{"amount": 1}', "--id", "one")
    assert again == {"published": 0, "known": 1}
    terminal.run("publish", "ORDERS", stdin=f'{SECOND}\n\n"text"')

    first, second, third = terminal.lines("ORDERS", "--from", "beginning")
    assert first.pop("time").keys() == {"$date"}
    assert first == {
        "id": "one",
        "key": "eu",
        "headers": {"a": "b"},
        "body": {"amount": 1},
        "source": {},
        "offset": 1,
        "topic": "ORDERS",
    }
    assert second["body"] == json.loads(SECOND)
    assert (third["body"], third["key"], third["offset"]) == ("text", None, 3)
    assert terminal.lines("ORDERS", "--from", "offset:2", "--limit", "1") == [second]
    assert terminal.lines("ORDERS", "--from", "after:one")[0] == second
    people = terminal.run("tail", "ORDERS").stdout.splitlines()
    assert len(people) == 3
    assert people[0].startswith("1  ")
    assert people[0].endswith('eu  {"amount": 1}')

    lines = terminal.run("tail", "ORDERS", "--from", "beginning", "--json").stdout
    terminal.run("publish", "COPY", "--messages", stdin=lines)
    copies = [{**one, "topic": "COPY"} for one in terminal.lines("ORDERS")]
    assert terminal.lines("COPY") == copies
    names = [(one["name"], one["messages"], one["next"]) for one in terminal.json("list")["topics"]]
    assert names == [("COPY", 3, 4), ("ORDERS", 3, 4)]


def test_tail_goes_on_with_what_comes(terminal: Terminal) -> None:
    """Also of a topic that nobody has published into yet."""
    tail = terminal.command.start("topic", "tail", "NEW", "-f", "--json", env=terminal.environment)
    tail.wait_for_line("no topic NEW yet")
    terminal.run("publish", "NEW", "1")
    tail.wait_for_line('"body": 1')
    assert tail.interrupt() == 130


def test_what_cannot_be_is_told(terminal: Terminal) -> None:
    """With the way out, and what was right in the lines before is published."""
    terminal.run("publish", "ORDERS", "1")
    assert "did you mean ORDERS?" in terminal.run("tail", "ORDER", code=1).stderr
    assert "did you mean `beginning`?" in terminal.run("tail", "ORDERS", "--from", "begin", code=2).stderr
    assert """write '"hello"'""" in terminal.run("publish", "ORDERS", "hello", code=2).stderr
    said = terminal.run("publish", "ORDERS", stdin="2\n3\n{", code=2).stderr
    assert "line 3 is not JSON" in said
    assert "2 before it were published" in " ".join(said.split())
    assert [one["body"] for one in terminal.lines("ORDERS")] == [1, 2, 3]
    assert "no name of a topic" in terminal.run("publish", "a b", "1", code=64).stderr
    assert "no offset 9 yet" in terminal.run("tail", "ORDERS", "--from", "offset:9", code=78).stderr
    assert "--header is NAME=TEXT" in terminal.run("publish", "ORDERS", "1", "--header", "x", code=2).stderr
    assert "has no group x" in terminal.run("reset", "ORDERS", "x", "--to", "now", "--yes", code=1).stderr
    assert "there is no topic X" in terminal.run("delete", "X", "--yes", code=1).stderr
    assert "pass --yes" in terminal.run("delete", "ORDERS", code=2).stderr
    assert "500kB" in terminal.run("set", "ORDERS", "--max-size", "big", code=2).stderr


def test_how_long_messages_are_kept_is_set_and_shown(terminal: Terminal) -> None:
    """What is not named stays."""
    assert terminal.json("set", "ORDERS", "--keep", "30d", "--max-size", "1.5GB") == {
        "name": "ORDERS",
        "keep_seconds": 30 * 86_400,
        "max_bytes": 1_500_000_000,
    }
    assert terminal.json("set", "ORDERS", "--keep", "forever")["max_bytes"] == 1_500_000_000
    assert "1.5 GB" in terminal.run("list").stdout
    assert "for ever" in terminal.run("set", "ORDERS", "--max-size", "none").stderr


async def test_groups_of_both_kinds_are_listed_and_set_anew(terminal: Terminal) -> None:
    """With what is behind their positions; what is passed over is a gap."""
    await terminal.topic.publish_many(range(5))
    async with terminal.topic.consume("pricing") as messages:
        await (await anext(messages)).ack()
        (of_members,) = terminal.json("groups")["groups"]
        assert (of_members["kind"], of_members["group"]) == ("members", "pricing")
        assert [member["shares"] for member in of_members["members"]] == [64]
    store = await store_of(terminal, 2)
    (of_rules, _) = terminal.json("groups", "ORDERS")["groups"]
    assert (of_rules["kind"], of_rules["position"], of_rules["lag"]) == ("rules", 2, 3)
    assert "nobody yet" in terminal.run("groups").stdout

    assert terminal.json("reset", "ORDERS", "big", "--to", "now", "--yes") == {"reset": True, "position": 5}
    moved = await store.checkpoint("topic/ORDERS/big")
    assert moved is not None
    assert Place.of_token(moved.token) == Place(1, 5)
    (gap,) = await store.gaps.all()
    assert "offsets 3 to 5" in gap.why
    terminal.run("reset", "ORDERS", "pricing", "--to", "offset:4", "--yes")
    async with terminal.topic.consume("pricing") as messages:
        assert {(await anext(messages)).body, (await anext(messages)).body} == {3, 4}


async def test_a_running_group_goes_on_at_the_new_place(terminal: Terminal) -> None:
    """What it had in hand cannot be acknowledged any more."""
    await terminal.topic.publish_many(range(3))
    async with terminal.topic.consume("pricing", lease=1.0) as messages:
        for message in [await anext(messages) for _ in range(3)]:
            await message.ack()
        terminal.run("reset", "ORDERS", "pricing", "--to", "offset:3", "--yes")
        assert (await anext(messages)).body == 2


async def test_a_topic_that_is_deleted_is_gone_and_its_groups_begin_anew(terminal: Terminal) -> None:
    """Those of rules too: what is published anew is owed anew. One group may be forgotten alone."""
    await terminal.topic.publish_many(range(3))
    store = await store_of(terminal, 2)
    terminal.run("delete", "ORDERS", "--yes")
    assert terminal.json("list")["topics"] == []
    moved = await store.checkpoint("topic/ORDERS/big")
    assert moved is not None
    assert Place.of_token(moved.token) == Place(1, 0)
    terminal.run("delete", "ORDERS", "--group", "big", "--yes")
    assert terminal.json("groups")["groups"] == []
