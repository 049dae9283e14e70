"""Two processes on one stream, through the installed command: one watches, the other stands by.

Faults 45 and 48 of the list, and what an operator sees and may do meanwhile. Fault 47, the lost reply to a
renewal, is in tests/integration/test_leases.py; fault 46, a clock that jumps, in test_clocks.py.
"""

import asyncio
import json
import signal
from collections import Counter

import pytest

from acceptance.shop import BIG_ORDER, Shop
from mtrigger.ownership import processes
from mtrigger.ownership.lease import Lease
from mtrigger.stores.mongo import MongoStore
from support.command import Running
from support.polling import eventually

STREAM = "main/0"
LEASE = 2.0
LONG = 600.0
ELSEWHERE = str(processes.Process("web-2", 7, "1", "another boot:1:2", "ab12cd34"))

CHANGED = {"$or": [{"ninserted": {"$gt": 0}}, {"nModified": {"$gt": 0}}, {"ndeleted": {"$gt": 0}}]}
"""The commands in a server's profile that have written something."""


def store_of(shop: Shop) -> MongoStore:
    return MongoStore(shop.database.client, shop.state.name)


def stand_by(shop: Shop, *arguments: str) -> Running:
    """Start a second `watch`, which finds the stream taken."""
    running = shop.command.start("watch", "--rules", "triggers/", *arguments, env=shop.environment)
    running.wait_for_line(r"standing by: the stream is watched by \S+ \(process \d+\)")
    return running


async def order(shop: Shop, *names: str) -> None:
    """Big orders, all of which are owed a mail."""
    await shop.orders.insert_many([{"order_id": name, "amount": 20000} for name in names])


async def mailed_once(shop: Shop, *names: str) -> None:
    """Every order has its mail and the row that says so, and none has two."""
    wanted = Counter(names)
    await eventually(lambda: wanted.keys() <= shop.mailed().keys())

    async def settled() -> bool:
        return await shop.deliveries.count_documents({"status": "delivered"}) == len(wanted)

    await eventually(settled)
    assert shop.mailed() == wanted


async def owned_elsewhere(shop: Shop, seconds: float) -> Lease:
    """A process on another machine has the stream."""
    store = store_of(shop)
    taken = await store.leases.take(STREAM, await store.leases.current(STREAM), ELSEWHERE, seconds)
    assert taken is not None
    assert taken.lease is not None
    return taken.lease


async def test_of_two_watchers_one_mails_and_the_other_waits(shop: Shop) -> None:
    """Fault 48: nobody has to say who is who; each order is mailed once, before and after the change."""
    shop.big_order_rule()
    active = shop.watch("--lease", "2s")
    waiting = stand_by(shop, "--lease", "2s")
    await order(shop, "one", "two", "three")
    await mailed_once(shop, "one", "two", "three")
    assert f"process {active.pid}" in waiting.stderr

    assert active.terminate() == 0
    waiting.wait_for_line("taking over from .*good order")
    waiting.wait_for_line("watching .* from .* on")
    await order(shop, "four")
    await mailed_once(shop, "one", "two", "three", "four")
    assert waiting.terminate() == 0


async def test_after_sigterm_the_next_one_takes_over_at_once(shop: Shop) -> None:
    """However long the lease time: the stream was given back. What came between is mailed once."""
    shop.big_order_rule()
    active = shop.watch("--lease", "10m")
    waiting = stand_by(shop, "--lease", "10m")
    await order(shop, *(f"SO-{number}" for number in range(50)))
    assert active.terminate() == 0
    await order(shop, "between")

    waiting.wait_for_line("watching .* from .* on", timeout=30)

    await mailed_once(shop, *(f"SO-{number}" for number in range(50)), "between")


async def test_killed_and_started_again_on_one_machine_nothing_is_waited_for(shop: Shop) -> None:
    """The process that holds the lease is provably gone: neither a restart nor one that stands by waits."""
    shop.big_order_rule()
    active = shop.watch("--lease", "10m")
    waiting = stand_by(shop, "--lease", "10m")
    active.kill()
    await order(shop, "first")
    waiting.wait_for_line("watching .* from .* on", timeout=30)
    await mailed_once(shop, "first")

    waiting.kill()
    shop.watch("--lease", "10m")
    await order(shop, "second")
    await mailed_once(shop, "first", "second")


async def test_a_watcher_that_died_on_another_machine_is_replaced_after_its_lease_time(shop: Shop) -> None:
    """Nothing is known of it but that its counter stands still. While it moves, nobody takes over."""
    shop.big_order_rule()
    assert shop.watch().terminate() == 0
    lease = await owned_elsewhere(shop, LEASE)
    waiting = stand_by(shop, "--lease", "1s")
    await order(shop, "unseen")
    store = store_of(shop)
    for _ in range(6):
        assert await store.leases.renew(STREAM, lease)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LEASE / 3):
                await eventually(lambda: shop.mailed() or waiting.code is not None)

    waiting.wait_for_line("taking over from web-2 .*not renewed its lease")
    await mailed_once(shop, "unseen")


async def test_one_that_stands_by_ends_with_0_on_sigterm(shop: Shop) -> None:
    """And takes nothing with it."""
    shop.big_order_rule()
    active = shop.watch()
    waiting = stand_by(shop)
    assert waiting.terminate() == 0
    await order(shop, "still-watched")
    await mailed_once(shop, "still-watched")
    assert active.code is None


async def test_an_owner_that_was_stopped_for_three_lease_times_writes_nothing_more(shop: Shop) -> None:
    """Fault 45: SIGSTOP, another one takes over, SIGCONT: exit 75 and one line that names the new owner,
    although a hundred retries are due and new orders wait in its stream."""
    shop.big_order_rule()
    shop.rule("big-order", BIG_ORDER.replace("retry: {", "retry: {attempts: 1000, "))  # whatever it takes
    manager = "sales-manager@example.com"
    shop.mail.refuse(manager, "451 4.3.0 try again later")
    old = shop.command.start(
        "watch",
        "--rules",
        "triggers/",
        "--lease",
        "2s",
        env={**shop.environment, "MTRIGGER_URI": f"{shop.uri}&appname=old-owner"},
    )
    old.wait_for_line(r"watching .* from .* on")
    names = [f"SO-{number}" for number in range(100)]
    await order(shop, *names)

    async def all_retrying() -> bool:
        return await shop.deliveries.count_documents({"status": "retrying"}) == len(names)

    await eventually(all_retrying)
    waiting = stand_by(shop, "--lease", "2s")
    old.send(signal.SIGSTOP)
    waiting.wait_for_line("taking over from .*not renewed its lease")
    waiting.wait_for_line(r"watching .* from .* on")
    shop.mail.accept(manager)
    await order(shop, "after")
    await mailed_once(shop, *names, "after")
    await eventually(lambda: _still_for_three_lease_times(shop))
    await shop.state.command("profile", 1, filter={"appName": "old-owner"})

    old.send(signal.SIGCONT)
    assert old.wait() == 75

    assert await shop.state["system.profile"].count_documents({"op": "update", "nMatched": 0}) > 0
    assert await shop.state["system.profile"].count_documents(CHANGED) == 0
    assert old.stderr.splitlines()[-1].startswith("mtrigger: The stream is watched by ")
    assert f"(process {waiting.pid}) now" in old.stderr.splitlines()[-1]
    await mailed_once(shop, *names, "after")
    assert waiting.terminate() == 0


async def _still_for_three_lease_times(shop: Shop) -> bool:
    """Whether the new owner has renewed its lease for three lease times: three renewals each."""
    lease = await store_of(shop).leases.current(STREAM)
    assert lease is not None
    return lease.counter > 12


async def test_a_stopped_owner_that_nobody_replaced_goes_on(shop: Shop) -> None:
    """The stream is still its own: the first renewal says so."""
    shop.big_order_rule()
    running = shop.watch("--lease", "1s")
    store = store_of(shop)
    running.send(signal.SIGSTOP)
    lease = await store.leases.current(STREAM)
    assert lease is not None
    await order(shop, "meanwhile")

    async def silent_for_three_lease_times() -> bool:
        return (await store.leases.renewed_ago(STREAM) or 0) > 3

    await eventually(silent_for_three_lease_times)
    running.send(signal.SIGCONT)
    await mailed_once(shop, "meanwhile")
    assert running.terminate() == 0


async def test_rules_that_changed_while_standing_by_are_in_force_on_taking_over(shop: Shop) -> None:
    """From the first event on; with a mistake in them the ones before stay in force."""
    shop.big_order_rule()
    active = shop.watch()
    waiting = stand_by(shop)
    active.kill()  # before the rules change, so that it has no part in it
    text = (shop.folder / "triggers/big-order.yaml").read_text()
    shop.rule("big-order", text.replace("10000", "500"))
    await shop.orders.insert_one({"order_id": "small", "amount": 600})
    waiting.wait_for_line(r"watching .* from .* on")
    await mailed_once(shop, "small")

    other = stand_by(shop)
    shop.rule("broken", "on: {collection: SHOP.orders}\nwhen: amount >\ndo: [log: hello]\n")
    waiting.kill()
    other.wait_for_line(r"broken\.yaml:2:\d+: ")
    other.wait_for_line(r"watching .* from .* on")
    await shop.orders.insert_one({"order_id": "small-too", "amount": 601})
    await mailed_once(shop, "small", "small-too")


async def test_a_dry_run_needs_no_ownership(shop: Shop) -> None:
    """It shows what would be done, beside the one that does it."""
    shop.big_order_rule()
    shop.watch()
    rehearsing = shop.watch("--dry-run")
    await order(shop, "both")
    rehearsing.wait_for_line("would run: rule big-order, email")
    await mailed_once(shop, "both")
    assert rehearsing.terminate() == 0


async def test_status_and_show_name_the_owner_and_whether_it_watches(shop: Shop) -> None:
    """While it runs, after its end in good order, and after its silence."""
    shop.big_order_rule()
    running = shop.watch("--lease", "2s")
    found = json.loads(shop.run("status", "--json").stdout)["owner"]
    assert found["watching"]
    assert found["name"].endswith(f"(process {running.pid})")
    assert f"(process {running.pid}), heard from 0s ago" in shop.run("checkpoint", "show").stdout

    assert running.terminate() == 0
    assert "ended in good order" in shop.run("status").stdout
    await owned_elsewhere(shop, 0.0)
    assert "watched by nobody; web-2 (process 7) is gone, heard from" in shop.run("status").stdout
    assert not json.loads(shop.run("checkpoint", "show", "--json").stdout)["owner"]["watching"]


async def test_the_position_of_a_stream_that_is_watched_is_not_set_by_accident(shop: Shop) -> None:
    """75 and how to overrule it; overruled, the watcher stops with 75 and never writes its own over it."""
    shop.big_order_rule()
    running = shop.watch("--lease", "2s")
    for arguments in (("set", "--time", "now"), ("reset", "--yes")):
        refused = shop.run("checkpoint", *arguments)
        assert refused.code == 75
        assert f"(process {running.pid}) watches the stream at this moment" in refused.stderr
    assert running.code is None

    assert shop.run("checkpoint", "set", "--time", "2026-01-31T10:00:00Z", "--force").code == 0
    assert running.wait() == 75
    assert "An operator has set the position" in running.stderr or "owned by nobody now" in running.stderr
    stored = await store_of(shop).checkpoint(STREAM)
    assert stored is not None
    assert stored.cluster_time.as_datetime().isoformat() == "2026-01-31T10:00:00+00:00"


async def test_the_position_of_a_watcher_that_is_silent_may_be_set(shop: Shop) -> None:
    """After its lease time where nothing else is known of it; at once when it was killed on this machine."""
    shop.big_order_rule()
    running = shop.watch("--lease", "10m")
    running.kill()
    assert shop.run("checkpoint", "set", "--time", "now").code == 0
    await owned_elsewhere(shop, 1.0)
    done = shop.run("checkpoint", "reset", "--yes")
    assert done.code == 0, done.output
    assert "looking whether web-2 (process 7) still watches" in done.stderr


@pytest.mark.parametrize("lease", ["500ms", "2h"])
def test_a_lease_time_that_cannot_work_is_refused(shop: Shop, lease: str) -> None:
    """64, and from where to where it goes."""
    shop.big_order_rule()
    done = shop.run("watch", "--lease", lease)
    assert done.code == 64
    assert "--lease is from 1s to 3600s" in done.stderr
