"""Time -> the outbox: makes what scheduled rules owe when their times come.

Promises: what a time owes is durable before the next run moves on, and has the same ids however often it is
made, so a crash in between, or two processes, add nothing twice; only the owner of the stream runs this; a
clock that is set puts nothing off, because the time is looked at again twice a minute.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from mtrigger import planning, schedules
from mtrigger.deliveries import Delivery
from mtrigger.events import SCHEDULE
from mtrigger.rules import Rule
from mtrigger.schedules import Due
from mtrigger.stores.base import Store
from mtrigger.stores.schedules import NextRun
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.supervision.supervising import until_any

log = logging.getLogger(__name__)

LONGEST_WAIT = 30.0
"""Seconds after which the time of day is looked at again: it can be set."""

Offer = Callable[[Iterable[Delivery]], None]
"""Takes deliveries that have become durable, to run them."""


class Scheduler:
    """The schedules of the rules in force: `use` at any time, `run` once. `partition` is the one whose owner
    runs what they owe."""

    def __init__(self, store: Store, partition: str, offer: Offer) -> None:
        self._store = store
        self._partition = partition
        self._offer = offer
        self._rules: Mapping[str, Rule] = {}
        self._runs: dict[str, NextRun] = {}
        self._changed = asyncio.Event()
        self._looked_at = datetime.max.replace(tzinfo=UTC)

    def use(self, rules: Iterable[Rule]) -> None:
        """Go by the schedules of these rules from now on; the enabled ones are given."""
        self._rules = schedules.by_name(tuple(rules))
        self._changed.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Owe what is due, until `stopping`."""
        self._runs = dict(await self._store.schedules.all())
        while not stopping.is_set():
            heed_cancellation()
            self._changed.clear()
            rules = self._rules
            await self._agree(rules, datetime.now(UTC))
            await self._owe(rules, datetime.now(UTC))
            await self._wait(stopping)

    async def _agree(self, rules: Mapping[str, Rule], now: datetime) -> None:
        """Bring what is waited for into line with the rules: new ones wait for their first time, changed ones
        for their first new one. Where a clock was set back, here or where another process waited before,
        nothing is waited for beyond the first time from now on."""
        if gone := self._runs.keys() - rules.keys():
            await self._store.schedules.forget(gone)
            self._runs = {name: run for name, run in self._runs.items() if name not in gone}
        set_back, self._looked_at = now < self._looked_at, now
        fresh = []
        for rule in rules.values():
            known = self._runs.get(rule.name)
            is_known = known is not None and known.specification == _specification(rule)
            if is_known and not set_back:
                continue
            first = _next_run(rule, now)
            if known is None or not is_known:
                _tell_first(rule, first)
                fresh.append(first)
            elif known.at > first.at:
                fresh.append(first)
        await self._keep(fresh)

    async def _owe(self, rules: Mapping[str, Rule], now: datetime) -> None:
        """Store what is due and hand it over; then wait for the next times."""
        ripe = [rule for rule in rules.values() if self._runs[rule.name].at <= now]
        owed: list[Delivery] = []
        for rule in ripe:
            found = _due(rule, self._runs[rule.name].at, now)
            _tell_left_out(rule, found)
            for time in found.times:
                event = schedules.event_of(rule, time)
                owed += planning.owed(event, [rule], SCHEDULE, self._partition, now)
        if owed:
            new = await self._store.add(owed)
            self._offer(delivery for delivery in owed if delivery.id in new)
        await self._keep([_next_run(rule, now) for rule in ripe])

    async def _keep(self, runs: list[NextRun]) -> None:
        if runs:
            await self._store.schedules.keep(runs)
            self._runs |= {run.rule: run for run in runs}

    async def _wait(self, stopping: asyncio.Event) -> None:
        """Until the next time, until the rules are other ones, or until `stopping`."""
        now = datetime.now(UTC)
        waits = ((run.at - now).total_seconds() for run in self._runs.values())
        seconds = max(0.0, min(waits, default=LONGEST_WAIT))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_WAIT)):
                await until_any(self._changed, stopping)


def _specification(rule: Rule) -> str:
    assert rule.schedule is not None
    return schedules.specification(rule.schedule)


def _next_run(rule: Rule, now: datetime) -> NextRun:
    assert rule.schedule is not None
    return NextRun(rule.name, _specification(rule), schedules.next_time(rule.schedule, now))


def _due(rule: Rule, waited_for: datetime, now: datetime) -> Due:
    assert rule.schedule is not None
    return schedules.due(rule.schedule, waited_for, now)


def _tell_first(rule: Rule, first: NextRun) -> None:
    assert rule.schedule is not None
    words, time = schedules.meaning(rule.schedule), schedules.shown(rule.schedule, first.at)
    log.info("rule %s runs by its schedule: %s; first at %s", rule.name, words, time)


def _tell_left_out(rule: Rule, found: Due) -> None:
    assert rule.schedule is not None
    if not found.left_out:
        return
    more = " or more" if found.left_out + len(found.times) >= schedules.MOST_COUNTED else ""
    log.warning(
        "rule %s: %d%s of its scheduled times have passed and are left out, %d made up for (catch_up: %s)",
        rule.name,
        found.left_out,
        more,
        len(found.times),
        rule.schedule.catch_up,
    )
