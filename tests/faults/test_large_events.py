"""Events above 16 MB, under a rule: they are delivered, and nothing around them is lost or doubled (38).

The collection keeps both images of documents of 9 MB, so that every update of one is more than MongoDB can
send. `$changeStreamSplitLargeEvent` is not in the server these tests run on (6.0.5): how fragments are put
together is tested in `tests/unit/test_large_events.py`.
"""

import pytest

from acceptance.shop import Shop
from faults.receipts import first_receipts, hook_rule, receipts, twice_under_two_ids
from mtrigger.embedded import EmbeddedServer
from support.http_sink import Answer
from support.polling import eventually

LARGE = "x" * 9_000_000
ROUNDS = 4


@pytest.fixture(scope="session")
def mongod(roomy_mongod: EmbeddedServer) -> EmbeddedServer:
    """Room for large documents."""
    return roomy_mongod


async def large_order(shop: Shop) -> None:
    """A large document in a collection that keeps images, and a rule for whose sake both are asked for."""
    shop.rule("compares", "on: {collection: SHOP.orders}\nwhen: before.step < 0\ndo: {log: never}\n")
    await shop.database.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
    await shop.orders.insert_one({"_id": "large", "step": 0, "blob": LARGE})


async def updates_with_neighbours(shop: Shop, rounds: range) -> None:
    """In every round: a small insert, two updates of the large document, another small insert."""
    for number in rounds:
        await shop.orders.insert_one({"_id": f"before-{number}", "step": number})
        await shop.orders.update_one({"_id": "large"}, {"$set": {"step": 2 * number + 1}})
        await shop.orders.update_one({"_id": "large"}, {"$set": {"step": 2 * number + 2}})
        await shop.orders.insert_one({"_id": f"after-{number}", "step": number})


def assert_complete(shop: Shop, rounds: int) -> None:
    """Every change once or under one id, those of the large document in their order."""
    found = first_receipts(shop)
    large = [int(receipt.step) for receipt in found if receipt.key == "large"]
    assert large == list(range(1, 2 * rounds + 1))
    small = [receipt.key for receipt in found if receipt.key != "large"]
    assert sorted(small) == sorted(f"{side}-{n}" for n in range(rounds) for side in ("before", "after"))
    assert twice_under_two_ids(shop, ["key", "step", "operation"]) == []


async def test_updates_above_16_mb_are_delivered_and_so_is_all_around_them(shop: Shop) -> None:
    """Each once, in order, with the document looked up; the log says what was done."""
    await large_order(shop)
    hook_rule(shop)
    running = shop.watch()

    await updates_with_neighbours(shop, range(ROUNDS))
    await eventually(lambda: len(receipts(shop)) >= 4 * ROUNDS)

    assert_complete(shop, ROUNDS)
    assert len(receipts(shop)) == 4 * ROUNDS
    assert {receipt.size for receipt in receipts(shop) if receipt.key == "large"} == {str(len(LARGE))}
    assert "larger than the 16 MB" in running.output
    row = await shop.delivery({"event.key._id": "large"})
    assert (row["event"]["image"], row["event"]["left_out"]) == ("look-up", ["before"])
    assert running.terminate() == 0


async def test_a_condition_holds_for_large_events_as_for_any(shop: Shop) -> None:
    """Judged on what the update set, though the image of the event was left out; none too many."""
    await large_order(shop)
    hook_rule(shop, when="step > 4")
    shop.watch()
    await updates_with_neighbours(shop, range(ROUNDS))
    await shop.orders.insert_one({"_id": "last", "step": 99})
    await eventually(lambda: any(receipt.key == "last" for receipt in receipts(shop)))
    await eventually(lambda: len(receipts(shop)) >= 5)
    assert sorted((receipt.key, receipt.step) for receipt in receipts(shop)) == [
        ("large", "5"), ("large", "6"), ("large", "7"), ("large", "8"), ("last", "99"),
    ]  # fmt: skip


async def test_kills_between_large_events_lose_nothing(shop: Shop) -> None:
    """Killed while every delivery is refused, then again in the middle; repeats share their id."""
    await large_order(shop)
    hook_rule(shop)
    shop.web.answer_path("/", Answer(503))
    running = shop.watch()
    await updates_with_neighbours(shop, range(2))
    await eventually(lambda: shop.deliveries.find_one({"event.key._id": "large"}))
    running.kill()

    running = shop.watch()
    await updates_with_neighbours(shop, range(2, ROUNDS))
    shop.web.answer_path("/", Answer(200))
    await eventually(lambda: len(receipts(shop)) >= 3)
    running.kill()

    shop.watch()
    await eventually(lambda: len(first_receipts(shop)) >= 4 * ROUNDS)
    assert_complete(shop, ROUNDS)


async def test_a_document_gone_before_it_was_looked_up_leaves_what_the_update_said(shop: Shop) -> None:
    """Its key and the fields it set."""
    await large_order(shop)
    hook_rule(shop)
    shop.watch().kill()
    await shop.orders.update_one({"_id": "large"}, {"$set": {"step": 7}})
    await shop.orders.delete_one({"_id": "large"})
    await shop.orders.insert_one({"_id": "next", "step": 1})
    shop.watch()
    await eventually(lambda: len(receipts(shop)) == 2)
    assert {(receipt.key, receipt.step) for receipt in receipts(shop)} == {("large", "7"), ("next", "1")}


async def test_a_key_too_large_for_mongodb_to_send_is_a_gap_and_stops_nothing(shop: Shop) -> None:
    """Such a change cannot be had in any form; what is known of it is when it was."""
    hook_rule(shop)
    running = shop.watch()
    await shop.orders.insert_one({"_id": "before", "step": 1})
    await shop.orders.insert_one({"_id": "k" * 6_000_000})
    await shop.orders.insert_one({"_id": "after", "step": 2})
    await eventually(lambda: len(first_receipts(shop)) == 2)
    assert running.terminate() == 0
    assert "too-large" in shop.run("gaps").output
    assert {receipt.key for receipt in receipts(shop)} == {"before", "after"}
