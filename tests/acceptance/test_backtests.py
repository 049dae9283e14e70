"""`mtrigger test --since` and `--over`: what rules would have done with the past, and nothing is sent."""

import json
from typing import Any

import pytest

from acceptance.shop import Shop
from support.command import Finished

COUNTED = """
on: {collection: SHOP.logins, operations: [insert]}
when: ok == false
count: {at_least: 3, within: 10m, per: user}
do: [{log: "{{ count }} failed logins of {{ document.user }}"}]
"""


def tried(shop: Shop, *arguments: str) -> Finished:
    """`mtrigger test` with the shop's rules."""
    return shop.run("test", "--rules", "triggers/", *arguments)


def told(shop: Shop, *arguments: str) -> dict[str, Any]:
    """What `--json` tells of each rule, by its name."""
    done = tried(shop, *arguments, "--json")
    assert done.code == 0, done.output
    return {rule["rule"]: rule for rule in json.loads(done.stdout)["rules"]}


async def test_real_changes_are_held_against_a_rule_before_it_runs(shop: Shop) -> None:
    """Inserts and updates of the last minutes, each counted once; the mail is shown, and not sent."""
    shop.big_order_rule()
    await shop.orders.insert_many([{"_id": n, "order_id": n, "amount": 9_990 + n} for n in range(20)])
    await shop.orders.update_one({"_id": 0}, {"$set": {"amount": 50_000}})

    rule = told(shop, "--since", "10m", "--show", "2")["big-order"]
    assert (rule["fires"], rule["suppressed"]) == (10, 0)
    assert rule["first"]["$date"] <= rule["last"]["$date"]
    (second_last, last) = rule["shown"]
    assert (second_last["key"], last["key"]) == ({"_id": 19}, {"_id": 0})
    assert last["actions"][0]["parts"]["Subject"] == "Big order 0"

    assert shop.mail.mails == []
    assert shop.state.name not in await shop.database.client.list_database_names()


async def test_gates_keep_back_what_they_would_have_kept_back(shop: Shop) -> None:
    """Counted by the times of the changes, group by group, with the reason and how often."""
    shop.rule("failed-logins", COUNTED)
    for user in ("ann", "bob", "ann", "ann", "bob", "ann", "eve"):
        await shop.database["logins"].insert_one({"user": user, "ok": False})
    await shop.database["logins"].insert_one({"user": "ann", "ok": True})

    rule = told(shop, "--since", "10m")["failed-logins"]
    assert (rule["fires"], rule["suppressed"]) == (1, 6)
    assert rule["reasons"] == {"counted: 1 of 3 within 10m": 4, "counted: 2 of 3 within 10m": 2}
    assert rule["shown"][0]["actions"][0]["parts"]["Info"] == "3 failed logins of ann"

    lines = tried(shop, "--since", "10m").stdout
    assert "4 x counted: 1 of 3 within 10m" in lines


async def test_the_documents_of_a_collection_are_held_against_a_rule(shop: Shop) -> None:
    """What is there now, all of it or what a filter finds."""
    shop.big_order_rule()
    await shop.orders.insert_many([{"_id": n, "order_id": n, "amount": 9_990 + n} for n in range(30)])

    assert told(shop, "--over", shop.orders.full_name)["big-order"]["fires"] == 19
    some = told(shop, "--over", shop.orders.full_name, "--query", '{"_id": {"$lt": 15}}')["big-order"]
    assert some["fires"] == 4
    assert shop.mail.mails == []


async def test_a_mail_that_could_not_have_been_rendered_is_found_in_real_data(shop: Shop) -> None:
    """One order without the field that the template reads: exit 1, and which one it was."""
    shop.big_order_rule()
    await shop.orders.insert_one({"_id": "lame", "amount": 20_000})
    done = tried(shop, "--since", "10m")
    assert done.code == 1
    assert "lame" in done.stdout
    assert "email would fail" in done.stdout


async def test_a_schedule_tells_how_often_it_would_have_run(shop: Shop) -> None:
    """The times of its cron expression in the stretch."""
    shop.rule("hourly", 'on: {schedule: "*/10 * * * *"}\ndo: [{log: x}]\n')
    await shop.orders.insert_one({"_id": 1})
    assert told(shop, "--since", "30m")["hourly"]["fires"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--since", "10m", "--over", "a.b"), "one of --event", id="two at once"),
        pytest.param(("--query", "{}"), "--query says more about --over", id="query alone"),
        pytest.param(("--over", "orders"), "database.collection", id="no database"),
        pytest.param(("--since", "soon"), "is no time", id="no time"),
    ],
)
async def test_options_that_do_not_go_together_are_usage_errors(
    shop: Shop, arguments: tuple[str, ...], said: str
) -> None:
    """Exit 2 with a sentence."""
    shop.big_order_rule()
    done = tried(shop, *arguments)
    assert done.code == 2
    assert said in done.stderr
