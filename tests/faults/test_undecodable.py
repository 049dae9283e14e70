"""Values that Python cannot hold (fault 35): their events go to the dead letters with their bytes, alone.

The value is one that MongoDB stores and PyMongo refuses whatever the options: a binary of the old subtype
whose inner length is wrong.
"""

import json
from typing import Any

import pytest
from bson.raw_bson import RawBSONDocument

from acceptance.shop import Shop
from faults.receipts import hook_rule, receipts
from support.http_sink import Answer
from support.polling import eventually
from support.raw_bson import (
    bad_text,
    document,
    element,
    fields,
    late_date,
    nested,
    old_binary,
    raw,
    short_uuid,
)

REASON = "invalid length or type code"
COUNT = 7


def order(number: int, *, bad: bool) -> RawBSONDocument:
    return raw(fields(_id=number, step=number), *([old_binary("picture")] if bad else []), fields(amount=5))


async def dead(shop: Shop) -> list[dict[str, Any]]:
    return await shop.deliveries.find({"status": "dead"}).sort("position", 1).to_list()


async def settled(shop: Shop, count: int) -> bool:
    return await shop.deliveries.count_documents({"status": {"$in": ["dead", "delivered"]}}) == count


async def waiting(shop: Shop, count: int) -> bool:
    return await shop.deliveries.count_documents({"open": True}) == count


@pytest.mark.parametrize("places", [[0], [3], [6], [0, 1, 5, 6]], ids=["first", "middle", "last", "several"])
async def test_a_bad_value_costs_its_own_event_and_none_beside_it(places: list[int], shop: Shop) -> None:
    """Wherever it stands in a batch; what was wrong, what could be read, and the bytes are kept."""
    hook_rule(shop)
    running = shop.watch()
    orders = [order(number, bad=number in places) for number in range(COUNT)]
    await shop.orders.insert_many(orders)
    await eventually(lambda: settled(shop, COUNT))
    await shop.orders.insert_one({"_id": COUNT, "step": COUNT})
    await eventually(lambda: settled(shop, COUNT + 1))

    good = [str(number) for number in range(COUNT + 1) if number not in places]
    assert sorted((receipt.key for receipt in receipts(shop)), key=int) == good  # in any order: other lanes
    rows = await dead(shop)
    assert [row["event"]["key"]["_id"] for row in rows] == places
    for place, row in zip(places, rows, strict=True):
        assert row["error"].endswith(f"the action was not run: fullDocument.picture: {REASON}")
        assert row["event"]["document"] == {"_id": place, "step": place, "amount": 5}
        assert orders[place].raw in row["event"]["raw"]
    assert running.code is None


async def test_every_rule_that_wants_the_collection_and_the_operation_is_told(shop: Shop) -> None:
    """What cannot be read may be what a rule asks for: nobody can say that its condition does not hold."""
    hook_rule(shop, name="all")
    hook_rule(shop, name="condition", when="amount > 10000")
    hook_rule(shop, name="deletes", operations="[delete]")
    hook_rule(shop, name="elsewhere", collections="SHOP.customers")
    shop.rule("tell", f"on: {{dead_letters: true}}\ndo: [webhook: {{url: '{shop.web.url}/dead'}}]")
    shop.watch()
    await shop.orders.insert_one(raw(fields(_id=1), old_binary("amount")))
    await eventually(lambda: settled(shop, 4))
    assert sorted(row["rule"] for row in await dead(shop)) == ["all", "condition"]
    told = [request for request in list(shop.web.requests) if request.path == "/dead"]
    assert len(told) == 2


async def test_it_is_shown_and_tried_again_it_says_again_why_it_is_dead(shop: Shop) -> None:
    """`deliveries list`, `show`, `show --json` and `retry`."""
    hook_rule(shop)
    shop.watch()
    bad = order(1, bad=True)
    await shop.orders.insert_one(bad)
    await eventually(lambda: settled(shop, 1))
    (row,) = await dead(shop)

    assert REASON in shop.run("deliveries", "list").stdout
    shown = shop.run("deliveries", "show", row["_id"])
    assert f"unreadable fullDocument.picture: {REASON}" in shown.stdout
    assert '"amount": 5' in shown.stdout
    event = json.loads(shop.run("deliveries", "show", row["_id"], "--json").stdout)["event"]
    assert event["flaw"] == f"fullDocument.picture: {REASON}"
    assert event["raw"]["$binary"]["base64"]

    assert shop.run("deliveries", "retry", row["_id"]).code == 0
    again = await eventually(lambda: shop.deliveries.find_one({"status": "dead", "log.1": {"$exists": True}}))
    assert [line["detail"] for line in again["log"]] == [row["error"]] * 2
    assert receipts(shop) == []


async def test_a_document_looked_up_for_an_update_costs_its_own_update(shop: Shop) -> None:
    """The update itself could be read; its neighbours in the same look-up are delivered."""
    await shop.orders.insert_many([order(number, bad=number == 1) for number in range(3)])
    hook_rule(shop)
    shop.watch()
    await shop.orders.update_many({}, {"$set": {"step": 9}})
    await eventually(lambda: settled(shop, 3))
    assert [receipt.key for receipt in receipts(shop)] == ["0", "2"]
    (row,) = await dead(shop)
    assert row["error"].endswith(f"the document, looked up: picture: {REASON}")
    assert row["event"]["document"] == {"_id": 1, "step": 9, "amount": 5}


async def damage(shop: Shop, key: int) -> None:
    """Put a value that cannot be decoded into the row of the order `key`."""
    row = await shop.deliveries.find_one_and_delete({"event.key._id": key})
    assert row is not None
    event = row.pop("event")
    stored = fields(**event.pop("document"))
    inner = element(0x03, "document", document(stored, old_binary("picture")))
    await shop.deliveries.insert_one(
        raw(fields(**row), element(0x03, "event", document(fields(**event), inner)))
    )


async def test_a_row_of_the_outbox_that_cannot_be_read_back_stops_nothing(shop: Shop) -> None:
    """Something has damaged it: it dies and says so, the rows beside it are run, an operator can look."""
    hook_rule(shop)
    shop.web.answer_path("/", Answer(503))
    running = shop.watch()
    await shop.orders.insert_many([order(number, bad=False) for number in range(3)])
    await eventually(lambda: waiting(shop, 3))
    running.kill()
    await damage(shop, 1)

    shop.web.answer_path("/", Answer(200))
    shop.watch()
    await eventually(lambda: settled(shop, 3))
    assert sorted(receipt.key for receipt in receipts(shop)) == ["0", "2"]
    row = await shop.deliveries.find_one({"status": "dead"}, {"event": 0})
    assert row is not None
    assert f"the row in the outbox: event.document.picture: {REASON}" in row["error"]
    assert "event.document.picture" in shop.run("deliveries", "show", row["_id"]).stdout
    assert shop.run("deliveries", "retry", row["_id"]).code == 0
    await eventually(
        lambda: shop.deliveries.find_one({"status": "dead", "log.1": {"$exists": True}}, {"event": 0})
    )


async def test_strange_values_that_can_be_held_simply_work(shop: Shop) -> None:
    """A year beyond 9999, a string that is no UTF-8, the deepest document there can be, in one batch."""
    hook_rule(shop)
    shop.watch()
    await shop.orders.insert_many(
        [
            raw(fields(_id="date"), late_date("when")),
            raw(fields(_id="text"), bad_text("name")),
            {"_id": "deep", "inner": nested(179)},
            raw(fields(_id="uuid"), short_uuid("tag")),
            {"_id": "key", "step": {"": {"$set": 1, "a.b": 2}}},
        ]
    )
    await shop.orders.insert_one({"_id": {"inner": nested(170)}})
    await eventually(lambda: settled(shop, 6))
    assert await dead(shop) == []
    keys = [receipt.key for receipt in receipts(shop)]  # other documents, other lanes: in any order
    assert len(keys) == 6
    assert {"date", "text", "deep", "uuid", "key"} <= set(keys)
    assert shop.run("deliveries", "list").code == 0
