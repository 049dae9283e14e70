"""`mtrigger prepare`: pre- and post-images, turned on where conditions need them and nowhere else."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.embedded import EmbeddedServer
from support.command import Finished, MtriggerCommand
from support.mongo_servers import MongoServers


@dataclass(frozen=True)
class Shop:
    """A database, and rules about it."""

    command: MtriggerCommand
    database: AsyncDatabase[dict[str, Any]]
    uri: str

    def rule(self, name: str, when: str, collection: str, operations: str = "update") -> None:
        """A rule file about `collection` of the database."""
        folder = self.command.folder / "triggers"
        folder.mkdir(exist_ok=True)
        on = f"{{collection: '{self.database.name}.{collection}', operations: {operations}}}"
        (folder / f"{name}.yaml").write_text(f"on: {on}\nwhen: {when}\ndo: {{log: x}}\n")

    def prepare(self, *arguments: str, stdin: str = "") -> Finished:
        """`mtrigger prepare`."""
        return self.command.run("prepare", "--uri", self.uri, *arguments, stdin=stdin)

    async def images(self) -> set[str]:
        """The collections that keep images."""
        found = await self.database.list_collections()
        return {
            entry["name"]
            async for entry in found
            if entry["options"].get("changeStreamPreAndPostImages", {}).get("enabled")
        }


@pytest.fixture
def shop(
    mtrigger_command: MtriggerCommand, database: AsyncDatabase[dict[str, Any]], mongod: EmbeddedServer
) -> Shop:
    """An empty database and no rules yet."""
    return Shop(mtrigger_command, database, mongod.uri)


async def test_images_are_turned_on_where_conditions_need_them(shop: Shop) -> None:
    """`before`, and the document of a delete; not where a rule can do without; missing ones are created."""
    for name in ("orders", "carts", "plain"):
        await shop.database.create_collection(name)
    shop.rule("crossed", "before.amount <= 10 and amount > 10", "orders")
    shop.rule("lost", "amount > 10", "carts", operations="delete")
    shop.rule("new", "became(amount > 10)", "later")
    shop.rule("simple", "amount > 10", "plain")
    done = shop.prepare("--yes")
    assert done.code == 0, done.output
    assert await shop.images() == {"orders", "carts", "later"}
    assert "3 collections prepared, 0 failed" in done.stderr
    assert [line.rsplit("for ", 1)[1] for line in done.stdout.splitlines()] == ["lost", "new", "crossed"]
    done = shop.prepare()
    assert (done.code, done.stdout) == (0, "")
    assert "nothing to do" in done.stderr


async def test_it_asks_before_it_runs_a_command(shop: Shop) -> None:
    """No runs none; nobody to ask is an error; --dry-run does not ask."""
    await shop.database.create_collection("orders")
    shop.rule("crossed", "before.amount < 10", "orders")
    done = shop.prepare(stdin="n\n")
    assert done.code == 0
    assert "collMod" in done.stdout
    assert "Run 1 command?" in done.stderr
    assert shop.prepare().code == 2
    done = shop.prepare("--dry-run")
    assert done.code == 0
    assert "none was run" in done.stderr
    assert await shop.images() == set()
    assert shop.prepare(stdin="y\n").code == 0
    assert await shop.images() == {"orders"}


async def test_a_wildcard_prepares_what_is_there(shop: Shop) -> None:
    """Collections, not views of them; and creates none."""
    await shop.database.create_collection("orders_eu")
    await shop.database.create_collection("orders_view", viewOn="orders_eu", pipeline=[])
    shop.rule("crossed", "before.amount < 10", "*")
    found = json.loads(shop.prepare("--yes", "--json").stdout)
    assert [(entry["namespace"], entry["done"], entry["rules"]) for entry in found["commands"]] == [
        (f"{shop.database.name}.orders_eu", True, ["crossed"])
    ]
    assert await shop.images() == {"orders_eu"}


def test_a_user_who_may_only_look_is_told_what_is_missing(
    mtrigger_command: MtriggerCommand, start_mongod: MongoServers
) -> None:
    """The command that failed with the server's reason, and exit 1."""
    server = start_mongod.with_users()
    root = {"createUser": "root", "pwd": "pw", "roles": ["root"]}
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.admin.command(root)
    with MongoClient[dict[str, Any]](server.uri, username="root", password="pw") as client:
        client["shop"].create_collection("orders")
        roles = [{"role": "read", "db": "shop"}, {"role": "clusterMonitor", "db": "admin"}]
        client.admin.command({"createUser": "reader", "pwd": "pw", "roles": roles})
        client.admin.command({"createUser": "nobody", "pwd": "pw", "roles": []})
    folder = mtrigger_command.folder / "triggers"
    folder.mkdir()
    rule = "on: {collection: shop.orders, operations: update}\nwhen: before.a == 1\ndo: {log: x}\n"
    (folder / "crossed.yaml").write_text(rule)
    done = mtrigger_command.run("prepare", "--yes", "--uri", server.uri.replace("//", "//reader:pw@"))
    assert done.code == 1, done.output
    assert "shop.orders: not authorized" in done.stderr
    assert "0 collections prepared, 1 failed" in done.stderr
    done = mtrigger_command.run("prepare", "--yes", "--uri", server.uri.replace("//", "//nobody:pw@"))
    assert done.code == 69, done.output
    assert "may not list the collections" in done.stderr
    for arguments in (["status"], ["checkpoint", "set", "--time", "now"], ["deliveries", "retry", "--all"]):
        done = mtrigger_command.run(*arguments, "--uri", server.uri.replace("//", "//nobody:pw@"))
        assert done.code == 69, done.output
        assert "readWrite" in done.stderr
