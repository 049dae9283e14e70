"""`mtrigger test --since` and `--over`: what rules would have done with the past, and nothing is sent."""

import asyncio
import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acceptance.shop import Shop
from support.command import Finished
from support.polling import NeverHappenedError, eventually

COUNTED = """
on: {collection: SHOP.logins, operations: [insert]}
when: ok == false
count: {at_least: 3, within: 10m, per: user}
do: [{log: "{{ count }} failed logins of {{ document.user }}"}]
"""


ABOUT_TANKS = {
    "plain": "when: level > 50",
    "counted": "when: level > 30\ncount: {at_least: 4, within: 3s, per: site}",
    "throttled": "when: level > 30\nthrottle: {every: 3s, per: site}",
    "counted-throttled": "count: {at_least: 2, within: 10s}\nthrottle: {every: 3s}",
    "once": "when: level > 40\nfire: once",
    "entering": "when: level > 40\nfire: entering\nresolved: {log: over}",
    "throttled-resolved": "when: level > 60\nthrottle: {every: 3s}\nresolved: {log: over}",
    "gathered": "when: level > 50\ndigest: {every: 3s, per: site}",
    "silent-site": "absent: {for: 1s, per: site}\nresolved: {log: back}",
    "fresh": "when: fresh_until > now()",
    "crossed": "when: level < before.level * 0.5",
    "closed": 'active: {days: mon-sun, hours: "00:00-00:01", otherwise: skip}',
}
"""Rules of every kind; all are quiet in their own way about the same changes."""


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


async def fill_tanks(shop: Shop) -> None:
    """Two bursts of random changes, a few seconds apart: windows close and freshness is over in between."""
    chance, tanks = random.Random(5), shop.database["tanks"]
    for _ in range(2):
        for _ in range(60):
            tank, level = chance.randrange(8), chance.randrange(100)
            if chance.random() < 0.3:
                fresh_until = datetime.now(UTC) + timedelta(seconds=3)
                document = {"level": level, "site": chance.randrange(3), "fresh_until": fresh_until}
                await tanks.replace_one({"_id": tank}, document, upsert=True)
            elif chance.random() < 0.1:
                await tanks.delete_one({"_id": tank})
            else:
                await tanks.update_one({"_id": tank}, {"$set": {"level": level}})
        await asyncio.sleep(4)


async def outcomes(shop: Shop) -> dict[str, Counter[str]]:
    """What became of each rule's deliveries, as `test --since` calls it. Of documents that a rule was to fire
    once for, further changes leave no trace: they are not counted."""
    names = {"delivered": "fires", "suppressed": "suppressed", "pending": "held"}
    found: dict[str, Counter[str]] = {name: Counter() for name in ABOUT_TANKS}
    async for row in shop.deliveries.find():
        is_end = row["action"].startswith("resolved-")
        found[row["rule"]]["resolves" if is_end else names[row["status"]]] += 1
        found[row["rule"]]["digests"] += row.get("digest") == row["_id"] and row["status"] == "delivered"
    return found


async def test_the_past_comes_out_as_it_did_live(shop: Shop) -> None:
    """Whatever keeps a rule quiet, and whatever it fires for: `--since` counts what lies in the outbox."""
    for name, keys in ABOUT_TANKS.items():
        shop.rule(name, f"on: {{collection: SHOP.tanks}}\n{keys}\ndo: {{log: x}}\n")
    assert shop.run("prepare", "--rules", "triggers/", "--yes").code == 0
    began = datetime.now(UTC).isoformat()
    watching = shop.watch()
    await fill_tanks(shop)

    async def agree() -> bool:
        past = told(shop, "--since", began)
        counted = ("fires", "resolves", "suppressed", "held", "digests")
        tried = {name: Counter({key: rule[key] or 0 for key in counted}) for name, rule in past.items()}
        assert tried["once"].pop("suppressed") > 0
        live = await outcomes(shop)
        differences = {name: (live[name], tried[name]) for name in live if live[name] != tried[name]}
        said.append(str(differences))
        return not differences

    said: list[str] = []
    try:
        await eventually(agree)  # the last silences and digests are still to come
    except NeverHappenedError as error:
        raise AssertionError(f"live, and as tried: {said[-1]}") from error
    assert watching.terminate() == 0
    live = await outcomes(shop)
    assert live["once"]["fires"] == 8
    busy = ("silent-site", "entering", "gathered", "counted", "throttled", "fresh")
    assert all(live[name]["fires"] for name in busy)


async def test_a_rule_that_is_not_enabled_is_tried_when_it_is_named(shop: Shop) -> None:
    """It is the one that is to be trusted before it runs; otherwise it is left out, and that is said."""
    shop.rule("soon", "enabled: false\non: {collection: SHOP.orders}\ndo: {log: x}\n")
    await shop.orders.insert_one({"_id": 1})
    assert told(shop, "soon", "--since", "10m")["soon"]["fires"] == 1
    done = tried(shop, "--since", "10m")
    assert "not enabled, so not tried (name them to try them): soon" in done.stderr


async def test_what_the_past_cannot_show_is_said(shop: Shop) -> None:
    """Deaths, documents that were not kept with the changes, and what is not in documents at all."""
    shop.rule("deaths", "on: {dead_letters: true}\ndo: {log: x}\n")
    shop.rule("big", "on: {collection: SHOP.orders}\nwhen: amount > 5\ndo: {log: x}\n")
    shop.rule("silent", "on: {collection: SHOP.orders}\nabsent: {for: 1h}\ndo: {log: x}\n")
    shop.rule("daily", 'on: {schedule: "0 9 * * *"}\ndo: {log: x}\n')
    shop.rule("grown", "on: {collection: SHOP.orders}\nwhen: became(amount > 5)\ndo: {log: x}\n")
    await shop.orders.insert_one({"_id": 1, "amount": 1})
    await shop.orders.update_one({"_id": 1}, {"$inc": {"amount": 8}})
    since = tried(shop, "--since", "10m")
    assert "deaths: what dies shows only when it is sent" in since.stdout
    assert "1 update came without a document" in since.stderr
    over = tried(shop, "--over", shop.orders.full_name)
    assert "silent: what is absent shows only in changes" in over.stdout
    assert "daily: times are no documents" in over.stdout
    assert "grown: it asks what has changed, which documents do not show" in over.stdout


async def test_a_schedule_keeps_its_hours_in_the_past(shop: Shop) -> None:
    """Times outside the active hours are left out, as live."""
    text = 'on: {schedule: "* * * * *"}\nactive: {days: mon-sun, hours: "00:00-00:01", otherwise: skip}\n'
    shop.rule("closed", f"{text}do: {{log: x}}\n")
    await shop.orders.insert_one({"_id": 1})
    closed = told(shop, "--since", "30m")["closed"]
    assert closed["fires"] <= 1
    assert closed["fires"] + closed["suppressed"] == 30


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
        pytest.param(("--since", "10m", "--junit", "x.xml"), "--junit says what came", id="no examples"),
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
