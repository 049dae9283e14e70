"""What rules remember between events, over a history that is lost."""

from acceptance.shop import Shop
from faults.oplogs import lose_history, position


async def test_over_a_gap_ends_are_seen_by_the_rescan_and_no_silence_is_made_up(tiny: Shop) -> None:
    """A document that no longer is what the rule fired for is found; silence counts from behind the gap."""
    tiny.rule(
        "low",
        "on: {collection: SHOP.tanks, operations: [insert]}\nwhen: level < 10\n"
        "do: [{log: low}]\nresolved: [{log: 'at {{ document.level }}'}]\n",
    )
    tiny.rule("silent", "on: {collection: SHOP.others}\nabsent: {for: 3s}\ndo: [{log: silent}]\n")
    running = tiny.watch()
    tanks = tiny.database.tanks
    await tanks.insert_many([{"_id": "over", "level": 5}, {"_id": "still", "level": 5}])
    for key in ("over", "still"):
        await tiny.delivery({"rule": "low", "event.key._id": key, "status": "delivered"})
    assert running.terminate() == 0
    stored = await position(tiny)
    await tanks.update_one({"_id": "over"}, {"$set": {"level": 50}})
    await lose_history(tiny.database.client, stored["cluster_time"])

    running = tiny.watch("--on-history-lost", "rescan")
    row = await tiny.delivery({"action": "resolved-log", "status": "delivered"})
    running.wait_for_line("rescan: done")
    await tanks.insert_one({"_id": "later", "level": 1})
    await tiny.delivery({"rule": "low", "event.key._id": "later", "status": "delivered"})

    assert (row["event"]["key"], row["event"]["operation"]) == ({"_id": "over"}, "rescan")
    assert row["event"]["document"] == {"_id": "over", "level": 50}
    assert await tiny.deliveries.count_documents({"action": "resolved-log"}) == 1
    silence = await tiny.delivery({"rule": "silent", "position": {"$gt": row["position"]}})
    (gap,) = await tiny.state["gaps"].find().to_list()
    assert silence["facts"]["since"] >= gap["to"].as_datetime()
    assert await tiny.deliveries.count_documents({"rule": "silent"}) == 1
