"""What rules remember between events: decided the same however the stream is cut into batches, whatever is
read twice, and wherever a process dies."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.base import ActionConfig
from mtrigger.conditions import parse
from mtrigger.deliveries import Delivery
from mtrigger.events import ABSENT, ChangeEvent
from mtrigger.following import Change, Following
from mtrigger.matching import Matcher
from mtrigger.quiet import Absent
from mtrigger.rules import Rule, RuleAction
from mtrigger.standing import Clock, Waiting, alert_id, came, clock_id, first_clock, is_over, overdue, silence
from mtrigger.stores.standing import MemoryStanding
from support.recording import rule_on
from support.samples import NOW, event_at

START = 1_769_853_600
LOW = replace(
    rule_on("shop.tanks", name="low", when="level < 10"),
    resolved=(RuleAction("resolved-log", "log", ActionConfig()),),
)
SILENT = replace(LOW, name="silent", condition=None, absent=Absent(10.0, ("_id",)))


def tank(second: int, operation: str, key: int, level: int | None = None, **other: Any) -> ChangeEvent:
    """A change of the tank `key` so many seconds after the start."""
    document = {"_id": key, "level": level} if level is not None else None
    event = event_at(1, operation=operation, namespace="shop.tanks", key=key, document=document, **other)
    time = Timestamp(START + second, 1)
    return replace(
        event,
        token=f"82{time.time:08X}{time.inc:08X}2B",
        document=document,
        image=other.get("image", "stored" if document else "none"),
        cluster_time=time,
        time=NOW + timedelta(seconds=second),
    )


@dataclass
class World:
    """A stream that is read in batches by processes that may die; what is owed survives them, by its id."""

    rules: tuple[Rule, ...]
    standing: MemoryStanding
    owed: dict[str, Delivery]

    def __init__(self, *rules: Rule) -> None:
        self.rules, self.standing, self.owed = rules, MemoryStanding(), {}
        self._following = self._process()

    def _process(self) -> Following:
        following = Following(self.standing, "set:1", "main/0")
        following.use(self.rules)
        return following

    async def read(self, events: Sequence[ChangeEvent]) -> None:
        matcher = Matcher(self.rules)
        change = await self._following.consider([(e, matcher.matches(e, NOW)) for e in events], NOW)
        await self._keep(change, dies=False)

    async def read_and_die(self, events: Sequence[ChangeEvent]) -> None:
        """Killed when what is owed is durable, and the states are not."""
        matcher = Matcher(self.rules)
        change = await self._following.consider([(e, matcher.matches(e, NOW)) for e in events], NOW)
        await self._keep(change, dies=True)

    async def reach(self, second: int) -> None:
        while True:
            change = await self._following.silences(Timestamp(START + second, 0), NOW)
            await self._keep(change, dies=False)
            if not change.owed:
                return

    async def _keep(self, change: Change, *, dies: bool) -> None:
        for delivery in change.owed:
            self.owed.setdefault(delivery.id, delivery)
        if dies:
            self._following = self._process()
        else:
            await self._following.keep(change)

    @property
    def told(self) -> list[tuple[str, str, Any, Any]]:
        """What was owed: by action and operation, of which document, with which facts."""
        return sorted(
            (d.action, d.event.operation, d.event.key.get("_id"), repr(sorted(d.facts.items())))
            for d in self.owed.values()
        )


events_of_tanks = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.sampled_from(("insert", "update", "replace", "delete")),
        st.integers(1, 2),
        st.integers(8, 11),
    ),
    max_size=12,
)
cuts = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(("well", "dies", "again"))), min_size=1, max_size=20
)


@given(events_of_tanks, cuts)
def test_batches_and_crashes_change_nothing(
    changes: list[tuple[int, str, int, int]], cuts: list[tuple[int, str]]
) -> None:
    """Read one by one, or in batches some of which are read twice or left halfway: the same is owed."""
    second, events = 0, []
    for after, operation, key, level in changes:
        second += after
        events.append(tank(second, operation, key, None if operation == "delete" else level))
    plain, cut = World(LOW, SILENT), World(LOW, SILENT)

    async def run() -> None:
        for event in events:
            await plain.reach(event.cluster_time.time - START - 1)
            await plain.read([event])
        await plain.reach(second + 100)
        rest, turns = events, iter(cuts * len(events))
        while rest:
            number, ends = next(turns)
            batch, rest = rest[:number], rest[number:]
            if ends == "dies":
                await cut.read_and_die(batch)
            elif ends == "again":
                await cut.read(batch)
                await cut.reach(batch[-1].cluster_time.time - START)
            await cut.read(batch)
        await cut.reach(second + 100)

    asyncio.run(run())
    assert cut.told == plain.told


def test_what_stood_is_over_once() -> None:
    """When the condition no longer holds, or the document is deleted; with what was there when it fired."""
    world = World(LOW)

    async def run() -> None:
        await world.read(
            [
                tank(1, "insert", 1, 5),
                tank(2, "update", 1, 6),
                tank(3, "insert", 2, 5),
                tank(4, "insert", 3, 50),
            ]
        )
        await world.read(
            [tank(5, "update", 1, 20), tank(6, "update", 1, 30), tank(7, "delete", 2), tank(8, "delete", 3)]
        )

    asyncio.run(run())
    found = sorted(world.owed.values(), key=lambda delivery: delivery.position)
    assert [(d.event.key["_id"], d.event.document) for d in found] == [
        (1, {"_id": 1, "level": 20}),
        (2, {"_id": 2, "level": 5}),
    ]
    assert [d.facts["since"] for d in found] == [NOW + timedelta(seconds=1), NOW + timedelta(seconds=3)]
    assert all(d.facts["resolved"] is True and d.action == "resolved-log" for d in found)


@pytest.mark.parametrize(
    ("event", "over"),
    [
        (tank(1, "update", 1, 9), False),
        (tank(1, "update", 1, 10), True),
        (tank(1, "rescan", 1, 10), True),
        (tank(1, "update", 1, 10, image="partial"), False),
        (tank(1, "update", 1), False),
        (tank(1, "delete", 1), True),
        (replace(tank(1, "update", 1, 10), flaw="broken"), False),
    ],
)
def test_only_what_is_seen_shows_that_it_is_over(event: ChangeEvent, *, over: bool) -> None:
    """A document that is gone, or cannot be read, shows nothing: its delete follows."""
    assert is_over(parse("level < 10"), event, NOW) is over
    assert is_over(parse("became(level < 10)"), event, NOW) is over


def test_alerts_are_told_apart_by_rule_and_document() -> None:
    """Types of BSON, too."""
    one, other = tank(1, "insert", 1, 5), replace(tank(1, "insert", 1, 5), key={"_id": 1.0})
    elsewhere = replace(one, collection="others")
    assert (
        len({alert_id("low", one), alert_id("low", other), alert_id("high", one), alert_id("low", elsewhere)})
        == 4
    )


def test_what_comes_in_time_owes_nothing_and_what_comes_back_is_told() -> None:
    """Also when the silence lay between two events of one batch."""
    world = World(SILENT)

    async def run() -> None:
        await world.read([tank(1, "insert", 1, 5), tank(9, "update", 1, 5)])
        await world.reach(15)
        assert world.owed == {}
        await world.read([tank(16, "update", 1, 5), tank(30, "update", 1, 6), tank(31, "update", 1, 7)])

    asyncio.run(run())
    found = sorted(world.owed.values(), key=lambda delivery: delivery.position)
    assert [(d.action, d.event.operation) for d in found] == [("log", ABSENT), ("resolved-log", "update")]
    assert found[1].event.document == {"_id": 1, "level": 6}
    assert {d.facts["since"] for d in found} == {found[0].event.time - timedelta(seconds=10)}


# -- clocks --------------------------------------------------------------------------------------------------

HOURLY = Waiting("silent", 3_600.0, ())
EACH = Waiting("silent", 3_600.0, ("_id",))


def test_a_clock_runs_from_the_first_start_without_groups_only() -> None:
    """Groups are known once something came."""
    clock = first_clock(HOURLY, Timestamp(START, 5))
    assert clock is not None
    assert not overdue(clock, Timestamp(START + 3_599, 0))
    assert overdue(clock, Timestamp(START + 3_600, 0))
    assert first_clock(EACH, Timestamp(START, 5)) is None


def test_what_comes_starts_the_clock_anew_and_what_was_read_before_does_not() -> None:
    """Whether or not the silence was told meanwhile."""
    clock = came(None, EACH, tank(10, "insert", 7, 1))
    assert clock is not None
    assert (clock.id, clock.group, clock.document) == (
        clock_id("silent", {"_id": 7}),
        {"_id": 7},
        {"_id": 7, "level": 1},
    )
    _, told = silence(clock)
    assert came(told, EACH, tank(10, "insert", 7, 1)) is told
    assert came(told, EACH, tank(9, "insert", 7, 1)) is told
    again = came(told, EACH, tank(11, "insert", 7, 2))
    assert again is not None
    assert not again.told
    assert again.last - clock.last == timedelta(seconds=1)


def test_the_same_silence_has_the_same_identity_whatever_its_length() -> None:
    """It is that of the clock since what came last; its token sorts by when it was due."""
    clock = came(None, EACH, tank(10, "insert", 7, 1))
    assert clock is not None
    shorter = replace(clock, waiting=replace(EACH, seconds=60.0))
    one, other = silence(clock)[0], silence(shorter)[0]
    later = silence(replace(clock, position=f"{clock.position}0"))[0]
    assert one.identity == other.identity
    assert one.token > other.token
    assert later.identity != one.identity
    assert one.operation == ABSENT
    assert ChangeEvent.from_row(one.to_row()) == one


def test_large_documents_are_not_kept() -> None:
    """Their keys are."""
    event = replace(tank(1, "insert", 7, 1), document={"_id": 7, "text": "x" * 20_000})
    clock = came(None, EACH, event)
    assert clock is not None
    assert clock.document == {"_id": 7}


@pytest.mark.parametrize("event", [tank(1, "update", 7), replace(tank(1, "update", 7, 3), flaw="broken")])
def test_what_cannot_be_put_into_a_group_starts_no_clock(event: ChangeEvent) -> None:
    """Without groups it has come all the same."""
    assert came(None, Waiting("silent", 60.0, ("device",)), event) is None
    assert isinstance(came(None, HOURLY, event), Clock)


def test_a_leap_over_what_was_lost_tells_no_silence() -> None:
    """What came in between is not known."""
    world = World(SILENT)

    async def run() -> None:
        await world.reach(0)
        await world.read([tank(1, "insert", 1, 5)])
        await world._following.leap(Timestamp(START + 1_000, 0))
        await world.reach(1_005)
        assert world.owed == {}
        await world.reach(1_010)

    asyncio.run(run())
    assert [d.event.operation for d in world.owed.values()] == [ABSENT]
