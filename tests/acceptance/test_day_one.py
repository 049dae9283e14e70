"""What goes wrong on the first day: each time one clear sentence, the way out, an exit code, no traceback."""

from typing import Any

from pymongo import AsyncMongoClient

from acceptance.shop import Shop
from support.command import Finished
from support.mongo_servers import MongoServers, free_port


def assert_said(finished: Finished, code: int, *pieces: str) -> None:
    """The command ended with `code` and its error says all of `pieces`."""
    assert finished.code == code, finished.output
    assert "Traceback" not in finished.output
    for piece in pieces:
        assert piece in finished.stderr


def test_mongodb_is_not_there(shop: Shop) -> None:
    """69, with the address that was tried, without its password."""
    shop.big_order_rule()
    address = f"127.0.0.1:{free_port()}"

    finished = shop.run("watch", MTRIGGER_URI=f"mongodb://me:s3cret@{address}/?serverSelectionTimeoutMS=500")

    assert_said(finished, 69, address, "cannot be reached", "Check that it runs")
    assert "s3cret" not in finished.output


def test_mongodb_is_no_replica_set(shop: Shop, start_mongod: MongoServers) -> None:
    """69, and how to make it one."""
    shop.big_order_rule()

    finished = shop.run("watch", MTRIGGER_URI=start_mongod.standalone().uri)

    assert_said(finished, 69, "not a replica set", "--replSet rs0", "rs.initiate()")


async def test_the_user_may_not_watch(shop: Shop, start_mongod: MongoServers) -> None:
    """69, with the privilege that is missing; a wrong password is told apart from it."""
    shop.big_order_rule()
    server = start_mongod.with_users()
    admin: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(server.uri)
    async with admin:
        await admin.admin.command("createUser", "root", pwd="root", roles=["root"])
    address = server.uri.removeprefix("mongodb://")
    root: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(f"mongodb://root:root@{address}")
    async with root:
        roles = [{"role": "readWrite", "db": shop.state.name}]
        await root.admin.command("createUser", "clerk", pwd="right", roles=roles)

        refused = shop.run("watch", MTRIGGER_URI=f"mongodb://clerk:right@{address}")
        wrong = shop.run("watch", MTRIGGER_URI=f"mongodb://clerk:wr0ng@{address}")
        await root.admin.command(
            "grantRolesToUser", "clerk", roles=[{"role": "read", "db": shop.database.name}]
        )
        granted = shop.command.start(
            "watch", env={**shop.environment, "MTRIGGER_URI": f"mongodb://clerk:right@{address}"}
        )
        granted.wait_for_line("watching .*")
        await root[shop.database.name]["orders"].insert_one({"order_id": "SO-1", "amount": 20000})
        granted.wait_for_line("delivered")

    assert_said(refused, 69, "may not open the change stream", "readAnyDatabase", "changeStream")
    assert_said(wrong, 69, "refused us", "password")
    assert "wr0ng" not in wrong.output


def test_a_rule_sends_mail_but_no_mail_server_is_set(shop: Shop) -> None:
    """64 at the start, not a failed delivery at night."""
    shop.big_order_rule()

    finished = shop.run("watch", MTRIGGER_SMTP_URL="")

    assert_said(finished, 64, "big-order", "MTRIGGER_SMTP_URL", "mtrigger mailbox")


def test_a_wrong_setting_is_named(shop: Shop) -> None:
    """64 for an address that is none; its password is not repeated."""
    shop.big_order_rule()

    uri = shop.run("watch", MTRIGGER_URI="http://localhost")
    smtp = shop.run("watch", MTRIGGER_SMTP_URL="smtp://me:s3cret@host:99999999")

    assert_said(uri, 64, "mongodb://")
    assert_said(smtp, 64, "MTRIGGER_SMTP_URL")
    assert "s3cret" not in smtp.output


async def test_a_wildcard_matches_no_collection(shop: Shop) -> None:
    """It is watched all the same, because the collection may come; but it is spoken of, with a near name."""
    await shop.orders.insert_one({"amount": 1})
    shop.rule("typing", "on: {collection: SHOP.ordres*}\ndo: [log: hello]\n")

    running = shop.watch()

    assert "no collection matches" in running.output
    assert f"did you mean {shop.database.name}.orders" in running.output


async def test_a_delete_rule_needs_pre_images(shop: Shop) -> None:
    """64 and `mtrigger prepare`; once that has run, the deleted document is known."""
    await shop.orders.insert_one({"_id": "big", "order_id": "SO-9", "amount": 20000})
    shop.rule(
        "cancelled",
        "on: {collection: SHOP.orders, operations: [delete]}\n"
        "when: amount > 10000\n"
        'do: [log: "cancelled {{ document.order_id }}"]\n',
    )

    finished = shop.run("watch")
    assert_said(finished, 64, "keeps no pre-images", "mtrigger prepare")

    prepared = shop.run("prepare", "--yes")
    assert prepared.code == 0, prepared.output
    running = shop.watch()
    await shop.orders.delete_one({"_id": "big"})
    running.wait_for_line("cancelled SO-9")


def test_a_mistake_in_a_rule_stops_the_start(shop: Shop) -> None:
    """64 with every mistake at its place."""
    shop.rule("bad", "on: {collection: SHOP.orders}\nwhen: amount >> 3\ndo: [lgo: hello]\n")

    finished = shop.run("watch")

    assert_said(finished, 64, "bad.yaml:2:", "bad.yaml:3:", "did you mean")
