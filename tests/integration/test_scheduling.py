"""The loop that makes scheduled rules owe: in whatever line it ends, nothing is lost or owed twice."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mtrigger.actions.log import LogConfig
from mtrigger.deliveries import Delivery
from mtrigger.events import SCHEDULE
from mtrigger.quiet import CatchUp, Schedule
from mtrigger.rules import Collections, Rule, RuleAction
from mtrigger.scheduling import Scheduler
from mtrigger.stores.base import Query
from mtrigger.stores.memory import MemoryStore
from mtrigger.stores.schedules import MemoryNextRuns, NextRun
from support.polling import eventually

PARTITION = "main/0"
MISSED = (3, 2, 1)


def hourly(catch_up: CatchUp, cron: str = "") -> Rule:
    """A rule of one time an hour, half an hour away, unless `cron` says otherwise."""
    minute = (datetime.now(UTC).minute + 30) % 60
    schedule = Schedule(cron or f"{minute} * * * *", ZoneInfo("UTC"), catch_up)
    action = RuleAction("log", "log", LogConfig(message="an hour"))
    operations = frozenset({SCHEDULE})
    return Rule("hourly", Collections(()), (action,), operations=operations, schedule=schedule)


def ahead(rule: Rule) -> datetime:
    """The next time of the hourly rule."""
    assert rule.schedule is not None
    minute = int(rule.schedule.cron.split()[0])
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    found = now.replace(minute=minute)
    return found if found > now else found + timedelta(hours=1)


class BreaksOff(MemoryNextRuns):
    """The process ends just before the next run would have moved on."""

    async def keep(self, runs: Sequence[NextRun]) -> None:
        raise ConnectionAbortedError


class Owner:
    """One process after the other, with one store; `offered` is what they were given to run."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.store = MemoryStore()
        self.offered: list[Delivery] = []

    async def wait_for(self, at: datetime) -> None:
        """What an earlier process has left: the next run is `at`."""
        assert self.rule.schedule is not None
        text = f"{self.rule.schedule.cron} UTC"
        await self.store.schedules.keep([NextRun(self.rule.name, text, at)])

    async def run_until_ahead(self) -> None:
        """Run a process until the next time of the rule is waited for, then stop it in good order."""
        scheduler, stopping = self._scheduler(), asyncio.Event()

        async def moved_on() -> bool:
            runs = await self.store.schedules.all()
            return self.rule.name in runs and runs[self.rule.name].at == ahead(self.rule)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scheduler.run(stopping))
            await eventually(moved_on)
            stopping.set()

    async def run_to_its_end(self) -> None:
        """Run a process that ends by itself."""
        await self._scheduler().run(asyncio.Event())

    async def times(self) -> list[datetime]:
        """The scheduled times in the outbox."""
        return sorted(record.delivery.event.time for record in await self.store.find(Query(), 100))

    def _scheduler(self) -> Scheduler:
        scheduler = Scheduler(self.store, PARTITION, self._offer)
        scheduler.use([self.rule])
        return scheduler

    def _offer(self, deliveries: Iterable[Delivery]) -> None:
        self.offered += deliveries


async def test_a_crash_before_the_next_run_moves_on_owes_nothing_twice() -> None:
    """What was stored is found there by the next process, which does not run it again."""
    owner = Owner(hourly("all"))
    missed = [ahead(owner.rule) - timedelta(hours=ago) for ago in MISSED]
    await owner.wait_for(missed[0])
    whole, broken = owner.store.schedules, BreaksOff()
    broken._runs = dict(await whole.all())
    owner.store.schedules = broken
    with pytest.raises(ConnectionAbortedError):
        await owner.run_to_its_end()
    assert [delivery.event.time for delivery in owner.offered] == missed
    owner.store.schedules = whole

    await owner.run_until_ahead()

    assert await owner.times() == missed
    assert len(owner.offered) == len(missed)
    assert {delivery.partition for delivery in owner.offered} == {PARTITION}


async def test_a_rule_seen_for_the_first_time_waits_for_its_next_time() -> None:
    """Nothing is made up for."""
    owner = Owner(hourly("all"))
    await owner.run_until_ahead()
    assert await owner.times() == []


async def test_a_clock_that_was_set_back_puts_nothing_off() -> None:
    """What was waited for lies days ahead then; the next time is the next one all the same."""
    owner = Owner(hourly("all"))
    await owner.wait_for(ahead(owner.rule) + timedelta(days=3))
    await owner.run_until_ahead()
    assert await owner.times() == []


async def test_rules_that_are_gone_are_forgotten() -> None:
    """When they come back, what passed meanwhile is not made up for."""
    owner = Owner(hourly("all"))
    long_ago = datetime.now(UTC) - timedelta(days=9)
    await owner.store.schedules.keep([NextRun("gone", "0 9 * * * UTC", long_ago)])
    await owner.run_until_ahead()
    assert set(await owner.store.schedules.all()) == {"hourly"}
