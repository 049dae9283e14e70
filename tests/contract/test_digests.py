"""Digests: what every store promises about rows that are gathered (`stores.digests`)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson.decimal128 import Decimal128

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Retrying, Status, Suppressed
from mtrigger.grouping import gathering
from mtrigger.stores.base import Query, Store
from support.samples import LINE, NOW, PARTITION, delivery_at, event_at, settlement_of

LANES = gathering(("region",))
EMEA, APAC = f"{LANES}emea", f"{LANES}apac"
LATER = NOW + timedelta(minutes=1)


def gathered_at(number: int, lane: str = EMEA, age: int = 0, **fields: Any) -> Delivery:
    """What is owed for the event at `number`, in a lane that is gathered; created `age` seconds before."""
    event = event_at(number, document={"_id": number, **fields})
    return delivery_at(number, lane=lane, event=event, created_at=NOW - timedelta(seconds=age))


async def add(store: Store, *deliveries: Delivery) -> tuple[Delivery, ...]:
    await store.add(deliveries)
    return deliveries


async def heads(store: Store, limit: int = 10) -> list[str]:
    return [head.id for head in await store.digests.heads(PARTITION, LINE, LANES, limit)]


async def statuses(store: Store, *deliveries: Delivery) -> list[Status]:
    found = {record.delivery.id: record.status for record in await store.find(Query(), 100)}
    return [found[delivery.id] for delivery in deliveries]


async def together(store: Store, head: Delivery, outcome: Outcome) -> None:
    """What the digest of `head` came to."""
    await store.settle([settlement_of(head, outcome, NOW, sealed=True)])


async def test_the_oldest_open_row_of_each_lane_is_its_head(store: Store) -> None:
    """Oldest by when it was owed; the heads come in that order, at most as many as wanted; others' rows and
    lanes that are gathered otherwise are none of it."""
    first, _, other, _ = await add(
        store,
        gathered_at(5, age=9),
        gathered_at(1, age=3),
        gathered_at(2, APAC, age=8),
        gathered_at(3, APAC, age=7),
    )
    await add(store, delivery_at(7, lane="not gathered"), delivery_at(8, lane=EMEA, partition="main/1"))

    assert await heads(store) == [first.id, other.id]
    assert await heads(store, 1) == [first.id]
    (head, _) = await store.digests.heads(PARTITION, LINE, LANES, 10)
    assert (head.lane, head.created_at, head.position) == (EMEA, first.created_at, first.position)
    assert head.event.document is None


async def test_a_head_that_was_tried_stays_the_head(store: Store) -> None:
    """An older row that comes later does not begin the mail anew; its attempts are known."""
    (head,) = await add(store, gathered_at(5, age=1))
    await store.digests.seal(head)
    await together(store, head, Retrying("busy", LATER))
    await add(store, gathered_at(1, age=100))

    (found,) = await store.digests.heads(PARTITION, LINE, LANES, 10)
    assert (found.id, found.attempts, found.due_at, found.admitted) == (head.id, 1, LATER, True)


async def test_what_is_sealed_is_counted_and_summed_and_the_first_of_it_listed(store: Store) -> None:
    """The list is in the order of positions; the sums are over all, of numbers alone, Decimal128 as such."""
    head, *_ = await add(
        store,
        gathered_at(3, amount=10, cost=Decimal128("0.10")),
        gathered_at(1, amount=2.5, cost=Decimal128("0.20")),
        replace(gathered_at(2, amount="many", cost=1), depth=3, through=("a", "b")),
        gathered_at(9, APAC, amount=1_000),
    )
    assert await store.digests.seal(head) is not None
    await add(store, gathered_at(4, amount=50))  # comes later: with the next one

    found = await store.digests.gathered(head, 2, ["amount", "cost", "customer.debt"])
    assert [event.key["_id"] for event in found.events] == [1, 2]
    assert found.count == 3
    assert (found.depth, found.through) == (3, ("a", "b"))
    assert found.sums == {"amount": 12.5, "cost": Decimal128("1.30"), "customer.debt": 0}


async def test_what_came_meanwhile_is_sealed_by_the_next_attempt(store: Store) -> None:
    """Also what an operator has opened again."""
    head, dead = await add(store, gathered_at(1), gathered_at(2))
    await store.settle([settlement_of(dead, Dead("no"))])
    await store.digests.seal(head)
    assert (await store.digests.gathered(head, 10, [])).count == 1
    await store.reopen(Query(ids=(dead.id,)))
    await add(store, gathered_at(3))

    await store.digests.seal(head)
    assert (await store.digests.gathered(head, 10, [])).count == 3


OUTCOMES = [
    pytest.param(Delivered("250"), Status.DELIVERED, id="delivered"),
    pytest.param(Suppressed("silenced"), Status.SUPPRESSED, id="suppressed"),
    pytest.param(Dead("550"), Status.DEAD, id="dead"),
]


@pytest.mark.parametrize(("outcome", "status"), OUTCOMES)
async def test_what_a_digest_came_to_becomes_of_all_that_is_sealed(
    store: Store, outcome: Outcome, status: Status
) -> None:
    """And of nothing else; each row's history tells of it, once, however often it is written."""
    rows = await add(store, *(gathered_at(number) for number in (1, 2, 3)))
    head = rows[0]
    await store.digests.seal(head)
    others = await add(store, gathered_at(4), gathered_at(5, APAC))
    await together(store, head, outcome)
    await together(store, head, outcome)

    assert await statuses(store, *rows) == [status] * 3
    assert await statuses(store, *others) == [Status.PENDING] * 2
    for record in await store.find(Query(ids=tuple(row.id for row in rows)), 10):
        assert [line.outcome for line in record.log] == [status.value]
        assert record.settled_at == NOW + timedelta(seconds=0.5)


async def test_a_digest_that_failed_is_its_head_alone(store: Store) -> None:
    """The others wait as they are."""
    head, other = await add(store, gathered_at(1), gathered_at(2))
    await store.digests.seal(head)
    await together(store, head, Retrying("busy", LATER))
    assert await statuses(store, head, other) == [Status.RETRYING, Status.PENDING]


async def test_a_row_that_was_discarded_stays_discarded(store: Store) -> None:
    """Also when the digest it was sealed for has been sent meanwhile."""
    head, other = await add(store, gathered_at(1), gathered_at(2))
    await store.digests.seal(head)
    await store.discard(Query(ids=(other.id,)))
    await together(store, head, Delivered())
    assert await statuses(store, head, other) == [Status.DELIVERED, Status.DISCARDED]


async def test_who_is_no_head_any_more_is_told_who_is(store: Store) -> None:
    """Settled or discarded meanwhile: nothing is sealed with it."""
    gone, younger, older = await add(store, gathered_at(1), gathered_at(2, age=1), gathered_at(3, age=2))
    await store.digests.seal(gone)
    await store.discard(Query(ids=(gone.id,)))

    found = await store.digests.seal(gone)
    assert found is not None
    assert found.id == older.id
    await store.digests.seal(found)
    assert (await store.digests.gathered(found, 10, [])).count == 2
    assert (await store.digests.gathered(gone, 10, [])).count == 0
    await store.discard(Query(ids=(younger.id, older.id)))
    assert await store.digests.seal(gone) is None


async def test_rows_of_other_lanes_are_found_and_moved(store: Store) -> None:
    """The rule had no digest when they were stored, or another one."""
    stray, other, settled = await add(
        store, delivery_at(1, lane="abc"), gathered_at(2, f"{gathering(())}*"), delivery_at(3, lane="abc")
    )
    await add(store, gathered_at(4))
    await store.settle([settlement_of(settled, Delivered())])

    strays = await store.digests.strays(PARTITION, LINE, LANES, 10)
    assert {delivery.id for delivery in strays} == {stray.id, other.id}
    assert len(await store.digests.strays(PARTITION, LINE, LANES, 1)) == 1
    await store.digests.move({stray.id: EMEA, other.id: APAC, settled.id: EMEA})
    assert await store.digests.strays(PARTITION, LINE, LANES, 10) == []
    assert set(await heads(store)) == {stray.id, other.id}
