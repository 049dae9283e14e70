"""Silences and pauses: what operators ask of a rule while it runs, and what they are shown of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acceptance.shop import Shop
from acceptance.test_quiet import order, settled, standing, subjects
from support.command import Finished
from support.polling import eventually

MAILING = """
name: big-order
on: {collection: SHOP.orders}
do:
  - email: {to: sales@example.com, subject: "Big order {{ document.order_id }}", text: an order}
retry: {first_delay: 50ms, max_delay: 200ms}
"""


def shown(shop: Shop, *arguments: str) -> Any:
    """The one document that a command prints with `--json`."""
    done = shop.run(*arguments, "--json")
    assert done.code == 0, done.output
    return json.loads(done.stdout)


def succeeded(done: Finished) -> str:
    """What a command said that ended well."""
    assert done.code == 0, done.output
    return done.output


async def heeded(shop: Shop, number: int, status: str) -> None:
    """Wait until a watch that runs goes by a wish: orders are placed until one ends up as `status`."""

    async def went_by_it() -> bool:
        await shop.orders.insert_one(order(f"trial {number}"))
        return status in await standing(shop)

    await eventually(went_by_it)


# -- silence -------------------------------------------------------------------------------------------------


async def test_a_silenced_rule_leaves_out_what_becomes_due_until_that_is_ended(shop: Shop) -> None:
    """What was left out stays so; what comes afterwards is sent."""
    shop.rule("big-order", MAILING)
    said = succeeded(shop.run("silence", "big-order", "--for", "4h", "--comment", "deploy"))
    assert "silenced: big-order, until " in said
    assert "(deploy)" in said
    shop.watch()
    await shop.orders.insert_many([order(1), order(2)])
    await settled(shop, suppressed=2)
    row = await shop.delivery({})
    assert row["reason"].startswith("silenced until 20")
    assert row["reason"].endswith(": deploy")

    assert "1 silence of rule big-order ended" in succeeded(shop.run("silence", "big-order", "--end"))
    await heeded(shop, 1, "delivered")

    assert {"Big order 1", "Big order 2"}.isdisjoint(subjects(shop))
    assert shop.run("silence", "big-order", "--end").code == 1


async def test_a_silence_with_a_condition_lets_the_others_through(shop: Shop) -> None:
    """Small orders are left out, big ones are mailed."""
    shop.rule("big-order", MAILING)
    succeeded(shop.run("silence", "big-order", "--for", "4h", "--where", "amount < 50000"))
    shop.watch()

    await shop.orders.insert_many([order(1, amount=20_000), order(2, amount=50_000), order(3, amount=1)])

    await settled(shop, suppressed=2, delivered=1)
    assert subjects(shop) == ["Big order 2"]


async def test_a_silence_ends_by_itself(shop: Shop) -> None:
    """Without anybody's doing, in a watch that runs. Its end is put to now: nobody waits for an hour."""
    shop.rule("big-order", MAILING)
    shop.watch()
    succeeded(shop.run("silence", "big-order", "--for", "1h"))
    await heeded(shop, 1, "suppressed")

    await shop.state["wishes"].update_one({}, {"$set": {"until": datetime.now(UTC)}})

    async def goes_on() -> bool:
        await shop.orders.insert_one(order("after"))
        return "Big order after" in subjects(shop)

    await eventually(goes_on)

    assert shown(shop, "silence", "--list") == {"silences": []}


async def test_silences_are_listed_with_who_asked_and_why(shop: Shop) -> None:
    """By themselves and in the status."""
    succeeded(shop.run("silence", "b", "--for", "2h", "--where", "amount < 5", "--comment", "a\nstorm"))
    succeeded(shop.run("silence", "a", "--for", "1h"))

    first, second = shown(shop, "silence", "--list")["silences"]

    assert (first["rule"], first["where"], first["comment"]) == ("a", None, None)
    assert (second["rule"], second["where"], second["comment"]) == ("b", "amount < 5", "a storm")
    assert first["by"]
    assert shown(shop, "silence", "b", "--list")["silences"] == [second]
    assert shown(shop, "status")["silenced"] == [first, second]
    table = succeeded(shop.run("silence", "--list")).splitlines()
    assert table[0].split() == ["RULE", "UNTIL", "WHERE", "SINCE", "BY", "COMMENT"]
    assert f"silenced   b where amount < 5, until {second['until']}" in succeeded(shop.run("status"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["big-order"], "say one of: --for DURATION, --end, --list"),
        (["big-order", "--for", "1h", "--end"], "say one of: --for DURATION, --end, --list"),
        (["--for", "1h"], "say which rule"),
        (["big-order", "--for", "0s"], "--for must be longer than nothing"),
        (["big-order", "--end", "--where", "a > 1"], "--where and --comment belong to --for"),
        (["big order", "--for", "1h"], "a rule's name is 1 to 100 letters"),
        (["big-order", "--for", "1h", "--where", "amount = 5"], "--where, column 8: "),
        (["big-order", "--for", "1h", "--where", "amount = 5"], "\n  amount = 5\n         ^"),
        (["big-orde", "--for", "1h", "--rules", "triggers"], "(did you mean 'big-order'?)"),
    ],
    ids=["nothing", "two", "nobody", "no time", "where to end", "no name", "column", "marked", "unknown"],
)
async def test_what_cannot_be_silenced_is_said(shop: Shop, arguments: list[str], message: str) -> None:
    """And nothing is done."""
    shop.rule("big-order", MAILING)

    done = shop.run("silence", *arguments)

    assert done.code == 2
    assert message in done.output
    assert await shop.state["wishes"].count_documents({}) == 0


async def test_a_name_that_nothing_has_heard_of_is_warned_of(shop: Shop) -> None:
    """The commands know the state only; a rule that has not fired yet may be silenced all the same."""
    shop.rule("big-order", MAILING)
    shop.watch()
    await shop.orders.insert_one(order(1))
    await settled(shop, delivered=1)

    said = succeeded(shop.run("pause", "big-orders"))
    assert "warning: nothing was ever owed by a rule called 'big-orders' (did you mean 'big-order'?)" in said
    assert "warning" not in succeeded(shop.run("pause", "big-order"))
    assert "warning" not in succeeded(shop.run("silence", "big-order", "--for", "1h", "--rules", "triggers"))


# -- pause and resume ----------------------------------------------------------------------------------------


async def test_a_paused_rule_keeps_what_becomes_due_and_does_it_when_it_is_resumed(shop: Shop) -> None:
    """In order, whether it was stored while nothing ran or while the rule was paused."""
    shop.rule("big-order", MAILING + "ordering: rule\n")
    said = succeeded(shop.run("pause", "big-order", "--comment", "a storm"))
    assert "paused: big-order, since " in said
    shop.watch()
    await shop.orders.insert_many([order(1), order(2), order(3)])
    await settled(shop, pending=3)
    (pause,) = shown(shop, "status")["paused"]
    assert (pause["rule"], pause["drop"], pause["reason"], pause["owed"]) == (
        "big-order",
        False,
        "a storm",
        3,
    )
    assert "(a storm): 3 deliveries owed; go on: mtrigger resume" in succeeded(shop.run("status"))

    assert shown(shop, "resume", "big-order") == {"resumed": True, "discarded": 0, "owed": 3}

    await settled(shop, delivered=3)
    assert subjects(shop) == ["Big order 1", "Big order 2", "Big order 3"]
    assert shop.run("resume", "big-order").code == 1


async def test_what_a_paused_rule_is_owed_does_not_grow_old(shop: Shop) -> None:
    """It was owed long before the rule is resumed, while nothing runs; the first attempt fails."""
    shop.rule("big-order", MAILING)
    succeeded(shop.run("pause", "big-order"))
    watch = shop.watch()
    await shop.orders.insert_one(order(1))
    await settled(shop, pending=1)
    assert watch.terminate() == 0
    long_ago = datetime.now(UTC) - timedelta(days=2)
    await shop.deliveries.update_one({}, {"$set": {"created_at": long_ago}})
    succeeded(shop.run("resume", "big-order"))
    shop.mail.answer_next("451 4.3.0 try again later")

    shop.watch()

    await settled(shop, delivered=1)
    assert (await shop.delivery({}))["attempts"] == 2


async def test_a_rule_that_runs_is_paused(shop: Shop) -> None:
    """Within a second or two, without a restart; another rule goes on."""
    shop.rule("big-order", MAILING)
    shop.rule("other", MAILING.replace("name: big-order", "name: other").replace("Big", "Other"))
    shop.watch()
    succeeded(shop.run("pause", "big-order"))

    async def only_the_other_goes_on() -> bool:
        await shop.orders.insert_one(order("trial"))
        rows = shop.deliveries.find({}, {"rule": 1, "status": 1, "event.key": 1})
        by_status: dict[tuple[str, str], set[Any]] = {}
        async for row in rows:
            by_status.setdefault((row["rule"], row["status"]), set()).add(row["event"]["key"]["_id"])
        waiting = by_status.get(("big-order", "pending"), set())
        return len(waiting & by_status.get(("other", "delivered"), set())) >= 5

    await eventually(only_the_other_goes_on)
    await shop.orders.insert_one(order("last"))
    last = {"event.document.order_id": "last", "status": "delivered", "rule": "other"}
    await shop.delivery(last)
    await eventually(lambda: subjects(shop).count("Other order last") == 1)
    row = await shop.delivery({**last, "rule": "big-order", "status": "pending"})
    assert row["attempts"] == 0
    assert "Big order last" not in subjects(shop)


async def test_a_rule_paused_with_drop_leaves_out_what_becomes_due(shop: Shop) -> None:
    """And says so; nothing is left to do when it goes on."""
    shop.rule("big-order", MAILING)
    assert "what becomes due is left out" in succeeded(shop.run("pause", "big-order", "--drop"))
    shop.watch()
    await shop.orders.insert_many([order(1), order(2)])
    await settled(shop, suppressed=2)
    row = await shop.delivery({})
    assert row["reason"] == "the rule is paused"

    assert shown(shop, "resume", "big-order") == {"resumed": True, "discarded": 0, "owed": 0}
    await heeded(shop, 1, "delivered")

    assert {"Big order 1", "Big order 2"}.isdisjoint(subjects(shop))


async def test_a_rule_can_be_resumed_without_what_it_is_owed(shop: Shop) -> None:
    """What the watch holds in memory is not done either, however fresh it is."""
    shop.rule("big-order", MAILING)
    succeeded(shop.run("pause", "big-order"))
    shop.watch()
    await shop.orders.insert_many([order(1), order(2)])
    await settled(shop, pending=2)

    said = succeeded(shop.run("resume", "big-order", "--drop"))

    assert "resumed: big-order, 2 deliveries discarded, 0 deliveries owed" in said
    await heeded(shop, 1, "delivered")
    assert (await standing(shop))["discarded"] == 2
    assert {"Big order 1", "Big order 2"}.isdisjoint(subjects(shop))


async def test_what_a_paused_rule_owes_can_be_discarded_one_by_one(shop: Shop) -> None:
    """As ever."""
    shop.rule("big-order", MAILING)
    succeeded(shop.run("pause", "big-order"))
    shop.watch()
    await shop.orders.insert_many([order(1), order(2)])
    await settled(shop, pending=2)
    row = await shop.delivery({"event.document.order_id": 1})

    succeeded(shop.run("deliveries", "discard", row["_id"], "--yes"))
    succeeded(shop.run("resume", "big-order"))

    await settled(shop, discarded=1, delivered=1)
    assert subjects(shop) == ["Big order 2"]


async def test_a_dead_delivery_of_a_paused_rule_is_tried_again_once_it_goes_on(shop: Shop) -> None:
    """An operator's retry waits for the rule."""
    shop.rule("big-order", MAILING)
    shop.mail.answer_next("550 5.7.1 not today")
    watch = shop.watch()
    await shop.orders.insert_one(order(1))
    await settled(shop, dead=1)
    assert watch.terminate() == 0
    succeeded(shop.run("pause", "big-order"))
    succeeded(shop.run("deliveries", "retry", "--status", "dead"))
    shop.watch()
    await shop.orders.insert_one(order(2))
    await settled(shop, pending=2)
    assert not subjects(shop)

    succeeded(shop.run("resume", "big-order"))

    await settled(shop, delivered=2)
