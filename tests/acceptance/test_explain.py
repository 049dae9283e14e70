"""`mtrigger explain`: what goes to the server and what stays here."""

import json
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.embedded import EmbeddedServer
from support.command import MtriggerCommand

RULE = """
name: {name}
on: {{collection: {collection}, operations: {operations}}}
when: {when}
do: {{log: x}}
"""


def write(
    folder: Path, name: str, when: str, operations: str = "insert", collection: str = "shop.orders"
) -> None:
    """One rule file in `triggers/`."""
    (folder / "triggers").mkdir(exist_ok=True)
    text = RULE.format(name=name, when=when, operations=operations, collection=collection)
    (folder / "triggers" / f"{name}.yaml").write_text(text)


def explained(command: MtriggerCommand, *arguments: str) -> Any:
    """The one document of `explain --json`."""
    done = command.run("explain", "--json", *arguments)
    assert done.code == 0, done.output
    return json.loads(done.stdout)


def test_each_rule_is_told_in_plain_words_with_its_pushed_and_kept_part(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """What an insert carries is decided by the server; what an update lacks is decided here, and why."""
    write(tmp_path, "whole", "amount > 10000")
    write(tmp_path, "update", "amount > 10000", operations="[insert, update]")
    write(tmp_path, "search", "'amount > 10000 and $..price > 5'")
    rules = {rule["name"]: rule for rule in explained(mtrigger_command)["rules"]}
    assert rules["whole"]["meaning"] == "amount is greater than 10000"
    assert rules["whole"]["pushed"] == {"fullDocument.amount": {"$gt": 10000}}
    assert rules["whole"]["kept"] == []
    assert rules["update"]["kept"] == ["amount > 10000"]
    assert [part["operations"] for part in rules["update"]["parts"]] == [["insert", "replace"], ["update"]]
    assert "may not carry the document" in rules["update"]["reason"]
    assert rules["search"]["kept"] == ["$..price > 5"]
    text = mtrigger_command.run("explain").stdout
    assert "One change stream over the database shop:" in text
    assert "nothing is left to decide" in text
    assert "for update: the event may not carry the document" in text


def test_the_pipeline_is_the_one_that_the_server_is_sent(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """Over the deployment when rules name several databases; the state database is left out."""
    write(tmp_path, "one", "a == 1", collection="shop.orders")
    assert explained(mtrigger_command)["stream"]["database"] == "shop"
    write(tmp_path, "two", "b == 1", collection="'*.orders'")
    stream = explained(mtrigger_command, "--state-db", "kept")["stream"]
    assert stream["database"] is None
    options, match = (stage for stage in stream["pipeline"])
    assert options["$changeStream"]["allChangesForCluster"] is True
    assert '{"ns.db": {"$ne": "kept"}}' in json.dumps(match)


def test_what_many_rules_share_is_said_for_each_of_them(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """The server is asked once for all; which of them holds is decided here."""
    for number in range(20):
        write(tmp_path, f"rule-{number}", f"amount > {number}")
    found = explained(mtrigger_command)
    assert json.dumps(found["stream"]["pipeline"]).count("fullDocument.amount") == 1
    assert all(rule["pushed"] == {"fullDocument.amount": {"$gt": 0}} for rule in found["rules"])
    assert all(rule["kept"] == [rule["when"]] for rule in found["rules"])
    assert "(insert, for 20 rules)" in mtrigger_command.run("explain").stdout


def test_what_would_cost_the_server_too_much_is_said_to_stay_here(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """What the plan leaves out is not claimed to be pushed."""
    for number in range(40):
        write(tmp_path, f"rule-{number}", f"matches(name, '^{number}')")
    found = explained(mtrigger_command)
    assert found["stream"]["conditions_pushed"] is False
    assert "fullDocument." not in json.dumps(found["stream"]["pipeline"])
    assert all(rule["pushed"] == {} and rule["kept"] for rule in found["rules"])
    assert "would cost more than it saves" in mtrigger_command.run("explain").stdout


async def test_on_request_the_server_counts_what_it_would_have_sent(
    mtrigger_command: MtriggerCommand,
    tmp_path: Path,
    mongod: EmbeddedServer,
    database: AsyncDatabase[dict[str, Any]],
) -> None:
    """Of the changes there were: those in the rules' collections, and those that conditions let through."""
    await database.orders.insert_many([{"amount": amount} for amount in range(100)])
    await database.carts.insert_many([{"amount": amount} for amount in range(50)])
    write(tmp_path, "big", "amount >= 90", collection=f"{database.name}.orders")
    counts = explained(mtrigger_command, "--uri", mongod.uri, "--counts", "10m")["counts"]
    assert (counts["of_the_rules_collections"], counts["let_through"]) == (100, 10)
    assert counts["changes"] >= 150
    text = mtrigger_command.run("explain", "--uri", mongod.uri, "--counts", "10m").stdout
    assert "10 would have been sent" in text
    refused = mtrigger_command.run("explain", "--counts", "10m")
    assert refused.code == 2
    assert "--uri" in refused.output


async def test_with_a_deployment_it_looks_at_the_collections(
    mtrigger_command: MtriggerCommand,
    tmp_path: Path,
    mongod: EmbeddedServer,
    database: AsyncDatabase[dict[str, Any]],
) -> None:
    """What a wildcard means there, and what `watch` would say."""
    await database.create_collection("orders_eu")
    write(tmp_path, "wild", "a == 1", collection=f"{database.name}.orders_*")
    write(tmp_path, "none", "a == 1", collection=f"{database.name}.nowhere")
    write(tmp_path, "gone", "a == 1", operations="delete", collection=f"{database.name}.orders_eu")
    found = explained(mtrigger_command, "--uri", mongod.uri)
    assert found["collections"]["wild"] == [f"{database.name}.orders_eu"]
    findings = {finding["rule"]: finding for finding in found["findings"]}
    assert set(findings) == {"none", "gone"}
    assert findings["gone"]["grave"] is True
    text = mtrigger_command.run("explain", "--uri", mongod.uri).stdout
    assert "`watch` would not start: rule gone" in text
    assert "no such collection yet" in text


def test_it_says_whether_changes_come_with_the_document_before_them_and_for_which_rules(
    mtrigger_command: MtriggerCommand, tmp_path: Path
) -> None:
    """Only when one needs it, and why."""
    write(tmp_path, "now", "amount > 10000", operations="[insert, update, replace]")
    found = explained(mtrigger_command)
    assert found["stream"]["pre_images"] is False
    assert "fullDocumentBeforeChange" not in json.dumps(found["stream"]["pipeline"])
    write(tmp_path, "then", "before.amount > 10000", operations="update")
    found = explained(mtrigger_command)
    assert found["stream"]["pre_images"] is True
    assert {rule["name"]: rule["pre_images"] for rule in found["rules"]} == {
        "now": "",
        "then": "its condition asks what was before",
    }
    text = mtrigger_command.run("explain").stdout
    assert "come with the document before them, where it is kept: needed by then" in text
    assert "before   needs the document before a change: its condition asks what was before" in text


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_rules_without_a_condition_or_not_enabled_say_so(
    mtrigger_command: MtriggerCommand, tmp_path: Path, enabled: str
) -> None:
    """Everything counts, or nothing does."""
    (tmp_path / "triggers").mkdir()
    text = f"on: {{collection: a.b}}\nenabled: {enabled}\ndo: {{log: x}}\n"
    (tmp_path / "triggers" / "all.yaml").write_text(text)
    shown = mtrigger_command.run("explain").stdout
    assert "come without the document before them" in shown
    assert ("always: it has no condition" in shown) == (enabled == "true")
    assert ("no: it does nothing" in shown) == (enabled == "false")
