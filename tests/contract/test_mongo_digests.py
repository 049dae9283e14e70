"""Digests in MongoDB: what a crash leaves, what cannot be read, and what it costs."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Status
from mtrigger.stores import mongo_digests
from mtrigger.stores.base import Query
from mtrigger.stores.mongo import MongoStore
from support.samples import LINE, NOW, PARTITION, delivery_at, event_at, settlement_of

LANES = "digest:12345678:"
LANE = f"{LANES}emea"
DATABASE = "state_of_digests"


@pytest.fixture
async def store(state_client: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[MongoStore]:
    """An open, empty store."""
    store = MongoStore(state_client, DATABASE)
    await store.open()
    yield store
    await state_client.drop_database(DATABASE)


def gathered_at(number: int, **fields: Any) -> Delivery:
    event = event_at(number, document={"_id": number, **fields})
    return delivery_at(number, lane=LANE, event=event, created_at=NOW + timedelta(seconds=number))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        pytest.param(Delivered("250"), Status.DELIVERED, id="delivered"),
        pytest.param(Dead("550"), Status.DEAD, id="dead"),
    ],
)
async def test_what_a_crash_left_of_a_settlement_is_done_before_anything_is_sent_again(
    store: MongoStore, state_client: AsyncMongoClient[dict[str, Any]], outcome: Outcome, status: Status
) -> None:
    """The head is settled and the others are not yet: they become what it became, without a mail."""
    rows = [gathered_at(number) for number in (1, 2, 3)]
    await store.add(rows)
    await store.digests.seal(rows[0])
    await store.add([later := gathered_at(4)])
    await store.settle([settlement_of(rows[0], outcome, sealed=True)])
    left = {
        "$set": {"open": True, "status": "pending", "attempts": 0, "log": []},
        "$unset": {"settled_at": ""},
    }
    await state_client[DATABASE]["deliveries"].update_one({"_id": rows[2].id}, left)

    await store.digests.complete(PARTITION, LINE)
    found = {record.delivery.id: record for record in await store.find(Query(), 10)}
    assert [found[row.id].status for row in rows] == [status] * 3
    assert found[rows[2].id].log == found[rows[1].id].log
    assert found[later.id].status is Status.PENDING


async def test_what_was_sealed_with_a_head_that_was_sent_alone_is_owed_still(store: MongoStore) -> None:
    """The digest was taken out of the rule, its head was sent by itself, the digest was put back."""
    head, other = gathered_at(1), gathered_at(2)
    await store.add([head, other])
    await store.digests.seal(head)
    await store.settle([settlement_of(head, Delivered("by itself"))])

    await store.digests.complete(PARTITION, LINE)
    assert await store.still_open([head.id, other.id]) == {other.id}


async def test_a_damaged_row_spoils_only_itself(
    store: MongoStore, state_client: AsyncMongoClient[dict[str, Any]]
) -> None:
    """It is counted and has a flaw; the others are listed."""
    rows = [gathered_at(number, amount=number) for number in (1, 2)]
    await store.add(rows)
    await state_client[DATABASE]["deliveries"].update_one({"_id": rows[0].id}, {"$unset": {"event": ""}})
    head = await store.digests.seal(rows[0])
    assert head is not None
    found = await store.digests.gathered(head, 10, ["amount"])
    assert (found.count, found.sums) == (2, {"amount": 2})
    assert [bool(event.flaw) for event in found.events] == [True, False]


async def test_the_list_is_bounded_in_bytes(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer are listed then; all are counted."""
    monkeypatch.setattr(mongo_digests, "LARGEST_LISTED", 30_000)
    rows = [gathered_at(number, text="x" * 10_000) for number in range(1, 9)]
    await store.add(rows)
    await store.digests.seal(rows[0])
    found = await store.digests.gathered(rows[0], 500, [])
    assert (len(found.events), found.count) == (3, 8)


async def test_one_group_is_found_without_looking_at_the_others(
    store: MongoStore, state_client: AsyncMongoClient[dict[str, Any]]
) -> None:
    """By an index that other rules' rows are not in."""
    rows = [gathered_at(1), gathered_at(2)]
    await store.add([*rows, delivery_at(3, lane=f"{LANES}apac"), delivery_at(4, lane="other")])
    group = {"open": True, "partition": PARTITION, **LINE._asdict(), "lane": LANE}
    many = {**group, "lane": {"$gte": LANES, "$lt": "digest:12345678;"}}
    for wanted, number in ((group, 2), (many, 3)):
        explained = await state_client[DATABASE].command(
            {"explain": {"find": "deliveries", "filter": wanted}, "verbosity": "executionStats"}
        )
        assert "'indexName': 'digest'" in str(explained["queryPlanner"]["winningPlan"])
        assert explained["executionStats"]["totalKeysExamined"] <= number + 1
        assert explained["executionStats"]["nReturned"] == number
