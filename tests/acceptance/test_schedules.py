"""Rules that fire by time, through the installed command: once, whatever happens to the process."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from bson.decimal128 import Decimal128

from acceptance.shop import Shop
from support.command import Running
from support.polling import eventually

LEASE = ("--lease", "2s")

EVERY_SECOND = """
name: tick
on: {schedule: "* * * * * *", catch_up: all}
do: [{email: {to: clock@example.com, subject: "Tick {{ event.time }}", text: tick}}]
"""

DAILY_REPORT = """
name: daily-report
on:
  schedule: "* * * * * *"
  query:
    collection: SHOP.orders
    where: amount > 10000 and created_at >= now() - duration("1d")
    sort: -amount
    limit: 2
do:
  - email:
      to: sales-manager@example.com
      subject: "{{ count }} big orders"
      text: |-
        {% for order in documents %}{{ order.order_id }}: {{ order.amount }}
        {% endfor %}and {{ more }} more
retry: {first_delay: 50ms, max_delay: 200ms}
"""


def hourly(catch_up: str) -> str:
    """A rule of one time an hour, half an hour away: none comes while a test runs."""
    minute = (datetime.now(UTC).minute + 30) % 60
    return f"""
name: hourly
on: {{schedule: "{minute} * * * *", catch_up: {catch_up}}}
do: [{{email: {{to: clock@example.com, subject: "Hour {{{{ event.time }}}}", text: hour}}}}]
"""


async def next_run(shop: Shop, rule: str) -> datetime:
    """When `rule` runs next, once that is known."""

    async def row() -> dict[str, Any] | None:
        return await shop.state["schedules"].find_one({"_id": rule})

    found: datetime = (await eventually(row))["next_at"]
    return found.replace(tzinfo=UTC)


async def fired(shop: Shop, rule: str) -> list[datetime]:
    """The scheduled times that `rule` owes or owed something for, in order."""
    rows = await shop.deliveries.find({"rule": rule}).to_list()
    return sorted(row["event"]["time"].replace(tzinfo=UTC) for row in rows)


def gaps(times: Sequence[datetime]) -> set[timedelta]:
    """How far apart the times are."""
    return {after - before for before, after in pairwise(times)}


def stand_by(shop: Shop) -> Running:
    """Start a second `watch`, which finds the stream taken."""
    running = shop.command.start("watch", "--rules", "triggers/", *LEASE, env=shop.environment)
    running.wait_for_line(r"standing by: the stream is watched by")
    return running


async def more(shop: Shop, rule: str, number: int) -> None:
    """Wait until `rule` has fired so many times more."""
    before = await shop.deliveries.count_documents({"rule": rule, "status": "delivered"})

    async def enough() -> bool:
        now = await shop.deliveries.count_documents({"rule": rule, "status": "delivered"})
        return now >= before + number

    await eventually(enough)


async def test_each_second_once_with_two_processes(shop: Shop) -> None:
    """One of them runs the schedule; when it stops in good order the other goes on."""
    shop.rule("tick", EVERY_SECOND)
    first = shop.watch(*LEASE)
    first.wait_for_line(r"rule tick runs by its schedule: Every second \(UTC\); first at ")
    second = stand_by(shop)
    await more(shop, "tick", 2)
    assert first.terminate() == 0
    await more(shop, "tick", 2)
    assert second.terminate() == 0
    times = await fired(shop, "tick")
    assert gaps(times) == {timedelta(seconds=1)}
    mails = Counter(mail["Subject"] for mail in shop.messages())
    assert mails == Counter(f"Tick {time.isoformat().replace('+00:00', 'Z')}" for time in times)


async def test_a_process_that_is_killed_loses_and_doubles_nothing(shop: Shop) -> None:
    """Killed three times in the midst of its seconds: every one is owed exactly once."""
    shop.rule("tick", EVERY_SECOND)
    for _ in range(3):
        running = shop.watch(*LEASE)
        await more(shop, "tick", 2)
        running.kill()
    owed = set(await fired(shop, "tick"))
    running = shop.watch(*LEASE)

    async def all_delivered() -> bool:
        rows = await shop.deliveries.find({"rule": "tick", "status": "delivered"}).to_list()
        return owed <= {row["event"]["time"].replace(tzinfo=UTC) for row in rows}

    await eventually(all_delivered)
    assert running.terminate() == 0
    assert gaps(await fired(shop, "tick")) == {timedelta(seconds=1)}


@pytest.mark.parametrize(("catch_up", "made_up_for"), [("none", 0), ("last", 1), ("all", 4)])
async def test_what_passed_while_nothing_ran(shop: Shop, catch_up: str, made_up_for: int) -> None:
    """Four hours without a process: as many are made up for as the rule says, and the next one is ahead."""
    shop.rule("hourly", hourly(catch_up))
    running = shop.watch(*LEASE)
    ahead = await next_run(shop, "hourly")
    running.kill()
    missed = [ahead - timedelta(hours=ago) for ago in (4, 3, 2, 1)]
    await shop.state["schedules"].update_one({"_id": "hourly"}, {"$set": {"next_at": missed[0]}})

    running = shop.watch(*LEASE)

    async def moved_on() -> bool:
        return await next_run(shop, "hourly") == ahead

    await eventually(moved_on)
    wanted = missed[len(missed) - made_up_for :]
    await eventually(lambda: len(shop.messages()) == made_up_for)
    assert running.terminate() == 0
    assert await fired(shop, "hourly") == wanted
    if made_up_for < len(missed):
        left_out = len(missed) - made_up_for
        assert (
            f"rule hourly: {left_out} of its scheduled times have passed and are left out" in running.output
        )


async def test_a_changed_schedule_is_waited_for_anew(shop: Shop) -> None:
    """What was waited for by the old times means nothing then, and is not made up for."""
    shop.rule("hourly", hourly("all"))
    running = shop.watch(*LEASE)
    await next_run(shop, "hourly")
    running.kill()
    passed = datetime.now(UTC) - timedelta(days=3)
    await shop.state["schedules"].update_one({"_id": "hourly"}, {"$set": {"next_at": passed}})
    shop.rule("hourly", hourly("all").replace("catch_up", "timezone: Asia/Seoul, catch_up"))

    running = shop.watch(*LEASE)

    async def ahead() -> bool:
        return await next_run(shop, "hourly") > datetime.now(UTC)

    await eventually(ahead)
    assert running.terminate() == 0
    assert await fired(shop, "hourly") == []


async def test_the_daily_report_of_big_orders(shop: Shop) -> None:
    """The mail lists what the query finds, sorted and bounded, and says how many more there are."""
    now = datetime.now(UTC)
    orders: list[tuple[str, Any, timedelta]] = [
        ("old", 90_000, timedelta(days=2)),
        ("small", 10_000, timedelta(hours=1)),
        ("a", 10_001, timedelta(hours=1)),
        ("b", Decimal128("20000.50"), timedelta(hours=2)),
        ("c", 30_000, timedelta(hours=3)),
    ]
    await shop.orders.insert_many(
        {"order_id": name, "amount": amount, "created_at": now - ago} for name, amount, ago in orders
    )
    shop.rule("daily-report", DAILY_REPORT)
    running = shop.watch(*LEASE)
    mail = (await eventually(shop.messages))[0]
    assert mail["Subject"] == "3 big orders"
    assert mail.get_content().splitlines()[:3] == ["c: 30000", "b: 20000.50", "and 1 more"]
    assert running.terminate() == 0


async def test_a_report_that_cannot_be_written_is_a_dead_letter(shop: Shop) -> None:
    """A template that fails is told to the rule of dead letters, with the rule and its schedule."""
    shop.rule("daily-report", DAILY_REPORT.replace("{{ count }} big", "{{ 1 / count }} big"))
    shop.rule(
        "told",
        """
on: {dead_letters: true}
do: [{email: {to: ops@example.com, subject: "{{ document.rule }} {{ document.operation }}", text: died}}]
""",
    )
    running = shop.watch(*LEASE)
    row = await shop.delivery({"rule": "daily-report", "status": "dead"})
    assert row["attempts"] == 1
    letter = (await eventually(shop.messages))[0]
    assert letter["Subject"] == "daily-report schedule"
    assert running.terminate() == 0


async def test_a_query_that_fails_is_tried_again(shop: Shop) -> None:
    """As an action's failure would be; what an attempt tells is what is there then."""
    await shop.orders.insert_one({"order_id": "a", "amount": 20_000, "created_at": datetime.now(UTC)})
    good = DAILY_REPORT.replace(
        'where: amount > 10000 and created_at >= now() - duration("1d")', "pipeline: []"
    )
    good = good.replace("    sort: -amount\n", "").replace("* * * * * *", "0 * * * * *")
    shop.rule("daily-report", good.replace("pipeline: []", "pipeline: [{$nonsense: {}}]"))
    running = shop.watch(*LEASE)
    ahead = await next_run(shop, "daily-report")
    assert running.terminate() == 0
    await shop.state["schedules"].update_one(
        {"_id": "daily-report"}, {"$set": {"next_at": ahead - timedelta(minutes=1)}}
    )
    running = shop.watch(*LEASE)
    row = await shop.delivery({"rule": "daily-report", "status": "retrying"})
    assert "orders failed: Unrecognized pipeline stage name: '$nonsense'" in row["error"]

    shop.rule("daily-report", good)

    delivered = await shop.delivery({"_id": row["_id"], "status": "delivered"})
    assert delivered["attempts"] > 1
    assert running.terminate() == 0
    assert shop.messages()[0]["Subject"] == "1 big orders"


async def test_schedules_come_and_go_with_their_rules(shop: Shop) -> None:
    """Reloaded at once; what is not there is not waited for, and not made up for when it comes back."""
    shop.big_order_rule()
    running = shop.watch(*LEASE)
    file = shop.rule("tick", EVERY_SECOND)
    await more(shop, "tick", 2)
    file.unlink()

    async def forgotten() -> bool:
        return await shop.state["schedules"].count_documents({}) == 0

    await eventually(forgotten)
    shop.rule("tick", EVERY_SECOND.replace("on: {", "on: {timezone: Asia/Seoul, "))
    await more(shop, "tick", 1)
    assert running.terminate() == 0
    times = await fired(shop, "tick")
    status = shop.run("status")
    assert "scheduled  tick at 20" in status.stdout, status.output
    listed = shop.run("deliveries", "list").stdout
    (line,) = [line for line in listed.splitlines() if times[-1].isoformat().replace("+00:00", "Z") in line]
    assert "schedule" in line, listed
    shown = shop.run("deliveries", "show", line.split()[0]).stdout
    assert f"event      schedule at {times[-1].isoformat().replace('+00:00', 'Z')}" in shown, shown
    assert [run["rule"] for run in json.loads(shop.run("status", "--json").stdout)["next_runs"]] == ["tick"]


async def test_only_one_of_several_partitions_runs_a_schedule(shop: Shop) -> None:
    """The first one: what a time owes is owed once, however the stream is divided."""
    shop.rule("tick", EVERY_SECOND)
    running = shop.watch("--partitions", "3", *LEASE)
    await more(shop, "tick", 3)
    assert running.terminate() == 0
    times = await fired(shop, "tick")
    assert gaps(times) == {timedelta(seconds=1)}
    assert await shop.deliveries.distinct("partition") == ["main/0-of-3"]


def test_check_explain_and_dry_run_know_schedules(shop: Shop) -> None:
    """`check` says in words when it runs; a dry run sends nothing and keeps nothing."""
    shop.rule("daily-report", DAILY_REPORT.replace("* * * * * *", "0 9 * * mon-fri"))
    checked = shop.run("check")
    assert "daily-report: At 09:00 on Monday through Friday (UTC); next: " in checked.stdout
    listed = json.loads(shop.run("check", "--json").stdout)["rules"][0]["schedule"]
    assert (listed["cron"], len(listed["next"])) == ("0 9 * * mon-fri", 3)
    explained = shop.run("explain")
    assert "its times: At 09:00 on Monday through Friday (UTC)" in explained.stdout
    assert 'where    amount > 10000 and created_at >= now() - duration("1d")' in explained.stdout

    shop.rule("daily-report", DAILY_REPORT)
    running = shop.watch("--dry-run")
    running.wait_for_line("0 big orders")
    assert running.terminate() == 0
    assert shop.messages() == []
