"""The outbox -> the actions: runs what is owed, and writes what came of it.

Promises: deliveries of one lane run one after the other, in order, also across retries; an attempt's outcome
is written before the process ends in good order; nothing is dropped: what has no room in memory stays in the
outbox and is loaded in its turn. (What an exception becomes is decided in `running/attempting.py`.)
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from mtrigger.actions.breakers import Breakers
from mtrigger.deliveries import Delivery
from mtrigger.matching import Matcher
from mtrigger.running.attempting import Complete, Runner, as_stored
from mtrigger.running.delivery_log import tell_unwritten
from mtrigger.running.digests import Digests, line_for, suits
from mtrigger.running.draining import ended
from mtrigger.running.handling import Handling
from mtrigger.running.lanes import Line
from mtrigger.running.limits import RuleLimits
from mtrigger.running.paging import Paging
from mtrigger.running.settling import Settler
from mtrigger.running.waiting import WaitingLanes
from mtrigger.running.windows import Windows
from mtrigger.stores.base import LineKey, Outbox
from mtrigger.supervision import steady_time
from mtrigger.supervision.supervising import part, pause, until

__all__ = ["Dispatcher", "Runner"]

log = logging.getLogger(__name__)

CAPACITY = 2_000
"""Deliveries of one line kept in memory; the rest waits in the outbox."""

WISHES_EVERY = 1.0
"""Seconds between looks for what operators wish: deliveries tried again, rules silenced or paused."""

LONGEST_TURN = 0.005
"""Seconds that a worker goes on before others have their turn: an action may never wait for anything."""


class Dispatcher:
    """Runs the deliveries of one partition: `serve` and `load` first, then `run`, and `offer` beside it."""

    def __init__(
        self, outbox: Outbox, partition: str, breakers: Breakers, complete: Complete = as_stored
    ) -> None:
        self._outbox = outbox
        self._partition = partition
        self._settler = Settler(outbox, self.offer)
        self._waiting = WaitingLanes(breakers, self._wake)
        self._lines: dict[LineKey, Line] = {}
        self._handling = Handling(outbox, self._settler, complete, self._waiting, self._lines)
        self._digests = Digests(outbox, partition, self._settler, self._handling)
        self._paging = Paging(outbox, partition, self._settler, self._digests)
        self._limits = RuleLimits()
        self._runners: Mapping[LineKey, Runner] = {}
        self._tasks = asyncio.TaskGroup()
        self._workers: set[asyncio.Task[None]] = set()
        self._timers: dict[LineKey, asyncio.TimerHandle] = {}
        self._loading: set[LineKey] = set()
        self._beginning: set[LineKey] = set()
        self._running = False
        self._drained = asyncio.Event()
        self._ended = asyncio.Event()

    async def serve(self, runners: Mapping[LineKey, Runner], others: Matcher | None = None) -> None:
        """Run deliveries with `runners` from now on; `others` holds all rules in force, where these are some
        of them: what they write may concern the others.

        Attempts that are under way end with the old ones. What is owed to a line without a runner stays in
        the outbox; when the line comes back, its open deliveries are loaded.
        """
        for key in self._lines.keys() - runners.keys():
            if not self._lines[key].running:
                del self._lines[key]
        owed: AbstractSet[LineKey] = runners.keys()
        if self._running:
            await self._settler.flush()  # a line that comes back must not load what it has just done
        else:
            owed = await self._outbox.lines(self._partition)
        for key in runners.keys() - self._lines.keys():
            self._lines[key] = line_for(runners[key].rule, CAPACITY, "" if key in owed else None)
        self._runners = runners
        rules = [runner.rule for runner in runners.values()]
        self._limits.use({rule.name: rule.concurrency for rule in rules if rule.concurrency is not None})
        self._handling.use(others or Matcher({rule.name: rule for rule in rules}.values()), runners)
        if self._running:
            self._ask_again()

    async def load(self) -> None:
        """Load what is open, before anything new is read, so that nothing new overtakes it."""
        await self._look_at_wishes()
        for line_key, line in self._lines.items():
            if line.incomplete:
                await self._paging.as_stored(line_key, line, self._runners.get(line_key))

    async def run(self) -> None:
        """Run deliveries until `drain` has ended. Raises what a task of its own died of; what could not be
        written then is named in the log."""
        self._waiting.begin()
        try:
            await self._run()
        finally:
            self._waiting.end()
            tell_unwritten(self._settler.unwritten)

    async def _run(self) -> None:
        async with self._tasks:
            settling = self._start("writer of outcomes", self._settler.run())
            heeding = self._start("search for what operators wish", self._heed_wishes())
            asking = self._start("look-up of what is still owed", self._handling.doubts.run())
            carrying = self._start("writer of effects", self._handling.carrier.run())
            self._running = True
            try:
                self._pump_all()
                await until(self._drained, (settling, heeding, asking, carrying))
            finally:
                # Also when a task has died: nothing new can be started then, and every loop must end, even
                # one whose cancellation was lost (see `supervising.pause`).
                self._running = False
                self._drained.set()
                self._settler.close()
            heeding.cancel()
            asking.cancel()
            carrying.cancel()
            await settling

    async def take(self, deliveries: Sequence[Delivery], patience: float) -> None:
        """`offer` them, once the lines that run quickly enough have room for them, but within `patience`
        seconds: what overflows must be read back from the outbox."""
        coming = Counter(LineKey(delivery.rule, delivery.action) for delivery in deliveries)
        until = time.perf_counter() + patience
        while self._running and (left := until - time.perf_counter()) > 0:
            lines = ((self._lines.get(key), number) for key, number in coming.items())
            if not any(line is not None and line.will_take(number) for line, number in lines):
                break
            self._ended.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._ended.wait()
        if self._running:
            await self._settler.room()
        self.offer(deliveries)

    def offer(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries that are durable and new."""
        touched: dict[LineKey, None] = {}
        for delivery in deliveries:
            key = LineKey(delivery.rule, delivery.action)
            line = self._lines.get(key)
            if line is None:
                continue  # the rule has just gone: the delivery stays in the outbox
            if self._running and self._digests.settles(line, self._runners.get(key), delivery):
                continue
            line.offer(delivery)
            touched[key] = None
        for key in touched:
            self._pump(key)

    async def drain(self, seconds: float) -> None:
        """Start nothing new; wait up to `seconds` for what runs, cancel the rest, write the outcomes.

        What is cancelled stays owed and is tried again at the next start.
        """
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        await ended(self._workers, seconds)
        self._drained.set()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.create_task(part(name, work), name=name)

    def _pump_all(self) -> None:
        for key in self._lines:
            self._pump(key)

    def _ask_again(self) -> None:
        """Rules or wishes have changed: what was held back may run now."""
        for key, lanes in self._handling.kept_back().items():
            self._wake(key, lanes)
        self._waiting.ask_again()
        self._pump_all()

    def _pump(self, key: LineKey) -> None:
        """Let one more worker begin if there is work for it, and arrange to be called when there is more."""
        line, runner = self._lines.get(key), self._runners.get(key)
        if line is None or runner is None or not self._running:
            return
        if not suits(line, runner.rule):
            if line.running:
                return  # what runs ends as it began; then the line begins anew
            line = self._lines[key] = line_for(runner.rule, CAPACITY, "")
        free = key not in self._beginning and line.running < runner.concurrency
        if free and not self._handling.holds_up(key.rule) and line.is_ready(steady_time.now()):
            if self._limits.admits(key.rule):
                self._beginning.add(key)
                work = self._work(key, line, runner)
                worker = self._start(f"attempt at {key.action} of rule {key.rule}", work)
                self._workers.add(worker)
                worker.add_done_callback(self._workers.discard)
            else:
                self._limits.waits(key)
        self._set_timer(key, line)
        if line.wants_more and key not in self._loading:
            self._loading.add(key)
            self._start(f"loading of {key.action} of rule {key.rule}", self._load_more(key, line))

    def _wake(self, key: LineKey, lanes: AbstractSet[str]) -> int:
        line = self._lines.get(key)
        woken = line.wake(lanes) if line is not None else 0
        self._pump(key)
        return woken

    def _set_timer(self, key: LineKey, line: Line) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if (due_at := line.next_due()) is not None:
            wait = max(0.0, (due_at - steady_time.now()).total_seconds())
            self._timers[key] = asyncio.get_running_loop().call_later(wait, self._pump, key)

    async def _load_more(self, key: LineKey, line: Line) -> None:
        try:
            # At the end outcomes may be written no more: waiting for that would last for ever.
            load = self._paging.behind_outcomes if self._running else self._paging.as_stored
            await load(key, line, self._runners.get(key))
        finally:
            self._loading.discard(key)
        self._pump(key)

    async def _heed_wishes(self) -> None:
        while not self._drained.is_set():
            if await self._look_at_wishes():
                self._ask_again()
            full = frozenset(key for key, line in self._lines.items() if len(line) >= 2 * CAPACITY)
            for delivery in await self._outbox.take_reopened(self._partition, CAPACITY, full):
                key = LineKey(delivery.rule, delivery.action)
                if key in self._lines:
                    self._lines[key].reopen(delivery)
                    self._pump(key)
            await pause(WISHES_EVERY, self._drained)

    async def _look_at_wishes(self) -> bool:
        """Go by what operators wish now. Returns whether that has changed."""
        return self._handling.heed(await self._outbox.wishes.current())

    async def _work(self, key: LineKey, line: Line, runner: Runner) -> None:
        """One attempt after the other, as long as anything may run; the next worker begins beside this one
        when there is more."""
        self._beginning.discard(key)
        permit = self._outbox.permit()
        began = time.perf_counter()
        while (delivery := self._next(key, line, runner)) is not None:
            self._pump(key)
            if isinstance(line, Windows):
                await self._digests.handle(line, runner, delivery, permit)
            else:
                await self._handling.handle(line, runner, delivery, permit)
            self._ended.set()
            if time.perf_counter() - began > LONGEST_TURN:
                await asyncio.sleep(0)
                began = time.perf_counter()
            turns = list(self._limits.ended(key))
            for other in turns:
                if other != key:
                    self._pump(other)
            if turns[:1] != [key]:
                break  # another line has waited for the place
        self._pump(key)

    def _next(self, key: LineKey, line: Line, runner: Runner) -> Delivery | None:
        """Hand out a delivery that may run now, if there is one and one more attempt is allowed."""
        if not self._running or self._lines.get(key) is not line or self._runners.get(key) is not runner:
            return None
        if line.running >= runner.concurrency or not self._limits.admits(key.rule):
            return None
        if self._handling.holds_up(key.rule):
            return None
        delivery = line.next(steady_time.now())
        if delivery is not None:
            self._limits.began(key)
        return delivery
