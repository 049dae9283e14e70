"""Events that fit into a change stream but not into a row of the outbox, and many large ones at once.

They are stored shortened, with what finds their document again, and never dropped.
"""

from pathlib import Path

import pytest

from acceptance.shop import Shop
from faults.receipts import first_receipts, hook_rule, receipts
from mtrigger.embedded import EmbeddedServer
from support.http_sink import Answer
from support.polling import eventually
from support.raw_bson import nested

NEARLY_16_MB = "x" * (16 * 1024 * 1024 - 200)
MEGABYTE = "x" * 1_000_000
PATIENCE = 120.0


@pytest.fixture(scope="session")
def mongod(roomy_mongod: EmbeddedServer) -> EmbeddedServer:
    """Room for large documents."""
    return roomy_mongod


async def stored(shop: Shop, count: int) -> bool:
    return await shop.deliveries.count_documents({}) == count


async def test_a_document_too_large_for_a_row_is_delivered_whole_while_it_is_in_memory(shop: Shop) -> None:
    """Only what must be loaded from the outbox is looked up again."""
    hook_rule(shop)
    shop.watch()
    await shop.orders.insert_one({"_id": "huge", "blob": NEARLY_16_MB})
    await eventually(lambda: receipts(shop))
    assert [receipt.size for receipt in receipts(shop)] == [str(len(NEARLY_16_MB))]
    row = await shop.delivery({"status": "delivered"})
    assert (row["event"]["document"], row["event"]["left_out"]) == (None, ["document"])
    assert row["event"]["key"] == {"_id": "huge"}


@pytest.mark.parametrize("value", [{"blob": NEARLY_16_MB}, {"inner": nested(179)}], ids=["large", "deep"])
async def test_after_a_kill_the_document_is_looked_up_and_the_batch_around_it_is_whole(
    value: dict[str, object], shop: Shop
) -> None:
    """The row was stored without it."""
    hook_rule(shop)
    shop.web.answer_path("/", Answer(503))
    running = shop.watch()
    await shop.orders.insert_many(
        [{"_id": "a", "step": 1}, {"_id": "huge", **value}, {"_id": "b", "step": 2}]
    )
    await eventually(lambda: stored(shop, 3))
    running.kill()
    await shop.orders.update_one({"_id": "huge"}, {"$set": {"step": 7}})

    shop.web.answer_path("/", Answer(200))
    shop.watch()
    await eventually(lambda: len(first_receipts(shop)) == 4)
    found = {(receipt.key, receipt.operation): receipt for receipt in first_receipts(shop)}
    assert {key: receipt.step for key, receipt in found.items()} == {
        ("a", "insert"): "1",
        ("huge", "insert"): "7",
        ("b", "insert"): "2",
        ("huge", "update"): "7",
    }
    assert found["huge", "insert"].size == str(len(str(value.get("blob", ""))))


async def test_a_document_that_is_gone_by_then_leaves_its_key(shop: Shop) -> None:
    """The delivery is not lost, and says what is known."""
    hook_rule(shop)
    shop.web.answer_path("/", Answer(503))
    running = shop.watch()
    await shop.orders.insert_one({"_id": "huge", "blob": NEARLY_16_MB})
    await eventually(lambda: stored(shop, 1))
    running.kill()
    await shop.orders.delete_one({"_id": "huge"})
    shop.web.answer_path("/", Answer(200))
    shop.watch()
    await eventually(lambda: receipts(shop))
    assert [(receipt.key, receipt.size) for receipt in receipts(shop)] == [("huge", "0")]
    shown = shop.run("deliveries", "show", (await shop.delivery({"status": "delivered"}))["_id"])
    assert "too large  document (not kept with it)" in shown.stdout


async def test_hundreds_of_megabytes_pass_through_bounded_memory(shop: Shop) -> None:
    """Inserts and look-ups of 1 MB documents while the target is down, then a restart: lanes, pages, look-ups
    and queues are bound by bytes."""
    hook_rule(shop)
    shop.web.answer_path("/", Answer(503))
    running = shop.watch()
    for start in range(0, 200, 10):
        await shop.orders.insert_many(
            [{"_id": number, "step": 0, "blob": MEGABYTE} for number in range(start, start + 10)]
        )
    await shop.orders.update_many({}, {"$set": {"step": 1}})
    await eventually(lambda: stored(shop, 400), PATIENCE)
    peaks = [peak_megabytes(running.pid)]
    running.kill()

    shop.web.answer_path("/", Answer(200))
    running = shop.watch()
    await eventually(lambda: len(first_receipts(shop)) == 400, PATIENCE)
    peaks.append(peak_megabytes(running.pid))

    assert sorted({receipt.key for receipt in receipts(shop)}, key=int) == [str(n) for n in range(200)]
    assert {receipt.size for receipt in receipts(shop)} == {str(len(MEGABYTE))}
    assert max(peaks) < 450, f"peaks of {peaks} MB"


def peak_megabytes(pid: int) -> int:
    """The most memory a process has had, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024
