"""The rules in `triggers/`: eight that people would really use, each with its examples."""

import json
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient

from mtrigger.embedded import EmbeddedServer
from support.command import MtriggerCommand
from support.polling import eventually
from support.smtp_sink import SmtpSink

PROJECT = Path(__file__).parents[2]
RULES = [
    "big-order",
    "daily-report",
    "heartbeat-missing",
    "many-failed-logins",
    "new-customer",
    "price-drop",
    "status-shipped",
    "stock-low",
]


def test_every_rule_is_right_and_has_examples_that_hold(mtrigger_command: MtriggerCommand) -> None:
    """`mtrigger check` and `mtrigger test`, as CI of a user would run them."""
    folder = str(PROJECT / "triggers")
    checked = mtrigger_command.run("check", "--rules", folder, "--json")
    assert checked.code == 0, checked.output
    assert sorted(rule["name"] for rule in json.loads(checked.stdout)["rules"]) == RULES

    done = mtrigger_command.run("test", "--rules", folder, "--json")
    assert done.code == 0, done.output
    tested = json.loads(done.stdout)["examples"]
    assert sorted({example["rule"] for example in tested}) == RULES
    for rule in RULES:
        came = {example["came"] for example in tested if example["rule"] == rule}
        assert "fires" in came


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "daily-report"])
def test_every_rule_has_an_example_of_what_it_keeps_quiet_about(
    mtrigger_command: MtriggerCommand, rule: str
) -> None:
    """Else its condition might as well be missing."""
    done = mtrigger_command.run("test", rule, "--rules", str(PROJECT / "triggers"), "--json")
    came = {example["came"] for example in json.loads(done.stdout)["examples"]}
    assert came & {"ignored", "suppressed"}


async def test_they_all_run_together(
    mtrigger_command: MtriggerCommand, mongod: EmbeddedServer, smtp_sink: SmtpSink
) -> None:
    """Prepared with `mtrigger prepare`; what happens in a day comes as mails to whom it concerns."""
    state = "rules_that_come_along_state"
    names = ("shop", "app", "fleet")
    environment = {
        "MTRIGGER_URI": mongod.uri,
        "MTRIGGER_STATE_DB": state,
        "MTRIGGER_SMTP_URL": smtp_sink.url,
        "MTRIGGER_MAIL_FROM": "shop@example.com",
        "MTRIGGER_RULES": str(PROJECT / "triggers"),
    }
    async with AsyncMongoClient[dict[str, object]](mongod.uri) as client:
        try:
            prepared = mtrigger_command.run("prepare", "--yes", env=environment)
            assert prepared.code == 0, prepared.output
            running = mtrigger_command.start("watch", env=environment)
            running.wait_for_line(r"watching .* from .* on")
            shop = client["shop"]
            ann = {"name": "Ann", "email": "ann@example.com"}
            await shop["orders"].insert_one({"_id": 1, "order_id": "SO-1", "amount": 12_000, "customer": ann})
            await shop["orders"].update_one({"_id": 1}, {"$set": {"status": "packed"}})
            await shop["orders"].update_one({"_id": 1}, {"$set": {"status": "shipped"}})
            pump = {
                "_id": 7,
                "name": "Pump",
                "price": 100,
                "currency": "EUR",
                "watched_by": ["bo@example.com"],
            }
            await shop["products"].insert_one({**pump, "stock": 12, "reorder_at": 10})
            await shop["products"].update_one({"_id": 7}, {"$set": {"stock": 9}})
            await shop["products"].update_one({"_id": 7}, {"$set": {"stock": 8}})
            await shop["products"].update_one({"_id": 7}, {"$set": {"price": 80}})
            await shop["products"].update_one({"_id": 7}, {"$set": {"stock": 40}})
            await shop["customers"].insert_one({"_id": 3, **ann, "confirmed": False})
            await shop["customers"].update_one({"_id": 3}, {"$set": {"confirmed": True}})
            await shop["customers"].update_one({"_id": 3}, {"$set": {"city": "Kiel"}})
            for number in range(5):
                await client["app"]["logins"].insert_one(
                    {"user": "eve", "ok": False, "ip": f"192.0.2.{number}"}
                )
            expected = sorted(
                [
                    "Big order SO-1: 12,000.00",
                    "Your order SO-1 is on its way",
                    "Pump: 9 left",
                    "Pump: 40 in stock again",
                    "Pump now costs €80.00",
                    "Welcome, Ann",
                    "5 failed logins: eve",
                ]
            )

            def subjects() -> list[str]:
                return sorted(str(mail.message["Subject"]) for mail in smtp_sink.mails)

            await eventually(lambda: len(subjects()) >= len(expected))
            assert subjects() == expected
        finally:
            mtrigger_command.end_all()
            for name in (*names, state):
                await client.drop_database(name)
