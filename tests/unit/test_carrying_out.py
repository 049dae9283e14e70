"""Effects that wait go together, and nobody suffers from another's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from mtrigger.deliveries import Delivered, Settlement
from mtrigger.effects import STATE, Cause, Effect
from mtrigger.errors import PermanentError
from mtrigger.running.carrying_out import MOST_AT_ONCE, Carrier
from mtrigger.stores.base import LineKey
from mtrigger.stores.effects import CameOf, CarriedOutBeforeError
from support.samples import NOW, delivery_at

MESSAGE = Effect(STATE, "topics.BIG", "insert", value={"_id": 1}, own_id=True)


def good(settlements: Sequence[Settlement]) -> CameOf:
    """All of them are owed."""
    return "written"


@dataclass
class Transactions:
    """A store that remembers what it was given; `judge` says what it does with it."""

    judge: Callable[[Sequence[Settlement]], CameOf] = good
    together: bool = True
    given: list[tuple[list[str], Cause | None]] = field(default_factory=list)

    def is_together(self, effect: Effect) -> bool:
        return self.together or effect.database == STATE

    async def carry_out(self, settlements: Sequence[Settlement], cause: Cause | None) -> CameOf:
        self.given.append(([settlement.delivery.id for settlement in settlements], cause))
        await asyncio.sleep(0)
        return self.judge(settlements)

    async def causes(self, transactions: Iterable[str]) -> Mapping[str, Cause]:
        return {}


def success(number: int, *, into: str = "audit", rule: str = "r", depth: int = 0) -> Settlement:
    """A success with an insert as its effect."""
    through = tuple(f"r{link}" for link in range(depth))
    delivery = replace(delivery_at(number, line=LineKey(rule, "write")), depth=depth, through=through)
    return Settlement(
        delivery, Delivered(), NOW, 0.0, effect=Effect("shop", into, "insert", value={"_id": 1})
    )


@asynccontextmanager
async def running(store: Transactions) -> AsyncIterator[Carrier]:
    """A carrier and its loop."""
    carrier = Carrier(store)
    task = asyncio.create_task(carrier.run())
    yield carrier
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def all_of(carrier: Carrier, settlements: Iterable[Settlement]) -> list[CameOf | BaseException]:
    """What came of them, handed over at once."""
    waiting = (carrier.carry_out([settlement]) for settlement in settlements)
    return list(await asyncio.gather(*waiting, return_exceptions=True))


async def test_what_waits_goes_together() -> None:
    """Up to so many at once."""
    store = Transactions()
    async with running(store) as carrier:
        found = await all_of(carrier, [success(number) for number in range(2 * MOST_AT_ONCE + 50)])
    assert found == ["written"] * (2 * MOST_AT_ONCE + 50)
    assert [len(ids) for ids, _ in store.given] == [MOST_AT_ONCE, MOST_AT_ONCE, 50]


async def test_one_of_many_that_is_refused_costs_few_transactions() -> None:
    """Halves are tried, and halves of those: not each of five hundred alone."""
    bad = success(333).delivery.id

    def judge(settlements: Sequence[Settlement]) -> CameOf:
        if any(settlement.delivery.id == bad for settlement in settlements):
            raise PermanentError("no")
        return "written"

    store = Transactions(judge)
    async with running(store) as carrier:
        found = await all_of(carrier, [success(number) for number in range(MOST_AT_ONCE)])
    assert [number for number, one in enumerate(found) if one != "written"] == [333]
    assert len(store.given) < 20


async def test_one_that_is_refused_takes_no_other_with_it() -> None:
    """The others are written."""
    bad = success(3).delivery.id

    def judge(settlements: Sequence[Settlement]) -> CameOf:
        if any(settlement.delivery.id == bad for settlement in settlements):
            raise PermanentError("no")
        return "written"

    async with running(Transactions(judge)) as carrier:
        found = await all_of(carrier, [success(number) for number in range(6)])
    assert [str(one) for one in found] == ["written"] * 3 + ["no"] + ["written"] * 2
    assert isinstance(found[3], PermanentError)


async def test_one_that_is_not_owed_any_more_is_told_so() -> None:
    """And the others are written."""
    gone = success(1).delivery.id

    def judge(settlements: Sequence[Settlement]) -> CameOf:
        return "settled before" if gone in [one.delivery.id for one in settlements] else "written"

    async with running(Transactions(judge)) as carrier:
        found = await all_of(carrier, [success(number) for number in range(3)])
    assert found == ["written", "settled before", "written"]


async def test_an_insert_that_was_made_before_is_a_success_to_be_written() -> None:
    """Its outcome is still owed to the row; what waited with it is written."""
    before = success(2).delivery.id

    def judge(settlements: Sequence[Settlement]) -> CameOf:
        if before not in [one.delivery.id for one in settlements]:
            return "written"
        if len(settlements) > 1:
            raise CarriedOutBeforeError
        return "unwritten"

    async with running(Transactions(judge)) as carrier:
        found = await all_of(carrier, [success(number) for number in range(1, 4)])
    assert found == ["written", "unwritten", "written"]


async def test_what_has_another_cause_goes_by_itself_where_rules_watch() -> None:
    """A change tells its transaction, and by that its cause: one for each."""
    store = Transactions()
    settlements = [success(1), success(2), success(3, depth=2), success(4, rule="s"), success(5, into="log")]
    async with running(store) as carrier:
        carrier.use(lambda namespace: namespace == "shop.audit")
        await all_of(carrier, settlements)
    assert [(len(ids), cause) for ids, cause in store.given] == [
        (2, Cause("r", 0, ("r",))),
        (1, Cause("r", 2, ("r0", "r1", "r"))),
        (1, Cause("s", 0, ("s",))),
        (1, None),
    ]


async def test_who_has_stopped_waiting_is_left_out() -> None:
    """Its attempt was cut off, and is made again by whoever owns the stream."""
    store = Transactions()
    carrier = Carrier(store)
    waiting = [asyncio.create_task(carrier.carry_out([success(number)])) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    loop = asyncio.create_task(carrier.run())
    assert [await waiting[0], await waiting[2]] == ["written", "written"]
    loop.cancel()
    ((ids, _),) = store.given
    assert ids == [success(0).delivery.id, success(2).delivery.id]


async def test_elsewhere_effects_come_first() -> None:
    """Each by itself, without a loop."""
    store = Transactions(lambda settlements: "unwritten", together=False)
    assert await all_of(Carrier(store), [success(1), success(2)]) == ["unwritten", "unwritten"]
    assert [len(ids) for ids, _ in store.given] == [1, 1]


async def test_messages_wait_for_each_other_wherever_writes_go() -> None:
    """They are one with their outcomes, and rules that watch a database of their name do not see them."""
    store = Transactions(together=False)
    async with running(store) as carrier:
        carrier.use(lambda namespace: True)
        messages = [replace(success(number), effect=MESSAGE) for number in range(3)]
        assert await all_of(carrier, [*messages, success(4)]) == ["written"] * 4
    assert sorted((len(ids), cause) for ids, cause in store.given) == [(1, Cause("r", 0, ("r",))), (3, None)]


async def test_a_group_goes_as_one() -> None:
    """A digest: one effect, many deliveries, all or nothing."""
    store = Transactions()
    others = [replace(success(number), effect=None) for number in (2, 3)]
    async with running(store) as carrier:
        assert await carrier.carry_out([success(1), *others]) == "written"
    assert [len(ids) for ids, _ in store.given] == [3]


@pytest.mark.parametrize("large", [0, 9_000_000])
async def test_large_documents_do_not_meet_in_one_transaction(large: int) -> None:
    """Memory is bounded by bytes, too."""
    store = Transactions()
    settlements = []
    for number in range(3):
        one = success(number)
        event = replace(one.delivery.event, size=large)
        settlements.append(replace(one, delivery=replace(one.delivery, event=event)))
    async with running(store) as carrier:
        await all_of(carrier, settlements)
    assert len(store.given) == (3 if large else 1)
