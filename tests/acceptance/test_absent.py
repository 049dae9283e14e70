"""`absent:` through the installed command: nothing came, told once, in the stream's own time."""

import json
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from acceptance.shop import Shop
from support.http_sink import Answer
from support.polling import eventually

Document = dict[str, Any]

SILENT = """
on: {collection: SHOP.readings, operations: insert}
when: kind == "alive"
absent: {for: FORPER}
do:
  - webhook:
      url: SINK/silent
      body: '{{ event.operation }} {{ group["device.id"] | default("-") }} {{ document.n | default("-") }}'
resolved:
  - webhook:
      url: SINK/back
      body: '{{ event.operation }} {{ document.device.id }} {{ document.n }} {{ resolved }}'
"""


def silent_rule(shop: Shop, seconds: str = "2s", per: str = ", per: device.id") -> None:
    text = SILENT.replace("SINK", shop.web.url).replace("FOR", seconds).replace("PER", per)
    shop.rule("silent", text)
    shop.rule("mark", f"on: {{collection: SHOP.marks}}\ndo: [{{webhook: {{url: '{shop.web.url}/mark'}}}}]\n")


def told(shop: Shop, path: str) -> list[str]:
    return [request.body.decode() for request in list(shop.web.requests) if request.path == f"/{path}"]


def readings(shop: Shop) -> AsyncCollection[Document]:
    return shop.database["readings"]


async def alive(shop: Shop, device: str, number: int) -> None:
    await readings(shop).insert_one({"kind": "alive", "device": {"id": device}, "n": number})


async def all_read(shop: Shop) -> None:
    """Everything before this moment has been read and done."""
    marked = len(told(shop, "mark"))
    await shop.database.marks.insert_one({})
    await eventually(lambda: len(told(shop, "mark")) > marked)

    async def done() -> bool:
        return await shop.deliveries.count_documents({"open": True}) == 0

    await eventually(done)


async def test_a_silence_is_told_once_and_its_end_once(shop: Shop) -> None:
    """For each group by itself, with what came last; other documents do not count as having come."""
    silent_rule(shop)
    shop.watch()
    await alive(shop, "a", 1)
    await alive(shop, "b", 1)
    await eventually(lambda: len(told(shop, "silent")) == 2)
    await readings(shop).insert_one({"kind": "noise", "device": {"id": "a"}})
    await all_read(shop)
    assert sorted(told(shop, "silent")) == ["absent a 1", "absent b 1"]
    assert told(shop, "back") == []

    await alive(shop, "b", 2)
    await eventually(lambda: len(told(shop, "silent")) == 3)
    await all_read(shop)

    assert told(shop, "silent")[2:] == ["absent b 2"]
    assert told(shop, "back") == ["insert b 2 true"]


async def test_a_rule_without_groups_waits_from_its_first_start_on(shop: Shop) -> None:
    """Nothing need ever have come; the clock goes on over a restart."""
    silent_rule(shop, "3s", "")
    running = shop.watch()
    running.kill()
    shop.watch()
    await eventually(lambda: told(shop, "silent"))
    await alive(shop, "a", 1)
    await eventually(lambda: told(shop, "back"))
    await eventually(lambda: len(told(shop, "silent")) == 2)
    await all_read(shop)

    assert [text.split() for text in told(shop, "silent")] == [["absent", "-", "-"], ["absent", "-", "1"]]
    assert told(shop, "back") == ["insert a 1 true"]


async def test_killed_at_any_moment_it_tells_once(shop: Shop) -> None:
    """Before the silence is due, when it is due and when it is told: the same deliveries."""
    silent_rule(shop, "2s")
    running = shop.watch()
    for device in range(40):
        await alive(shop, f"d{device}", 1)
    for _ in range(4):
        running.kill()
        running = shop.watch()
    await eventually(lambda: len(set(told(shop, "silent"))) == 40)
    running.kill()
    shop.watch()
    await all_read(shop)

    assert await shop.deliveries.count_documents({"rule": "silent", "action": "webhook"}) == 40
    assert set(told(shop, "silent")) == {f"absent d{device} 1" for device in range(40)}
    assert told(shop, "back") == []


async def test_a_process_that_was_stopped_reads_first(shop: Shop) -> None:
    """What came while it was stopped came; no clock of the machine says otherwise."""
    silent_rule(shop, "1h")
    running = shop.watch()
    await alive(shop, "a", 1)
    await all_read(shop)
    running.kill()
    clocks = shop.state["clocks"]
    row = await clocks.find_one({"group": [["device.id", "a"]]})
    assert row is not None
    two_hours = 2 * 3_600
    # As if all of it had been two hours ago: due long since by any clock.
    moved = {
        "$set": {"last": {"$dateSubtract": {"startDate": "$last", "unit": "second", "amount": two_hours}}}
    }
    due = {"$set": {"due_at": {"$dateAdd": {"startDate": "$last", "unit": "second", "amount": 3_600}}}}
    await clocks.update_one({"_id": row["_id"]}, [moved, due])
    await alive(shop, "a", 2)
    shop.watch()
    await all_read(shop)

    # The silence between the two was real, and is over; nothing is silent now.
    assert told(shop, "silent") == ["absent a 1"]
    assert told(shop, "back") == ["insert a 2 true"]
    later = await clocks.find_one({"_id": row["_id"]})
    assert later is not None
    assert later["told"] is False


async def test_another_time_and_other_groups_hold_from_the_reload_on(shop: Shop) -> None:
    """A longer time puts off what is not told; other groups begin anew."""
    silent_rule(shop, "1h")
    running = shop.watch()
    await alive(shop, "a", 1)
    await all_read(shop)
    silent_rule(shop, "1s")
    running.wait_for_line("rules reloaded")
    await eventually(lambda: told(shop, "silent") == ["absent a 1"])
    silent_rule(shop, "1h", ", per: n")

    async def forgotten() -> bool:
        return await shop.state["clocks"].count_documents({"rule": "silent"}) == 0

    await eventually(forgotten)
    await alive(shop, "a", 7)
    await all_read(shop)
    groups = [row["group"] async for row in shop.state["clocks"].find({"rule": "silent"})]
    assert groups == [[["n", 7]]]


async def test_it_is_refused_on_several_partitions(shop: Shop) -> None:
    """Each of them would see some of what comes."""
    silent_rule(shop)
    done = shop.run("watch", "--rules", "triggers/", "--partitions", "2")

    assert done.code == 64
    assert "rule silent: `absent`" in done.output


async def test_what_does_not_go_together_is_told(shop: Shop) -> None:
    """By `check`, at its place."""
    shop.rule(
        "mistaken",
        "on: {collection: SHOP.readings, operations: [insert, delete]}\n"
        "when: changed(n)\n"
        "fire: entering\n"
        "count: {at_least: 2, within: 1h}\n"
        "do: [{log: x}]\n"
        "resolved: [{log: y}, {lgo: z}]\n",
    )
    done = shop.run("check", "--rules", "triggers/")
    assert done.code == 1
    for piece in (
        "mistaken.yaml:2:1: `fire: entering` needs another `when`",
        "`resolved` and `count` cannot be combined",
        "leave `delete` out",
        "there is no action `lgo`; did you mean `log`?",
    ):
        assert piece in done.stdout, done.stdout


async def test_a_dead_message_of_silence_is_like_any_other(shop: Shop) -> None:
    """It is told to rules of dead letters, shown, and tried again with what it knew."""
    silent_rule(shop, "1s")
    shop.rule(
        "deaths",
        "on: {dead_letters: true}\n"
        f"do: [{{webhook: {{url: '{shop.web.url}/deaths', body: '{{{{ document.operation }}}}'}}}}]\n",
    )
    shop.web.answer_path("/silent", Answer(400))
    shop.watch()
    await alive(shop, "a", 1)
    dead = await shop.delivery({"rule": "silent", "status": "dead"})
    await eventually(lambda: told(shop, "deaths"))
    listed = shop.run("deliveries", "list", "--status", "dead")
    shown = shop.run("deliveries", "show", dead["_id"])
    replayed = shop.run("replay", "--rules", "triggers/", "--rule", "silent", "--query", "{}", "--yes")
    shop.web.answer_path("/silent", Answer(200))
    shop.web.requests.clear()
    assert shop.run("deliveries", "retry", dead["_id"]).code == 0
    await eventually(lambda: told(shop, "silent"))
    await all_read(shop)

    assert told(shop, "silent") == ["absent a 1"]
    assert "silent" in listed.output, listed.output
    assert "absent" in shown.output, shown.output
    assert replayed.code == 0, replayed.output
    assert await shop.deliveries.count_documents({"rule": "silent", "action": "webhook"}) == 1


async def test_explain_says_when_it_fires(shop: Shop) -> None:
    """In words, and for machines."""
    silent_rule(shop, "90s")
    shop.rule("first", "on: {collection: SHOP.readings}\nfire: once\ndo: {log: x}\n")
    text = shop.run("explain", "--rules", "triggers/").stdout
    assert "when nothing of this has come for one and the same device.id for 90s" in text, text
    assert "once for each document (or message), for ever" in text
    assert "resolved-webhook" in text
    found = json.loads(shop.run("explain", "--rules", "triggers/", "--json").stdout)
    rules = {rule["name"]: rule for rule in found["rules"]}
    assert rules["silent"]["absent"] == {"seconds": 90.0, "per": ["device.id"]}
    assert rules["first"]["fire"] == "once"
