"""What an operator does to a state database: status, deliveries, checkpoint."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Retrying, Status
from mtrigger.embedded import EmbeddedServer
from mtrigger.stores.base import LineKey, Query
from mtrigger.stores.mongo import MongoStore
from support.command import Finished, MtriggerCommand
from support.mongo_servers import free_port
from support.samples import LINE, NOW, checkpoint_at, delivery_at, event_at, settlement_of, token_at

ALERT = LineKey("stock-alert", "webhook")
DUE = datetime.now(UTC) + timedelta(hours=1)


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal, and the store behind the commands."""

    command: MtriggerCommand
    store: MongoStore
    database: AsyncDatabase[dict[str, Any]]
    uri: str

    def run(self, *arguments: str, stdin: str = "") -> Finished:
        """A command against the test's state database."""
        environment = {"MTRIGGER_URI": self.uri, "MTRIGGER_STATE_DB": self.database.name}
        return self.command.run(*arguments, env=environment, stdin=stdin)

    def json(self, *arguments: str) -> Any:
        """The one document that a command prints with `--json`."""
        done = self.run(*arguments, "--json")
        assert done.code == 0, done.output
        return json.loads(done.stdout)

    async def owe(self, number: int, *outcomes: Outcome, line: LineKey = LINE) -> Delivery:
        """A delivery in the outbox after these attempts."""
        document = {"_id": number, "amount": 20_000 + number}
        delivery = delivery_at(number, line=line, event=event_at(number, document=document))
        await self.store.add([delivery])
        for attempts, outcome in enumerate(outcomes):
            attempt = replace(delivery, attempts=attempts)
            await self.store.settle([settlement_of(attempt, outcome, NOW + timedelta(minutes=attempts))])
        return delivery

    async def statuses(self, deliveries: Sequence[Delivery]) -> list[Status]:
        """Where each of `deliveries` stands."""
        found = await self.store.find(Query(), 1000)
        by_id = {record.delivery.id: record.status for record in found}
        return [by_id[delivery.id] for delivery in deliveries]


@pytest.fixture
async def operator(
    mtrigger_command: MtriggerCommand, database: AsyncDatabase[dict[str, Any]], mongod: EmbeddedServer
) -> Operator:
    """An empty state database and somebody to look at it."""
    store = MongoStore(database.client, database.name)
    await store.open()
    return Operator(mtrigger_command, store, database, mongod.uri)


async def test_status_counts_what_is_owed_and_done(operator: Operator) -> None:
    """A line an action of a rule, the oldest that is owed, and no position before the first start."""
    await operator.owe(1)
    await operator.owe(2, Retrying("refused", DUE))
    await operator.owe(3, Delivered("250 OK"))
    await operator.owe(4, Dead("no such user"), line=ALERT)
    found = operator.json("status")
    assert [(line["rule"], line["action"], line["counts"]) for line in found["lines"]] == [
        ("big-order", "log", {"pending": 1, "retrying": 1, "delivered": 1}),
        ("stock-alert", "webhook", {"dead": 1}),
    ]
    assert found["oldest_owed"] == "2026-01-31T10:00:00.500Z"
    assert found["position"] is None
    shown = operator.run("status").stdout.splitlines()
    assert shown[0].startswith("position   none yet")
    assert shown[-3].split() == [
        "RULE",
        "ACTION",
        "PENDING",
        "RETRYING",
        "DELIVERED",
        "DEAD",
        "OLDEST",
        "OWED",
    ]
    assert shown[-2].split() == ["big-order", "log", "1", "1", "1", "0", "2026-01-31T10:00:00.500Z"]
    assert shown[-1].split() == ["stock-alert", "webhook", "0", "0", "0", "1"]


async def test_status_tells_how_far_the_watcher_is_behind(operator: Operator) -> None:
    """The position against the deployment's own clock, and how far back the oplog reaches."""
    now = (await operator.database.client.admin.command("hello"))["operationTime"]
    behind = replace(checkpoint_at(1), cluster_time=Timestamp(now.time - 100, 1), cluster_id="name:x")
    await operator.store.begin(behind)
    found = operator.json("status")
    assert found["position"]["lag_seconds"] >= 100
    assert found["position"]["token"] == token_at(1)
    assert found["oplog"]["window_seconds"] >= 0
    assert found["oplog"]["margin_seconds"] == behind.cluster_time.time - _seconds(found["oplog"]["oldest"])
    assert "behind     1m" in operator.run("status").stdout


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())


async def test_status_says_when_the_position_is_of_another_deployment(operator: Operator) -> None:
    """A lag against a foreign clock would be a lie."""
    await operator.store.begin(replace(checkpoint_at(1), cluster_id="set:0123456789abcdef01234567"))
    found = operator.json("status")
    assert found["position"]["lag_seconds"] is None
    assert found["oplog"] is None
    assert "another deployment" in found["warnings"][0]


async def test_status_names_rules_that_owe_something_and_are_gone(operator: Operator) -> None:
    """With --rules; a rule that only has dead deliveries owes nothing."""
    await operator.owe(1)
    await operator.owe(2, Dead("x"), line=ALERT)
    rules = operator.command.folder / "triggers"
    rules.mkdir()
    (rules / "other.yaml").write_text("on: {collection: a.b}\ndo: {log: x}\n")
    done = operator.run("status", "--rules", "triggers")
    assert "rule big-order still owes deliveries" in done.stderr
    assert "stock-alert" not in done.stderr
    (rules / "big-order.yaml").write_text("on: {collection: a.b}\ndo: {log: x}\n")
    assert operator.json("status", "--rules", "triggers")["forgotten_rules"] == []


async def test_deliveries_are_listed_newest_first_and_filtered(operator: Operator) -> None:
    """By rule, status, text of the error, age; at most as many as asked for, and how many there are."""
    await operator.owe(1, Dead("550 no such user"))
    await operator.owe(2, Dead("connection refused"))
    await operator.owe(3, Delivered("ok"), line=ALERT)
    for arguments, numbers in {
        (): [3, 2, 1],
        ("--rule", "big-order"): [2, 1],
        ("--status", "delivered"): [3],
        ("--status", "dead", "--status", "delivered"): [3, 2, 1],
        ("--error", "no such"): [1],
        ("--since", "2026-01-31T10:00:00Z", "--until", "2026-01-31T11:00:00+00:00"): [3, 2, 1],
        ("--since", "2026-01-31T11:00:00+00:00"): [],
        ("--until", "3000d"): [],
        ("--limit", "1"): [3],
    }.items():
        found = operator.json("deliveries", "list", *arguments)
        assert [entry["key"]["_id"] for entry in found["deliveries"]] == numbers, arguments
    done = operator.run("deliveries", "list", "--limit", "2")
    assert done.stdout.splitlines()[0].split()[:4] == ["ID", "RULE", "ACTION", "STATUS"]
    assert len(done.stdout.splitlines()) == 3
    assert "2 of 3 deliveries" in done.stderr


async def test_a_delivery_is_shown_whole(operator: Operator) -> None:
    """The event, its document and every attempt; the beginning of the id is enough."""
    delivery = await operator.owe(1, Retrying("421 busy", DUE), Delivered("250 OK"))
    found = operator.json("deliveries", "show", delivery.id[:6].upper())
    assert found["id"] == delivery.id
    assert found["event"]["document"] == {"_id": 1, "amount": 20_001}
    assert [(line["number"], line["outcome"], line["detail"]) for line in found["log"]] == [
        (1, "retrying", "421 busy"),
        (2, "delivered", "250 OK"),
    ]
    page = operator.run("deliveries", "show", delivery.id).stdout
    assert '{"_id": 1, "amount": 20001}' in page
    assert "attempt 1: retrying  (2026-01-31T10:00:00.500Z, took 0.500 s)\n  421 busy" in page
    assert "attempt 2: delivered" in page


async def test_an_id_must_name_one_delivery(operator: Operator) -> None:
    """Too short, unknown, no id at all, or the beginning of several: a usage error that says which."""
    await operator.database["deliveries"].insert_many([{"_id": "abcdef" + end * 26} for end in "12"])
    for beginning, said in {
        "abcde": "is no id",
        "ABCDEF": "several deliveries begin with",
        "abcdea": "there is no delivery abcdea",
        "zzzzzz": "is no id",
        "a" * 33: "is no id",
    }.items():
        done = operator.run("deliveries", "show", beginning)
        assert (done.code, done.stdout) == (2, ""), beginning
        assert said in done.stderr, beginning


async def test_dead_deliveries_are_retried(operator: Operator) -> None:
    """By id or by filter; what is delivered stays delivered."""
    one = await operator.owe(1, Dead("550"))
    two = await operator.owe(2, Dead("timeout"))
    three = await operator.owe(3, Delivered())
    assert operator.json("deliveries", "retry", "--error", "timeout") == {"retried": 1}
    assert await operator.statuses([one, two, three]) == [Status.DEAD, Status.PENDING, Status.DELIVERED]
    done = operator.run("deliveries", "retry", one.id[:8], three.id[:8])
    assert done.code == 1
    assert "1 delivery to be tried again" in done.stderr
    assert "1 of those you named: neither dead nor retrying" in done.stderr
    assert await operator.statuses([one, three]) == [Status.PENDING, Status.DELIVERED]
    assert {delivery.id for delivery in await operator.store.take_reopened(one.partition, 10)} == {
        one.id,
        two.id,
    }


@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_it_must_be_said_which_deliveries_are_meant(operator: Operator, verb: str) -> None:
    """Neither nothing nor everything by accident."""
    delivery = await operator.owe(1, Dead("x"))
    assert "say which" in operator.run("deliveries", verb).stderr
    assert operator.run("deliveries", verb, "--all", "--rule", "big-order").code == 2
    assert await operator.statuses([delivery]) == [Status.DEAD]


async def test_discarding_asks_first(operator: Operator) -> None:
    """No means no, nobody to ask is an error, yes discards, `--yes` does not ask."""
    one = await operator.owe(1)
    two = await operator.owe(2, Dead("x"), line=ALERT)
    done = operator.run("deliveries", "discard", "--all", stdin="n\n")
    assert (done.code, done.stdout) == (0, "")
    assert "Discard 2 deliveries for good?" in done.stderr
    done = operator.run("deliveries", "discard", "--all")
    assert done.code == 2
    assert "--yes" in done.stderr
    assert await operator.statuses([one, two]) == [Status.PENDING, Status.DEAD]
    assert operator.run("deliveries", "discard", one.id, stdin="y\n").code == 0
    assert await operator.statuses([one, two]) == [Status.DISCARDED, Status.DEAD]
    assert operator.json("deliveries", "discard", "--status", "dead", "--yes") == {"discarded": 1}
    assert await operator.statuses([two]) == [Status.DISCARDED]
    done = operator.run("deliveries", "discard", one.id, "--yes")
    assert done.code == 1
    assert "neither owed nor dead" in done.stderr


async def test_the_position_is_shown_with_the_tokens_before_it(operator: Operator) -> None:
    """Newest first, each with its time."""
    assert "no position yet" in operator.run("checkpoint", "show").stdout
    await operator.store.begin(checkpoint_at(1))
    await operator.store.advance(checkpoint_at(2))
    found = operator.json("checkpoint", "show")["checkpoint"]
    assert found["token"] == token_at(2)
    assert found["previous"] == [{"token": token_at(1), "cluster_time": "2026-01-31T10:00:00Z"}]
    assert token_at(1) in operator.run("checkpoint", "show").stdout


async def test_the_position_is_set_to_a_token_and_the_old_one_is_kept(operator: Operator) -> None:
    """The time comes from the token; the pipeline it belongs to stays."""
    await operator.store.begin(checkpoint_at(5))
    done = operator.run("checkpoint", "set", "--token", token_at(3).lower())
    assert done.code == 0, done.output
    stored = await operator.store.checkpoint("main/0")
    assert stored is not None
    assert stored.position == token_at(3)
    assert stored.cluster_time == Timestamp(1_769_853_600, 3)
    assert stored.previous == ({"_data": token_at(5)},)
    assert (stored.pipeline_hash, stored.cluster_id) == ("abc", "set:test")


@pytest.mark.parametrize("token", ["82", "xyz", "", "1234567890ABCDEF1234", token_at(1)[:-1]])
async def test_what_is_no_token_is_refused(operator: Operator, token: str) -> None:
    """And the position stays."""
    await operator.store.begin(checkpoint_at(5))
    done = operator.run("checkpoint", "set", "--token", token)
    assert done.code == 2
    assert "resume token" in done.stderr
    assert (await operator.store.checkpoint("main/0")) == checkpoint_at(5)


async def test_the_position_is_set_to_a_time(operator: Operator) -> None:
    """Of the watched deployment: its id is stored with it, and no token."""
    before = (await operator.database.client.admin.command("hello"))["operationTime"]
    assert operator.run("checkpoint", "set", "--time", "now").code == 0
    stored = await operator.store.checkpoint("main/0")
    assert stored is not None
    assert stored.cluster_time >= before
    assert stored.token is None
    assert stored.cluster_id.startswith("set:")
    assert operator.run("checkpoint", "set", "--time", "2026-01-31T10:00:00+09:00").code == 0
    stored = await operator.store.checkpoint("main/0")
    assert stored is not None
    assert stored.cluster_time.as_datetime() == datetime(2026, 1, 31, 1, tzinfo=UTC)
    assert operator.run("checkpoint", "set", "--time", "yesterday").code == 64
    assert operator.run("checkpoint", "set").code == 2


async def test_a_damaged_position_is_shown_to_be_damaged_and_can_be_overwritten(operator: Operator) -> None:
    """78 with the tokens before it; then `set` mends it."""
    await operator.store.begin(checkpoint_at(1))
    await operator.store.advance(checkpoint_at(2))
    await operator.database["checkpoints"].update_one({}, {"$set": {"token": "oops"}})
    done = operator.run("checkpoint", "show")
    assert done.code == 78
    assert token_at(1) in done.stderr
    assert operator.run("status").code == 78
    done = operator.run("checkpoint", "set", "--token", token_at(1))
    assert done.code == 0, done.output
    assert "overwriting" in done.stderr
    assert operator.json("checkpoint", "show")["checkpoint"]["token"] == token_at(1)


async def test_forgetting_the_position_asks_first(operator: Operator) -> None:
    """And says what it means."""
    await operator.store.begin(checkpoint_at(1))
    done = operator.run("checkpoint", "reset", stdin="n\n")
    assert "will not be seen" in done.stderr
    assert await operator.store.checkpoint("main/0") is not None
    assert operator.json("checkpoint", "reset", "--yes") == {"reset": True}
    assert await operator.store.checkpoint("main/0") is None
    assert operator.json("checkpoint", "reset", "--yes") == {"reset": False}


COMMANDS = [
    ("status",),
    ("deliveries", "list"),
    ("deliveries", "show", "abcdef"),
    ("deliveries", "retry", "--all"),
    ("deliveries", "discard", "--all", "--yes"),
    ("checkpoint", "show"),
    ("checkpoint", "set", "--time", "now"),
    ("checkpoint", "reset", "--yes"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_deployment_that_does_not_answer_is_one_sentence(
    mtrigger_command: MtriggerCommand, arguments: tuple[str, ...]
) -> None:
    """Exit 69, the address without its password, nothing on standard output, no traceback."""
    uri = f"mongodb://me:secret@127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=200"
    done = mtrigger_command.run(*arguments, "--uri", uri)
    assert (done.code, done.stdout) == (69, "")
    assert "cannot be reached" in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_an_address_or_a_server_of_ours_it_asks_for_one(
    mtrigger_command: MtriggerCommand, arguments: tuple[str, ...]
) -> None:
    """A usage error that names the option."""
    done = mtrigger_command.run(*arguments)
    assert done.code == 2
    assert "--uri" in done.stderr


def test_without_an_address_the_embedded_server_that_runs_is_meant(mtrigger_command: MtriggerCommand) -> None:
    """The one of a `watch` without --uri, in the same user's data folder."""
    data = mtrigger_command.folder / "home" / ".local" / "share" / "mtrigger" / "mongodb"
    with EmbeddedServer.start(data):
        done = mtrigger_command.run("status")
    assert done.code == 0, done.output
    assert "none yet" in done.stdout
    assert mtrigger_command.run("status").code == 2
