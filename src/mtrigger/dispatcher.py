"""The outbox -> the actions: runs what is owed, and writes what came of it.

Promises: deliveries of one lane run one after the other, in order, also across retries; an attempt's outcome
is written before the process ends in good order; nothing is dropped: what has no room in memory stays in the
outbox and is loaded in its turn. `_outcome` is the one place that turns an exception into an outcome.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mtrigger.actions.base import Action
from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Retrying, Settlement
from mtrigger.errors import MtriggerError, PermanentError, RetryLater
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.ownership.lease import Interrupted
from mtrigger.retry import after_failure
from mtrigger.rules import Rule
from mtrigger.running.dead_letters import told
from mtrigger.running.delivery_log import tell, tell_interrupted, tell_unwritten
from mtrigger.running.lanes import Line
from mtrigger.running.settling import Settler
from mtrigger.scopes import work_for
from mtrigger.stores.base import LineKey, Outbox
from mtrigger.supervision.supervising import part, pause, until

log = logging.getLogger(__name__)

CAPACITY = 1_000
"""Deliveries of one line kept in memory; the rest waits in the outbox."""

CONCURRENCY = 32
"""Attempts of one line at the same time."""

REOPENED_EVERY = 1.0
"""Seconds between looks for deliveries that an operator wants tried again."""

CANCELLING = 1.0
"""Seconds an action has to end once its attempt is cancelled."""

TRUSTED_FOR = timedelta(seconds=5)
"""A delivery older than this may have been discarded while it waited in its lane: that is looked up first."""

LONGEST_TEXT = 2_000
"""Characters of an error or of an action's account that are kept: every attempt adds one to the row."""


Complete = Callable[[ChangeEvent], Awaitable[ChangeEvent]]
"""Gives an event the document that was too large to be stored with it (see `lookups`)."""


async def as_stored(event: ChangeEvent) -> ChangeEvent:
    """The event as it is, whatever it lacks."""
    return event


@dataclass(frozen=True, slots=True)
class Runner:
    """How the deliveries of one line are run: the action, opened, and its rule."""

    rule: Rule
    action: Action


class Dispatcher:
    """Runs the deliveries of one partition: `serve` and `load` first, then `run`, and `offer` beside it."""

    def __init__(self, outbox: Outbox, partition: str, complete: Complete = as_stored) -> None:
        self._outbox = outbox
        self._complete = complete
        self._partition = partition
        self._settler = Settler(outbox, self.offer)
        self._matcher = Matcher(())
        self._lines: dict[LineKey, Line] = {}
        self._runners: Mapping[LineKey, Runner] = {}
        self._tasks = asyncio.TaskGroup()
        self._attempts: set[asyncio.Task[None]] = set()
        self._timers: dict[LineKey, asyncio.TimerHandle] = {}
        self._loading: set[LineKey] = set()
        self._running = False
        self._drained = asyncio.Event()

    async def serve(self, runners: Mapping[LineKey, Runner]) -> None:
        """Run deliveries with `runners` from now on.

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
            self._lines[key] = Line(CAPACITY, behind="" if key in owed else None)
        self._runners = runners
        self._matcher = Matcher({runner.rule.name: runner.rule for runner in runners.values()}.values())
        if self._running:
            self._pump_all()

    async def load(self) -> None:
        """Load what is open, before anything new is read, so that nothing new overtakes it."""
        for line_key, line in self._lines.items():
            if line.incomplete:
                await self._load_page(line_key, line)

    async def run(self) -> None:
        """Run deliveries until `drain` has ended. Raises what a task of its own died of; what could not be
        written then is named in the log."""
        try:
            await self._run()
        finally:
            tell_unwritten(self._settler.unwritten)

    async def _run(self) -> None:
        async with self._tasks:
            settling = self._start("writer of outcomes", self._settler.run())
            reopening = self._start("search for reopened deliveries", self._take_reopened())
            self._running = True
            try:
                self._pump_all()
                await until(self._drained, (settling, reopening))
            finally:
                # Also when a task has died: nothing new can be started then, and every loop must end, even
                # one whose cancellation was lost (see `supervising.pause`).
                self._running = False
                self._drained.set()
                self._settler.close()
            reopening.cancel()
            await settling

    def offer(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries that are durable and new."""
        touched: dict[LineKey, None] = {}
        for delivery in deliveries:
            key = LineKey(delivery.rule, delivery.action)
            line = self._lines.get(key)
            if line is not None:  # else the rule has just gone: the delivery stays in the outbox
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
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=seconds)
            if late:
                number = "1 attempt" if len(late) == 1 else f"{len(late)} attempts"
                log.warning("%s did not end in time: made again at the next start, with the same id", number)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCELLING)
        self._drained.set()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.create_task(part(name, work), name=name)

    def _pump_all(self) -> None:
        for key in self._lines:
            self._pump(key)

    def _pump(self, key: LineKey) -> None:
        """Start every attempt of a line that may start now, and arrange to be called when more may."""
        line, runner = self._lines.get(key), self._runners.get(key)
        if line is None or runner is None or not self._running:
            return
        now = datetime.now(UTC)
        while line.running < CONCURRENCY and (delivery := line.next(now)) is not None:
            name = f"attempt at {key.action} of rule {key.rule}"
            task = self._start(name, self._attempt(key, line, runner, delivery))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)
        self._set_timer(key, line, now)
        if line.wants_more and key not in self._loading:
            self._loading.add(key)
            self._start(f"loading of {key.action} of rule {key.rule}", self._load_more(key, line))

    def _set_timer(self, key: LineKey, line: Line, now: datetime) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if (due_at := line.next_due()) is not None:
            wait = max(0.0, (due_at - now).total_seconds())
            self._timers[key] = asyncio.get_running_loop().call_later(wait, self._pump, key)

    async def _load_more(self, key: LineKey, line: Line) -> None:
        try:
            await self._load_page(key, line)
        finally:
            self._loading.discard(key)
        self._pump(key)

    async def _load_page(self, key: LineKey, line: Line) -> None:
        behind, room, mark = line.page()
        if not room:
            return  # what came late has filled it up meanwhile
        line.load(await self._outbox.owed(self._partition, key, behind, room), room, mark)

    async def _take_reopened(self) -> None:
        while not self._drained.is_set():
            full = frozenset(key for key, line in self._lines.items() if len(line) >= 2 * CAPACITY)
            for delivery in await self._outbox.take_reopened(self._partition, CAPACITY, full):
                key = LineKey(delivery.rule, delivery.action)
                if key in self._lines:
                    self._lines[key].reopen(delivery)
                    self._pump(key)
            await pause(REOPENED_EVERY, self._drained)

    async def _attempt(self, key: LineKey, line: Line, runner: Runner, delivery: Delivery) -> None:
        """One attempt at one delivery, from the lane and back."""
        try:
            async with self._outbox.permit():
                if not await self._still_owed(line, delivery):
                    line.finish(delivery)
                    self._pump(key)
                    return
                at, started = datetime.now(UTC), time.perf_counter()
                outcome = await _outcome(runner, delivery, self._complete, at)
        except Interrupted as error:
            tell_interrupted(delivery, error)
            line.retry(delivery)
            self._pump(key)
            return
        tell(delivery, outcome)
        settlement = Settlement(delivery, outcome, at, time.perf_counter() - started)
        await self._settler.put(told(settlement, self._matcher))
        if isinstance(outcome, Retrying):
            line.retry(delivery.after(outcome))
        else:
            line.finish(delivery)
        self._pump(key)

    async def _still_owed(self, line: Line, delivery: Delivery) -> bool:
        """Whether nobody has discarded the delivery while it waited, and no attempt has just settled it."""
        if line.is_doubtful(delivery):
            await self._settler.flush()
        elif not delivery.attempts and datetime.now(UTC) - delivery.created_at < TRUSTED_FOR:
            return True
        return await self._outbox.still_open(delivery.id)


async def _outcome(runner: Runner, delivery: Delivery, complete: Complete, now: datetime) -> Outcome:
    """Run the action; every exception becomes an outcome here and nowhere else."""
    try:
        event = await complete(delivery.event)
        if event.flaw:
            raise PermanentError(f"the change cannot be read, so the action was not run: {event.flaw}")
        work = work_for(runner.rule, replace(delivery, event=event), now)
        detail = storable(await runner.action.run(work))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # we are stopping
        return _failed(runner, delivery, error)  # the action's own doing: it awaited something cancelled
    except Exception as error:  # noqa: BLE001 - whatever an action raises, only its own delivery suffers
        return _failed(runner, delivery, error)
    return Delivered(detail)


def _failed(runner: Runner, delivery: Delivery, error: BaseException) -> Retrying | Dead:
    chance = random.random()  # noqa: S311 - jitter
    return after_failure(delivery, error, describe(error), runner.rule.retry, datetime.now(UTC), chance)


def describe(error: BaseException) -> str:
    """An exception in one line: its text, and its type where the text alone says little."""
    try:
        text = storable(str(error))
    except Exception:  # noqa: BLE001 - the exception is a user's own and cannot even say what it is
        text = ""
    if isinstance(error, (PermanentError, RetryLater, MtriggerError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def storable(text: str) -> str:
    """`text` in one line of bounded length that can be stored: without halves of surrogate pairs."""
    line = " ".join(text[: 2 * LONGEST_TEXT].split()).encode("utf-8", "replace").decode()
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…"
