"""A mail server or host that is down is probed, not hammered; what waits for it waits without burning
attempts, and goes on once it is back."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bson.timestamp import Timestamp

from acceptance.shop import Shop
from mtrigger.actions.breaker import FAILURES
from support.closing_port import ClosingPort
from support.command import Running
from support.http_sink import Answer, HttpSink
from support.mongo_servers import free_port
from support.polling import eventually

ORDERS = 2_000
PROBES = 3
"""How many probes an outage of the mail server lasts at least: about ten seconds, which is many times longer
than the rules below would try without a breaker."""

AT_ONCE = 4
"""Connections to the mail server (`connections=`, by default): so many attempts may be under way when the
breaker opens, and fail with the ones that opened it."""

MAIL_RULE = """
on: {collection: SHOP.orders}
do:
  - email: {to: sales@example.com, subject: "Big order {{ document._id }}", text: "{{ document.text }}"}
retry: {attempts: 8, first_delay: 20ms, max_delay: 100ms}
"""


@contextmanager
def mail_server_down(shop: Shop) -> Iterator[ClosingPort]:
    """The mail server is gone; what listens at its place closes every connection."""
    shop.mail.stop()
    with closing(ClosingPort(shop.mail.port)) as nobody:
        yield nobody
    shop.mail.start()


def down(shop: Shop) -> list[dict[str, Any]]:
    """The destinations that `mtrigger status` shows as down."""
    done = shop.run("status", "--json")
    assert done.code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["down"]
    return found


async def insert(shop: Shop, numbers: Sequence[int]) -> Timestamp:
    """Orders with these numbers; the cluster time afterwards."""
    await shop.orders.insert_many([{"_id": number, "text": "x" * 500} for number in numbers])
    answer = await shop.database.command("ping")
    time = answer["operationTime"]
    assert isinstance(time, Timestamp)
    return time


async def has_moved_past(shop: Shop, time: Timestamp) -> bool:
    row = await shop.state["checkpoints"].find_one({})
    return row is not None and bool(row["cluster_time"] >= time)


async def all_delivered(shop: Shop, number: int) -> bool:
    return await shop.deliveries.count_documents({"status": "delivered"}) == number


def resident_mb(running: Running) -> float:
    lines = Path(f"/proc/{running.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


async def test_an_outage_of_the_mail_server_costs_rows_and_nothing_else(shop: Shop) -> None:
    """All are mailed once it is back, none twice; the position has moved on, the server was left alone, and
    no delivery has lost more attempts than the few that opened the breaker. Without one all would be dead."""
    shop.rule("mail", MAIL_RULE)
    running = shop.watch()
    await insert(shop, [-1])
    await eventually(lambda: shop.mail.mails)
    before = resident_mb(running)

    with mail_server_down(shop) as nobody:
        last = await insert(shop, range(ORDERS))
        await eventually(lambda: has_moved_past(shop, last))
        await eventually(lambda: nobody.connections >= FAILURES + AT_ONCE + PROBES, 60)
        assert await shop.deliveries.count_documents({}) == ORDERS + 1
        assert resident_mb(running) - before < 60
    connections = nobody.connections

    await eventually(lambda: all_delivered(shop, ORDERS + 1), 120)
    mailed = shop.mailed()
    assert mailed.keys() == {str(number) for number in (-1, *range(ORDERS))}
    assert set(mailed.values()) == {1}
    attempts = [row["attempts"] async for row in shop.deliveries.find({}, {"attempts": 1})]
    assert max(attempts) <= FAILURES
    assert sum(attempts) - len(attempts) < FAILURES + AT_ONCE
    assert connections <= FAILURES + AT_ONCE + PROBES + 1
    assert running.terminate() == 0


async def test_a_dead_host_holds_up_no_other(shop: Shop) -> None:
    """Not in another action of its rule, and not where one action sends to many hosts: everything else
    arrives at the first attempt while it is down."""
    with closing(ClosingPort()) as nobody:
        shop.rule(
            "hooks",
            "on: {collection: SHOP.orders}\n"
            "do:\n"
            f"  - webhook: {{url: 'http://127.0.0.1:{nobody.port}/'}}\n"
            f"  - webhook: {{url: '{shop.web.url}/healthy'}}\n"
            "  - webhook: {url: 'http://127.0.0.1:{{ document.port }}/changing'}\n"
            "retry: {attempts: 100, first_delay: 20ms, max_delay: 100ms}\n",
        )
        shop.watch()
        ports = [nobody.port if number % 2 else shop.web.port for number in range(200)]
        await shop.orders.insert_many([{"port": port} for port in ports])

        await eventually(lambda: all_delivered(shop, 300))
        paths = [request.path for request in shop.web.requests]
        assert (paths.count("/healthy"), paths.count("/changing")) == (200, 100)
        assert await shop.deliveries.count_documents({"status": "delivered", "attempts": {"$ne": 1}}) == 0
        (shown,) = await eventually(lambda: down(shop))
        assert shown["destination"] == f"http://127.0.0.1:{nobody.port}"


async def test_killed_while_it_waits_nothing_is_lost(shop: Shop) -> None:
    """The next start finds out by itself that the server is down, and waits; nobody is mailed twice."""
    shop.rule("mail", MAIL_RULE)
    running = shop.watch()
    with mail_server_down(shop) as nobody:
        await insert(shop, range(50))
        await eventually(lambda: down(shop))
        running.kill()
        assert down(shop) == []  # whoever said so is gone

        seen = nobody.connections
        running = shop.watch()
        await eventually(lambda: down(shop))
        await eventually(lambda: nobody.connections > seen + FAILURES + 1)

    await eventually(lambda: all_delivered(shop, 50), 60)
    assert shop.mailed() == {str(number): 1 for number in range(50)}
    assert running.terminate() == 0


async def test_a_reload_does_not_forget_what_is_down(shop: Shop) -> None:
    """What waits goes on with the rule as it is then."""
    shop.rule("mail", MAIL_RULE)
    running = shop.watch()
    with mail_server_down(shop):
        await insert(shop, range(30))
        (before,) = await eventually(lambda: down(shop))
        shop.rule("mail", MAIL_RULE.replace("Big order ", "Big order no-"))
        running.wait_for_line("rules reloaded")
        await insert(shop, range(30, 40))

        async def all_wait() -> bool:
            return [one["waiting"] for one in down(shop)] in ([39], [40])  # one of them may be the probe

        await eventually(all_wait, 60)
        (after,) = down(shop)
        assert after["since"] == before["since"]

    await eventually(lambda: all_delivered(shop, 40), 60)
    assert shop.mailed() == {f"no-{number}": 1 for number in range(40)}


async def test_a_rule_that_names_another_host_does_not_wait_for_the_old_one(shop: Shop) -> None:
    """Whoever puts another address into a rule because the old one is down need not wait for that."""
    shop.web.answer_always(Answer(503, {"Retry-After": "3600"}))
    rule = "on: {collection: SHOP.orders}\ndo: [{webhook: {url: 'WHERE'}}]\nretry: {first_delay: 20ms}\n"
    shop.rule("hook", rule.replace("WHERE", shop.web.url))
    running = shop.watch()
    await insert(shop, range(FAILURES))
    await eventually(lambda: down(shop))
    await insert(shop, range(FAILURES, 30))
    with closing(HttpSink()) as other:
        await eventually(lambda: [one["waiting"] >= 30 - FAILURES for one in down(shop)] == [True])
        shop.rule("hook", rule.replace("WHERE", other.url))
        running.wait_for_line("rules reloaded")
        await eventually(lambda: len(other.requests) >= 30 - FAILURES)
        assert running.terminate() == 0


async def test_status_shows_what_is_down_and_why(shop: Shop) -> None:
    """Since when, when it is tried again, how many wait; no longer once it is up. Of an address it shows the
    host alone, and no password."""
    port = free_port()
    secret = f"http://user:pass-word@127.0.0.1:{port}/token-1234?key=5678"
    shop.rule("mail", MAIL_RULE)
    shop.rule("hook", f"on: {{collection: SHOP.orders}}\ndo: [{{webhook: {{url: '{secret}'}}}}]\n")
    running = shop.watch()
    assert down(shop) == []

    with mail_server_down(shop):
        await insert(shop, range(20))
        shown = await eventually(lambda: found if len(found := down(shop)) == 2 else None)
        by_name = {one["destination"]: one for one in shown}
        assert by_name.keys() == {f"smtp://localhost:{shop.mail.port}", f"http://127.0.0.1:{port}"}
        hook = by_name[f"http://127.0.0.1:{port}"]
        assert "Connect call failed" in hook["why"]
        assert hook["since"] <= hook["tried_again_at"]
        await eventually(lambda: min(one["waiting"] for one in down(shop)) >= 10)
        text = shop.run("status").stdout
        assert f"down       http://127.0.0.1:{port} since {hook['since']}" in text
        for hidden in ("pass-word", "token-1234", "key="):
            assert hidden not in text + json.dumps(shown)

    running.wait_for_line(rf"smtp://localhost:{shop.mail.port} is up again")
    await eventually(lambda: [one["destination"] for one in down(shop)] == [f"http://127.0.0.1:{port}"])
    assert running.terminate() == 0
    assert await shop.state["destinations"].count_documents({}) == 0


async def test_what_waits_too_long_dies_and_says_for_whom(shop: Shop) -> None:
    """`max_age` holds for what waits, too, whether or not anybody was let through to try."""
    shop.rule("mail", MAIL_RULE.replace("attempts: 8", "attempts: 8, max_age: 3s"))
    shop.watch()
    with mail_server_down(shop):
        await insert(shop, range(30))

        async def dead() -> bool:
            return await shop.deliveries.count_documents({"status": "dead"}) == 30

        await eventually(dead)
    waited = await shop.deliveries.find({"attempts": 1}).to_list()
    assert len(waited) > 30 - FAILURES - AT_ONCE
    for row in waited:
        assert f"smtp://localhost:{shop.mail.port} is down" in row["error"]
        assert "gave up: older than 3 s" in row["error"]


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_gateway_that_finds_nobody_is_down(shop: Shop, status: int) -> None:
    """All go on when it answers for somebody again."""
    shop.web.answer_always(Answer(status))
    shop.rule(
        "hook",
        f"on: {{collection: SHOP.orders}}\ndo: [{{webhook: {{url: '{shop.web.url}'}}}}]\n"
        "retry: {attempts: 8, first_delay: 20ms, max_delay: 100ms}\n",
    )
    running = shop.watch()
    await insert(shop, range(100))
    running.wait_for_line(rf"http://127.0.0.1:{shop.web.port} is down .*: it answers {status}")
    await eventually(lambda: down(shop))
    shop.web.answer_always(Answer())

    await eventually(lambda: all_delivered(shop, 100))
    assert len(shop.web.requests) < 100 + 50
