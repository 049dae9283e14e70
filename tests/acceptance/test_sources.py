"""Rows of real databases on their way into MongoDB, through the installed command."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson.decimal128 import Decimal128

from acceptance.shop import Shop
from mtrigger.sources.places import stream_of
from support.command import Finished, Running
from support.faulty_wire import FaultyWire
from support.polling import eventually
from support.sql_servers import KINDS, LONG_AGO, OrdersTable

Document = dict[str, Any]

COLLECTION = "collection: SHOP.orders"
TOPIC = "topic: SOE-ORDERS"


@dataclass(frozen=True)
class Soe:
    """The old system: a table of orders, and the source that reads it."""

    shop: Shop
    table: OrdersTable
    url: str

    def source(self, into: str = COLLECTION, **keys: str) -> Path:
        """Write `sources/soe.yaml`, which reads the table into the shop's database (`SHOP`)."""
        keys = {"mode": "incrementing", "incrementing": "order_id", "poll": "50ms", "delay": "0s", **keys}
        lines = [f"  {key}: {value}" for key, value in keys.items() if value]
        path = self.shop.folder / "sources" / "soe.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "\n".join(
                [
                    "from:",
                    "  sql: ${SOE_URL}",
                    f"  table: {self.table.name}",
                    *lines,
                    f"into: {{{into.replace('SHOP', self.shop.database.name)}}}",
                ]
            )
        )
        return path

    def start(self, *arguments: str) -> Running:
        """`mtrigger source run`, until it reads."""
        running = self.shop.command.start(
            "source", "run", "--lease", "2s", *arguments, env={**self.shop.environment, "SOE_URL": self.url}
        )
        running.wait_for_line("reading orders_")
        return running

    def run(self, *arguments: str) -> Finished:
        """Another command to its end."""
        return self.shop.run(*arguments, SOE_URL=self.url)

    def once(self) -> Finished:
        """`mtrigger source run --once`."""
        return self.run("source", "run", "--once")

    async def amounts(self) -> dict[int, str]:
        """What is in the collection: the amounts by `_id`."""
        return {found["_id"]: str(found["amount"]) async for found in self.shop.orders.find()}

    async def count(self) -> int:
        """How many documents there are."""
        return await self.shop.orders.count_documents({})

    async def messages(self) -> list[Document]:
        """The topic's collection, as it was inserted."""
        return await self.shop.state["topics.SOE-ORDERS"].find(sort=[("$natural", 1)]).to_list()

    async def place(self) -> Document:
        """What is stored of the source's only table."""
        row = await self.shop.state.checkpoints.find_one({"_id": stream_of("soe")})
        assert row is not None
        (table,) = row["token"]["tables"]
        return dict(table)


@pytest.fixture(params=["sqlite"])
def soe(shop: Shop, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Soe]:
    """An empty table on a database of the kind in the test's parameter."""
    with OrdersTable.on(request.param, tmp_path) as table:
        yield Soe(shop, table, table.url)


everywhere = pytest.mark.parametrize("soe", KINDS, indirect=True)


@everywhere
async def test_rows_become_documents_and_changes_follow(soe: Soe) -> None:
    """Their types kept, the primary key as `_id`; the second run reads what is new and what has changed."""
    soe.source(mode="timestamp+incrementing", timestamp="updated_at")
    soe.table.insert(range(1, 1201))
    done = soe.once()
    assert done.code == 0, done.output
    assert "1,200 rows" in done.stderr
    assert await soe.count() == 1200
    assert await soe.shop.orders.find_one({"_id": 7}) == {
        "_id": 7,
        "order_id": 7,
        "customer": "c7",
        "amount": Decimal128("1.00") if soe.table.engine.name != "sqlite" else Decimal128("1"),
        "updated_at": LONG_AGO.replace(tzinfo=UTC),
    }
    soe.table.run(
        f"UPDATE {soe.table.name} SET amount = 5, updated_at = :at WHERE order_id = 7",
        [{"at": LONG_AGO + timedelta(days=1)}],
    )
    soe.table.insert(range(1201, 1203), at=LONG_AGO + timedelta(days=2))
    assert soe.once().code == 0
    amounts = await soe.amounts()
    assert len(amounts) == 1202
    assert Decimal128(amounts[7]).to_decimal() == 5
    place = await soe.place()
    assert (place["rows"], place["rejected"], place["passes"]) == (1203, 0, 2)


@everywhere
async def test_killed_in_the_middle_of_a_load_every_row_is_there_once(soe: Soe) -> None:
    """In the topic too: no message twice, none missing, the order of the rows kept."""
    soe.source(TOPIC, batch="50")
    soe.table.insert(range(8000))
    running = soe.start()
    topic = soe.shop.state["topics.SOE-ORDERS"]
    await eventually(lambda: topic.count_documents({}))
    running.kill()
    killed_at = await topic.count_documents({})
    assert killed_at < 8000, "it was all there already: this test shows nothing"
    done = soe.once()
    assert done.code == 0, done.output
    found = await soe.messages()
    assert [message["key"] for message in found] == list(range(8000))
    assert found[0]["body"]["customer"] == "c0"
    assert found[0]["headers"] == {"table": soe.table.name, "source": "soe"}


async def test_killed_again_and_again_a_snapshot_loses_no_delete(soe: Soe) -> None:
    """What was deleted meanwhile is deleted in the end, and nothing else."""
    soe.source(mode="snapshot", incrementing="", delay="", batch="50")
    soe.table.insert(range(3000))
    for at_least in (1, 1000):
        running = soe.start()

        async def so_many(at_least: int = at_least) -> bool:
            return await soe.count() >= at_least

        await eventually(so_many)
        running.kill()
    assert soe.once().code == 0
    soe.table.run(f"DELETE FROM {soe.table.name} WHERE order_id % 3 = 0")
    running = soe.start()
    running.kill()
    assert soe.once().code == 0
    assert sorted(await soe.amounts()) == [number for number in range(3000) if number % 3]


@pytest.mark.parametrize("soe", ["postgresql", "mariadb"], indirect=True)
async def test_a_connection_that_is_lost_is_made_again(soe: Soe) -> None:
    """The server is away for a while; what was inserted meanwhile comes, and nothing is lost or twice."""
    wire = FaultyWire(soe.table.engine.url.port or 0)
    try:
        wired = Soe(soe.shop, soe.table, soe.url.replace(f":{soe.table.engine.url.port}/", f":{wire.port}/"))
        wired.source(TOPIC)
        soe.table.insert(range(10))
        running = wired.start()
        await eventually(lambda: _has(soe, 10))
        wire.refuse()
        running.wait_for_line("Reading the source soe was interrupted")
        soe.table.insert(range(10, 20))
        wire.heal()
        running.wait_for_line("Reading the source soe works again")
        await eventually(lambda: _has(soe, 20))
        assert running.terminate() == 0
        assert [message["key"] for message in await soe.messages()] == list(range(20))
    finally:
        wire.close()


async def _has(soe: Soe, count: int) -> bool:
    return await soe.shop.state["topics.SOE-ORDERS"].count_documents({}) == count


async def test_a_row_that_cannot_be_stored_is_a_dead_letter_and_can_be_tried_again(soe: Soe) -> None:
    """The others are stored; the exit code tells of it; a running source tries it again at once."""
    await soe.shop.database.create_collection("orders", validator={"amount": {"$lt": Decimal128("100")}})
    soe.source()
    soe.table.insert(range(1, 4))
    soe.table.run(f"UPDATE {soe.table.name} SET amount = 1000 WHERE order_id = 2")
    done = soe.once()
    assert done.code == 1
    assert "the validator of the collection refuses it" in done.stderr
    assert sorted(await soe.amounts()) == [1, 3]
    listed = json.loads(soe.run("deliveries", "list", "--json").stdout)["deliveries"]
    assert [(row["rule"], row["action"], row["status"]) for row in listed] == [
        ("source:soe", "store", "dead")
    ]
    soe.table.run(f"UPDATE {soe.table.name} SET amount = 10 WHERE order_id = 2")
    running = soe.start()
    assert soe.run("deliveries", "retry", listed[0]["id"]).code == 0
    await eventually(lambda: soe.shop.deliveries.find_one({"status": "delivered"}))
    assert sorted(await soe.amounts()) == [1, 2, 3]
    assert running.terminate() == 0


async def test_what_is_wrong_with_one_table_keeps_no_other_waiting(soe: Soe) -> None:
    """It is told once, and read as soon as it is there."""
    soe.source()
    path = soe.shop.folder / "sources" / "soe.yaml"
    path.write_text(path.read_text().replace(soe.table.name, f"[{soe.table.name}_more, {soe.table.name}]"))
    soe.table.insert(range(5))
    done = soe.once()
    assert done.code == 1
    assert f"{soe.table.name}_more is left alone until this is mended" in done.stderr
    assert await soe.count() == 5
    listed = json.loads(soe.run("source", "list", "--json").stdout)["sources"]
    errors = {table["table"]: table["error"] for table in listed[0]["tables"]}
    assert errors[soe.table.name] is None
    assert errors[f"{soe.table.name}_more"]


async def test_sources_are_read_by_one_process_and_taken_over(soe: Soe) -> None:
    """One that stands by goes on where the first one was killed; meanwhile `--once` refuses."""
    soe.source(TOPIC)
    soe.table.insert(range(5))
    first = soe.start()
    await eventually(lambda: _has(soe, 5))
    refused = soe.once()
    assert (refused.code, "is read by" in refused.stderr) == (75, True)
    second = soe.shop.command.start("source", "run", env={**soe.shop.environment, "SOE_URL": soe.url})
    second.wait_for_line("standing by")
    first.kill()
    soe.table.insert(range(5, 8))
    await eventually(lambda: _has(soe, 8))
    assert [message["key"] for message in await soe.messages()] == list(range(8))
    assert second.terminate() == 0


async def test_a_changed_file_is_taken_over(soe: Soe) -> None:
    """One with a mistake is not: the source before stays in force."""
    path = soe.source()
    soe.table.insert(range(3))
    running = soe.start()
    await eventually(soe.count)
    good = path.read_text()
    path.write_text(good.replace("mode: incrementing", "mode: incremental"))
    running.wait_for_line("did you mean `incrementing`")
    running.wait_for_line("the sources were not reloaded")
    path.write_text(good.replace(".orders}", ".others}"))
    running.wait_for_line("sources reloaded: 1")
    soe.table.insert(range(3, 5))
    await eventually(lambda: soe.shop.database["others"].count_documents({"_id": 4}))
    assert running.terminate() == 0
    assert await soe.count() == 3


async def test_reset_reads_anew(soe: Soe) -> None:
    """Not while it is being read, unless forced: then the reader begins anew itself."""
    soe.source()
    soe.table.insert(range(3))
    running = soe.start()
    await eventually(soe.count)
    assert soe.run("source", "reset", "soe", "--yes").code == 75
    await soe.shop.orders.delete_many({})
    assert soe.run("source", "reset", "soe", "--yes", "--force").code == 0
    await eventually(soe.count)
    assert running.terminate() == 0
    assert soe.run("source", "reset", "soe", "--yes").code == 0


def test_check_shows_the_first_rows_and_stores_nothing(soe: Soe) -> None:
    """As documents; mistakes of the file and of the table end it with 1."""
    soe.source()
    soe.table.insert(range(5))
    done = soe.run("source", "check", "--json", "--rows", "1")
    assert done.code == 0, done.output
    (found,) = json.loads(done.stdout)["sources"]
    (table,) = found["tables"]
    assert (table["rows"], [row["_id"] for row in table["first"]]) == (5, [0])
    soe.source(incrementing="no_such_column")
    done = soe.run("source", "check")
    assert (done.code, "no_such_column" in done.stdout) == (1, True)
    assert soe.run("source", "check", "--offline").code == 0
    soe.source(mode="bulk")
    done = soe.run("source", "check")
    assert done.code == 1
    assert "soe.yaml:5:3: `incrementing` means nothing with `mode: bulk`" in done.stdout


async def test_a_column_that_vanishes_is_told(soe: Soe) -> None:
    """The table stands until the source or the table is mended; the documents stay."""
    soe.source()
    soe.table.insert(range(3))
    running = soe.start()
    await eventually(soe.count)
    soe.table.run(f"ALTER TABLE {soe.table.name} RENAME COLUMN order_id TO number")
    running.wait_for_line(r"is left alone until this is mended: .*order_id")
    soe.table.run(f"ALTER TABLE {soe.table.name} RENAME COLUMN number TO order_id")
    soe.table.insert(range(3, 5))
    running.wait_for_line("can be read again")
    await eventually(lambda: soe.shop.orders.count_documents({"_id": 4}))
    assert running.terminate() == 0


def test_no_secret_of_an_address_is_shown(soe: Soe) -> None:
    """Wherever it is wrong: in the file, or when nobody answers there."""
    soe.source()
    url = "postgresql://soe:tiger-1234@127.0.0.1:1/soe"
    for command in (("source", "check"), ("source", "run", "--once")):
        environment = {"SOE_URL": url} if command[1] == "check" else {"SOE_URL": "mysql://u:tiger-1234@h:x/d"}
        done = soe.shop.run(*command, **environment)
        assert done.code != 0
        assert "tiger" not in done.output


async def test_sources_are_read_beside_the_rules(soe: Soe) -> None:
    """Rows become documents, those become mails; a row that cannot be stored is told as a dead letter. The
    sources reload, and stop, with the rules."""
    await soe.shop.database.create_collection("orders", validator={"order_id": {"$lt": 100}})
    path = soe.source()
    soe.shop.big_order_rule()
    mail = "email: {to: a@b.example, subject: 'lost {{ document.rule }} {{ document.key._id }}', text: x}"
    soe.shop.rule("told", f"on: {{dead_letters: true}}\ndo: [{{{mail}}}]\n")
    soe.table.insert(range(3), amount=20_000)
    soe.table.insert(range(100, 101))
    environment = {**soe.shop.environment, "SOE_URL": soe.url, "MTRIGGER_SOURCES": "sources"}
    running = soe.shop.command.start("watch", "--rules", "triggers/", "--lease", "2s", env=environment)
    await eventually(lambda: len(soe.shop.mail.mails) == 4)
    subjects = {str(message["Subject"]) for message in soe.shop.messages()}
    assert {f"Big order {number}" for number in range(3)} < subjects
    assert 'lost source:soe {"$numberInt": "100"}' in subjects
    path.write_text(path.read_text().replace("poll: 50ms", "poll: 40ms"))
    running.wait_for_line("sources reloaded: 1")
    soe.table.insert(range(101, 102), amount=20_000)
    await eventually(lambda: len(soe.shop.mail.mails) == 5)
    assert running.terminate() == 0
    assert str(soe.shop.messages()[-1]["Subject"]) == 'lost source:soe {"$numberInt": "101"}'


async def test_a_dry_run_reads_no_source(soe: Soe) -> None:
    """It would have to store rows."""
    soe.source()
    soe.shop.rule("any", "on: {collection: SHOP.orders}\ndo: [{log: a line}]\n")
    soe.table.insert(range(3))
    environment = {**soe.shop.environment, "SOE_URL": soe.url}
    running = soe.shop.command.start(
        "watch", "--rules", "triggers/", "--sources", "sources", "--dry-run", env=environment
    )
    running.wait_for_line("watching .* from .* on")
    assert running.terminate() == 0
    assert await soe.count() == 0


def test_mistakes_of_sources_end_a_watch_at_its_start(soe: Soe) -> None:
    """With the code of bad rules."""
    soe.source(mode="bulk")
    soe.shop.rule("any", "on: {collection: SHOP.orders}\ndo: [{log: a line}]\n")
    done = soe.run("watch", "--rules", "triggers/", "--sources", "sources")
    assert (done.code, "soe.yaml:5:3: `incrementing` means nothing" in done.stderr) == (64, True)
