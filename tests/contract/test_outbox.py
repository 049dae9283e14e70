"""The outbox: what every store promises about deliveries (`stores.base`)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Retrying, Status, Suppressed
from mtrigger.stores.base import ATTEMPTS_LOGGED, Attempt, LineKey, Query, Record, Store
from support.samples import LINE, NOW, PARTITION, delivery_at, event_at, settlement_of, token_at

LATER = NOW + timedelta(minutes=1)
OTHER_LINE = LineKey("big-order", "email")


async def record_of(store: Store, delivery: Delivery) -> Record:
    (record,) = await store.find(Query(ids=(delivery.id,)), 10)
    return record


# -- add -----------------------------------------------------------------------------------------------------


async def test_add_says_which_deliveries_were_not_there_before(store: Store) -> None:
    """Only those are to be dispatched; the others are already on their way."""
    first, second, third = (delivery_at(number) for number in (1, 2, 3))

    assert await store.add([first, second]) == {first.id, second.id}
    assert await store.add([second, third]) == {third.id}
    assert await store.add([first, second, third]) == set()


async def test_one_event_read_twice_in_one_batch_is_new_once(store: Store) -> None:
    """A stream that was opened again by time can bring an event twice within one batch: the delivery must be
    reported as new, or nobody would ever run it."""
    delivery = delivery_at(1)

    assert await store.add([delivery, delivery]) == {delivery.id}
    assert await store.count(Query()) == 1


async def test_adding_again_leaves_what_was_settled_alone(store: Store) -> None:
    """Reading an event again must not open its delivery again."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, Delivered("250 queued"))])

    assert await store.add([delivery]) == set()
    assert (await record_of(store, delivery)).status is Status.DELIVERED


# -- owed ----------------------------------------------------------------------------------------------------


async def test_what_is_owed_comes_in_order_and_in_pages(store: Store) -> None:
    """Whatever the order of writing, the order of reading is that of the stream; `after` is exclusive."""
    deliveries = {number: delivery_at(number) for number in range(1, 8)}
    await store.add([deliveries[number] for number in (5, 1, 7, 3, 2, 6, 4)])

    pages, after = [], ""
    while page := await store.owed(PARTITION, LINE, after, 3):
        pages.append([delivery.id for delivery in page])
        after = page[-1].position

    assert pages == [[deliveries[number].id for number in page] for page in ((1, 2, 3), (4, 5, 6), (7,))]


async def test_only_open_deliveries_of_that_line_and_partition_are_owed(store: Store) -> None:
    """Another action, another rule and another partition are somebody else's work; settled is done."""
    mine, done, dead = (delivery_at(number) for number in (1, 2, 3))
    waiting = delivery_at(4)
    others = [
        delivery_at(5, line=OTHER_LINE),
        delivery_at(6, line=LineKey("small-order", "log")),
        delivery_at(7, partition="main/1"),
    ]
    await store.add([mine, done, dead, waiting, *others])
    await store.settle(
        [
            settlement_of(done, Delivered()),
            settlement_of(dead, Dead("no")),
            settlement_of(waiting, Retrying("busy", LATER)),
        ]
    )

    owed = await store.owed(PARTITION, LINE, "", 10)

    assert [delivery.id for delivery in owed] == [mine.id, waiting.id]
    assert (owed[1].attempts, owed[1].due_at) == (1, LATER)
    assert await store.lines(PARTITION) == {LINE, OTHER_LINE, LineKey("small-order", "log")}
    assert await store.lines("main/1") == {LINE}


async def test_a_delivery_is_read_back_as_it_was_written(store: Store) -> None:
    """A restart must run what was owed, not something like it."""
    delivery = delivery_at(1, lane="lane of the document")
    await store.add([delivery])

    assert await store.owed(PARTITION, LINE, "", 10) == [delivery]


# -- settle --------------------------------------------------------------------------------------------------

OUTCOMES = [
    pytest.param(Delivered("250 queued"), Status.DELIVERED, "", "250 queued", None, id="delivered"),
    pytest.param(Retrying("451 busy", LATER), Status.RETRYING, "451 busy", "451 busy", LATER, id="retrying"),
    pytest.param(
        Dead("550 no such user"), Status.DEAD, "550 no such user", "550 no such user", None, id="dead"
    ),
    pytest.param(Suppressed("throttled"), Status.SUPPRESSED, "", "throttled", None, id="suppressed"),
]


@pytest.mark.parametrize(("outcome", "status", "error", "detail", "due_at"), OUTCOMES)
async def test_an_outcome_is_written_whole(
    store: Store, outcome: Outcome, status: Status, error: str, detail: str, due_at: object
) -> None:
    """Status, attempts, due time, error, end and history follow from the outcome, also after a failure."""
    delivery = delivery_at(1)
    await store.add([delivery])
    failed = Retrying("first it failed", NOW)
    await store.settle([settlement_of(delivery, failed)])
    at = NOW + timedelta(seconds=10)

    await store.settle([settlement_of(delivery.after(failed), outcome, at)])

    record = await record_of(store, delivery)
    assert record.status is status
    assert record.error == error
    assert record.delivery.attempts == 2
    assert record.delivery.due_at == due_at
    assert record.settled_at == (None if status is Status.RETRYING else at + timedelta(seconds=0.5))
    assert record.log == (
        Attempt(1, NOW, 0.5, "retrying", "first it failed"),
        Attempt(2, at, 0.5, status.value, detail),
    )
    assert await store.still_open([delivery.id]) == ({delivery.id} if status is Status.RETRYING else set())


@pytest.mark.parametrize("outcome", [case.values[0] for case in OUTCOMES])
async def test_settling_twice_writes_once(store: Store, outcome: Outcome) -> None:
    """A settle whose reply was lost is sent again."""
    delivery = delivery_at(1)
    await store.add([delivery])
    settlement = settlement_of(delivery, outcome)
    await store.settle([settlement])
    once = await record_of(store, delivery)

    await store.settle([settlement, settlement])

    assert await record_of(store, delivery) == once


async def test_each_of_many_outcomes_is_its_own_also_of_those_that_are_alike(store: Store) -> None:
    """Written together and once, they differ in when and how often it was tried, and in what came of it."""
    delivered = [delivery_at(number) for number in range(1, 251)]
    tried, late, suppressed, failed, discarded = (delivery_at(number) for number in range(251, 256))
    await store.add([*delivered, tried, late, suppressed, failed, discarded])
    await store.settle([settlement_of(tried, Retrying("busy", LATER))])
    await store.discard(Query(ids=(discarded.id,)))
    settlements = [
        *(settlement_of(delivery, Delivered("250 queued")) for delivery in [*delivered, discarded]),
        settlement_of(replace(tried, attempts=1), Delivered("250 queued"), LATER),
        settlement_of(late, Delivered("250 queued"), LATER),
        settlement_of(suppressed, Suppressed("250 queued")),
        settlement_of(failed, Retrying("250 queued", LATER)),
    ]

    await store.settle(settlements)
    await store.settle(settlements)

    records = {record.delivery.id: record for record in await store.find(Query(), 300)}
    first = Attempt(1, NOW, 0.5, "delivered", "250 queued")
    end = NOW + timedelta(seconds=0.5)
    for delivery in delivered:
        record = records[delivery.id]
        assert (record.status, record.settled_at, record.log) == (Status.DELIVERED, end, (first,))
    assert [line.number for line in records[tried.id].log] == [1, 2]
    assert records[late.id].log == (replace(first, at=LATER),)
    assert records[suppressed.id].log == (replace(first, outcome="suppressed"),)
    assert records[failed.id].log == (replace(first, outcome="retrying"),)
    assert (records[discarded.id].status, records[discarded.id].log) == (Status.DISCARDED, ())


async def test_a_discarded_delivery_stays_discarded(store: Store) -> None:
    """Also when the attempt that was under way ends after it was discarded."""
    delivery = delivery_at(1)
    await store.add([delivery])
    assert await store.discard(Query(ids=(delivery.id,))) == 1

    await store.settle([settlement_of(delivery, Retrying("busy", LATER))])

    record = await record_of(store, delivery)
    assert (record.status, record.log) == (Status.DISCARDED, ())
    assert not await store.still_open([delivery.id])
    assert await store.owed(PARTITION, LINE, "", 10) == []


@pytest.mark.parametrize("outcome", [Dead("550"), Retrying("451", LATER)], ids=["dead", "retrying"])
async def test_until_when_a_delivery_was_held_outlives_its_failures(store: Store, outcome: Outcome) -> None:
    """It grows old from then on, whoever tries it next."""
    delivery = delivery_at(1)
    await store.add([delivery])

    await store.settle([settlement_of(replace(delivery, held_until=LATER), outcome)])

    assert (await record_of(store, delivery)).delivery.held_until == LATER


async def test_the_history_keeps_the_latest_attempts(store: Store) -> None:
    """A rule may ask for any number of attempts; a row must not grow without end."""
    delivery = delivery_at(1)
    await store.add([delivery])

    for number in range(ATTEMPTS_LOGGED + 5):
        at = NOW + timedelta(seconds=number)
        outcome = Retrying(f"failure {number}", at)
        await store.settle([settlement_of(delivery, outcome, at)])
        delivery = delivery.after(outcome)

    record = await record_of(store, delivery)
    assert record.delivery.attempts == ATTEMPTS_LOGGED + 5
    assert [attempt.detail for attempt in record.log] == [
        f"failure {n}" for n in range(5, ATTEMPTS_LOGGED + 5)
    ]


async def test_what_a_death_owes_is_there_with_it_and_new_once(store: Store) -> None:
    """Dead letters become deliveries of their own, to be dispatched; settling again owes nothing new."""
    delivery, other = delivery_at(1), delivery_at(2)
    letter = delivery_at(3, line=LineKey("tell", "email"))
    await store.add([delivery, other])
    death = replace(settlement_of(delivery, Dead("550")), owes=(letter,))

    assert await store.settle([death, settlement_of(other, Delivered())]) == {letter.id}

    assert (await record_of(store, delivery)).status is Status.DEAD
    assert await store.owed(PARTITION, LineKey("tell", "email"), "", 10) == [letter]
    assert await store.settle([death]) == set()
    await store.settle([settlement_of(letter, Delivered())])
    assert await store.settle([death]) == set()
    assert (await record_of(store, letter)).status is Status.DELIVERED


async def test_a_death_whose_letter_was_written_before_a_crash_owes_it_once(store: Store) -> None:
    """The letter was durable, the outcome was not: the delivery dies once more and its letter is there."""
    delivery, letter = delivery_at(1), delivery_at(2, line=LineKey("tell", "email"))
    await store.add([delivery])
    await store.add([letter])

    assert await store.settle([replace(settlement_of(delivery, Dead("550")), owes=(letter,))]) == set()

    assert (await record_of(store, delivery)).status is Status.DEAD
    assert await store.count(Query(rule="tell")) == 1


async def test_attempts_are_numbered_anew_after_an_operators_retry(store: Store) -> None:
    """The history keeps the old ones; each carries its number."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, Retrying("busy", LATER))])
    await store.settle([settlement_of(replace(delivery, attempts=1), Dead("no"), LATER)])
    await store.reopen(Query())
    await store.settle([settlement_of(delivery, Dead("still no"), LATER + timedelta(minutes=1))])

    record = await record_of(store, delivery)
    assert [(attempt.number, attempt.detail) for attempt in record.log] == [
        (1, "busy"),
        (2, "no"),
        (1, "still no"),
    ]


# -- reopen and discard --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Dead("550"), Retrying("451", LATER)])
async def test_a_reopened_delivery_is_handed_out_once_with_its_attempts_ahead(
    store: Store, outcome: Outcome
) -> None:
    """An operator's wish starts the count anew, and is carried out once."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, outcome)])

    assert await store.reopen(Query(ids=(delivery.id,))) == 1

    tried = replace(delivery, admitted=True)
    assert await store.take_reopened(PARTITION, 10) == [tried]
    assert await store.take_reopened(PARTITION, 10) == []
    record = await record_of(store, delivery)
    assert (record.status, record.settled_at, len(record.log)) == (Status.PENDING, None, 1)
    assert await store.owed(PARTITION, LINE, "", 10) == [tried]


async def test_only_dead_and_retrying_deliveries_can_be_reopened(store: Store) -> None:
    """What was delivered must not be delivered again, and what is pending is on its way."""
    pending, done, left_out, discarded = (delivery_at(number) for number in (1, 2, 3, 4))
    await store.add([pending, done, left_out, discarded])
    await store.settle([settlement_of(done, Delivered()), settlement_of(left_out, Suppressed("silence"))])
    await store.discard(Query(ids=(discarded.id,)))

    assert await store.reopen(Query()) == 0
    assert await store.take_reopened(PARTITION, 10) == []


async def test_reopened_deliveries_come_in_order_by_partition_and_in_pages(store: Store) -> None:
    """Two at a time, the older ones first; another partition's are left to its owner."""
    deliveries = [delivery_at(number) for number in (4, 2, 3, 1)]
    elsewhere = delivery_at(5, partition="main/1")
    await store.add([*deliveries, elsewhere])
    await store.settle([settlement_of(delivery, Dead("no")) for delivery in [*deliveries, elsewhere]])
    assert await store.reopen(Query(statuses=(Status.DEAD,))) == 5

    taken = [await store.take_reopened(PARTITION, 2) for _ in range(3)]

    tried = [replace(delivery, admitted=True) for delivery in deliveries]
    in_order = sorted(tried, key=lambda delivery: delivery.position)
    assert taken == [in_order[:2], in_order[2:], []]
    assert await store.take_reopened("main/1", 2) == [replace(elsewhere, admitted=True)]


async def test_a_reopened_delivery_that_was_discarded_is_not_handed_out(store: Store) -> None:
    """The last word counts."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, Dead("no"))])
    await store.reopen(Query())

    assert await store.discard(Query()) == 1

    assert await store.take_reopened(PARTITION, 10) == []


async def test_a_reopened_delivery_that_was_settled_meanwhile_is_not_handed_out(store: Store) -> None:
    """It was tried by itself before anybody looked for it."""
    delivery = delivery_at(1)
    await store.add([delivery])
    await store.settle([settlement_of(delivery, Retrying("busy", NOW))])
    await store.reopen(Query())

    await store.settle([settlement_of(delivery, Delivered(), LATER)])

    assert await store.take_reopened(PARTITION, 10) == []


async def test_open_and_dead_deliveries_can_be_discarded_and_no_others(store: Store) -> None:
    """What is done cannot be given up any more."""
    pending, waiting, dead, done = (delivery_at(number) for number in (1, 2, 3, 4))
    await store.add([pending, waiting, dead, done])
    await store.settle(
        [
            settlement_of(waiting, Retrying("busy", LATER)),
            settlement_of(dead, Dead("no")),
            settlement_of(done, Delivered()),
        ]
    )

    assert await store.discard(Query()) == 3

    assert await store.count(Query(statuses=(Status.DISCARDED,))) == 3
    assert (await record_of(store, done)).status is Status.DELIVERED
    assert (await record_of(store, dead)).settled_at is not None


# -- find, count, tallies ------------------------------------------------------------------------------------


async def test_every_field_of_a_query_narrows_it(store: Store) -> None:
    """Alone and together."""
    minute = timedelta(minutes=1)
    old = delivery_at(1, created_at=NOW)
    young = delivery_at(2, created_at=NOW + minute)
    other = delivery_at(3, line=LineKey("small-order", "log"), created_at=NOW + 2 * minute)
    await store.add([old, young, other])
    await store.settle(
        [settlement_of(young, Dead("550 no such user $gt")), settlement_of(other, Dead("404"))]
    )

    async def found(query: Query) -> list[Delivery]:
        records = await store.find(query, 10)
        assert await store.count(query) == len(records)
        ids = [record.delivery.id for record in records]
        return [delivery for delivery in (other, young, old) if delivery.id in ids]

    assert await found(Query()) == [other, young, old]
    assert await found(Query(ids=(old.id, other.id))) == [other, old]
    assert await found(Query(statuses=(Status.DEAD, Status.DELIVERED))) == [other, young]
    assert await found(Query(rule="big-order")) == [young, old]
    assert await found(Query(error="such user")) == [young]
    assert await found(Query(error="$gt")) == [young]  # a text, not an operator
    assert await found(Query(since=NOW + minute)) == [other, young]
    assert await found(Query(until=NOW + minute)) == [old]
    assert await found(Query(since=NOW + minute, until=NOW + 2 * minute)) == [young]
    assert await found(Query(statuses=(Status.DEAD,), rule="small-order", error="4")) == [other]
    assert await found(Query(statuses=(Status.PENDING,), rule="small-order")) == []


async def test_the_newest_deliveries_are_found_first_however_they_were_written(store: Store) -> None:
    """By creation, then by position; no more than asked for."""
    minute = timedelta(minutes=1)
    deliveries = [
        delivery_at(number, created_at=NOW + minutes * minute)
        for number, minutes in ((1, 1), (2, 2), (3, 0), (4, 1))
    ]
    await store.add(deliveries)

    found = [record.delivery.position for record in await store.find(Query(), 10)]

    assert found == [deliveries[index].position for index in (1, 3, 0, 2)]
    assert [record.delivery.position for record in await store.find(Query(), 2)] == found[:2]


async def test_a_summary_is_the_record_without_its_documents_and_history(store: Store) -> None:
    """The same deliveries, in the same order, whatever their events hold."""
    images: dict[str, Any] = {"document": {"_id": 1, "a": 2}, "before": {"_id": 1, "a": 1}, "image": "stored"}
    update = event_at(2, operation="update", updated={"a": 2}, removed=("b",), **images)
    failed = delivery_at(2, event=replace(update, raw=b"bytes"))
    await store.add([delivery_at(1), failed, delivery_at(3)])
    await store.settle([settlement_of(failed, Dead("550"))])

    found, shown = await store.find(Query(), 2), await store.summaries(Query(), 2)

    bare = [
        replace(
            record,
            delivery=replace(
                record.delivery,
                event=replace(record.delivery.event, document=None, before=None, updated={}, raw=b""),
            ),
            log=(),
        )
        for record in found
    ]
    assert shown == bare
    assert [record.delivery.position for record in shown] == [token_at(3), token_at(2)]
    assert shown[1].delivery.event.key == {"_id": 2}


async def test_the_beginning_of_an_id_is_enough_to_find_it(store: Store) -> None:
    """Sorted, no more than asked for; a beginning is a text, not a pattern."""
    deliveries = [delivery_at(number) for number in range(1, 40)]
    await store.add(deliveries)
    ids = sorted(delivery.id for delivery in deliveries)

    assert await store.ids("", 100) == ids
    assert await store.ids("", 3) == ids[:3]
    assert await store.ids(ids[5][:12], 10) == [ids[5]]
    assert await store.ids(".", 10) == []


async def test_tallies_count_each_line_by_status_and_name_the_oldest_open_one(store: Store) -> None:
    """Sorted by line; a line with nothing open has no oldest."""
    minute = timedelta(minutes=1)
    deliveries = [delivery_at(number, created_at=NOW + number * minute) for number in (1, 2, 3, 4)]
    mail = delivery_at(5, line=OTHER_LINE)
    await store.add([*deliveries, mail])
    await store.settle(
        [
            settlement_of(deliveries[0], Delivered()),
            settlement_of(deliveries[1], Retrying("busy", LATER)),
            settlement_of(mail, Dead("no")),
        ]
    )

    first, second = await store.tallies()

    assert (first.line, dict(first.counts), first.oldest_open) == (OTHER_LINE, {Status.DEAD: 1}, None)
    assert second.line == LINE
    assert dict(second.counts) == {Status.DELIVERED: 1, Status.RETRYING: 1, Status.PENDING: 2}
    assert second.oldest_open == NOW + 2 * minute


async def test_what_nobody_knows_is_not_open(store: Store) -> None:
    """A row that was removed by hand is not run."""
    assert not await store.still_open(["gone"])


async def test_reopened_deliveries_of_a_full_line_wait(store: Store) -> None:
    """The dispatcher takes no more than it can hold; other lines go on."""
    other = LineKey("stock-alert", "webhook")
    here, there = delivery_at(1), delivery_at(2, line=other)
    await store.owe([here, there])

    assert await store.take_reopened(PARTITION, 10, frozenset({LINE})) == [there]
    assert await store.take_reopened(PARTITION, 10) == [here]


async def test_what_somebody_else_owes_is_found_by_whoever_dispatches(store: Store) -> None:
    """`replay` makes deliveries beside a process that runs: it finds them, once, and only what is new."""
    old, new = delivery_at(1), delivery_at(2)
    await store.add([old])

    assert await store.owe([old, new]) == {new.id}
    assert await store.take_reopened(PARTITION, 10) == [new]
    assert await store.owe([new]) == set()
    assert await store.take_reopened(PARTITION, 10) == []
    assert await store.known([old.id, new.id, delivery_at(3).id]) == {old.id, new.id}


async def test_the_newest_position_is_that_of_any_delivery_of_any_partition(store: Store) -> None:
    """It tells that there was a position before, when the checkpoint is missing."""
    assert await store.newest("main") == ""
    divided = delivery_at(1, partition="main/1-of-4")
    await store.add([delivery_at(2), divided, delivery_at(3, partition="other/0")])
    assert await store.newest("main") == token_at(2)


# -- kept for ever -------------------------------------------------------------------------------------------


async def test_what_is_kept_for_ever_is_empty_once_it_is_settled_well(store: Store) -> None:
    """Delivered, left out or given up: it says which document it was about; dead, it is whole."""
    kept = [
        replace(delivery_at(number, event=event_at(number, document={"_id": number, "text": "x"})), kept=True)
        for number in range(4)
    ]
    await store.add(kept)
    outcomes: list[Outcome] = [Delivered(), Suppressed("silenced"), Dead("no"), Dead("no")]
    await store.settle([settlement_of(one, outcome) for one, outcome in zip(kept, outcomes, strict=True)])
    await store.discard(Query(ids=(kept[3].id,)))
    assert await store.add(kept) == set()

    found = {record.delivery.event.key["_id"]: record for record in await store.find(Query(), 10)}

    assert [found[number].status.value for number in range(4)] == [
        "delivered",
        "suppressed",
        "dead",
        "discarded",
    ]
    for number in (0, 1, 3):
        event = found[number].delivery.event
        assert (event.namespace, event.operation, event.document) == ("shop.orders", "insert", None)
        assert (event.flaw, event.time) == ("", NOW)
    assert found[2].delivery == replace(kept[2], attempts=1, admitted=True)


async def test_facts_come_back_with_the_delivery(store: Store) -> None:
    """Whatever their names and values are."""
    facts = {"since": NOW.replace(microsecond=0), "group": {"device.id": 7}, "resolved": True}
    await store.add([replace(delivery_at(), facts=facts)])
    (found,) = await store.owed(PARTITION, LINE, "", 10)
    assert found.facts == facts
