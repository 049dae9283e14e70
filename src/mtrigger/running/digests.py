"""Digests: what is owed of one line is gathered in the outbox, and sent together when a group's window
closes.

Promises: what is gathered is open rows and nothing else, so a crash loses none of it; whatever was stored
when a window closed is in the digest or left out with a reason; one digest is one delivery, that of its head,
with the same id at every attempt; what becomes of it becomes of all that it holds.
"""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Settlement, Suppressed
from mtrigger.effects import Effect
from mtrigger.events import MESSAGE
from mtrigger.gates import Admission, Hold, Pass, Suppress
from mtrigger.gates.gathering import arrival, closes_in, closing, closing_time, facts_of
from mtrigger.grouping import gathered_lane
from mtrigger.message_paths import with_written_paths
from mtrigger.ownership.lease import Interrupted
from mtrigger.planning import in_its_lane
from mtrigger.quiet import Digest
from mtrigger.rules import Rule
from mtrigger.running.ageing import let_go
from mtrigger.running.attempting import Held, Runner, Written, as_stored, loaded, now_as_stored, outcome_of
from mtrigger.running.delivery_log import tell_interrupted
from mtrigger.running.gatekeeping import UNGATED
from mtrigger.running.handling import GOING_ROUND, Handling
from mtrigger.running.lanes import Line
from mtrigger.running.settling import Settler
from mtrigger.running.windows import Windows
from mtrigger.scopes import document_of
from mtrigger.stores.base import LineKey, Outbox
from mtrigger.stores.digests import Gathered
from mtrigger.supervision import steady_time

LONGEST_LOOK_AHEAD = 60.0
"""Seconds after which a time of day that is waited for is looked at again: clocks are set."""

MOST_HELD = 64_000_000
"""Bytes of digests under way in one partition, after which no other one is read."""

MOVED_AT_ONCE = 1_000


def line_for(rule: Rule, capacity: int, behind: str | None) -> Line:
    """An empty line for one action of `rule`; `behind` as for `Line`."""
    if rule.digest is None:
        return Line(capacity, partial(in_its_lane, rule=rule), rule.grouped_by, behind=behind)
    return Windows(capacity, rule.digest, partial(_closes_at, rule.digest), behind=behind)


def suits(line: Line, rule: Rule) -> bool:
    """Whether `line` is what `rule` needs: its digest or its groups may be others since, or gone."""
    if isinstance(line, Windows):
        return line.digest == rule.digest
    return rule.digest is None and line.per == rule.grouped_by


def _closes_at(digest: Digest, head: Delivery) -> datetime:
    wait = closes_in(digest, head.created_at, datetime.now(UTC))
    if digest.every is None:
        wait = min(wait, LONGEST_LOOK_AHEAD)
    return steady_time.now() + timedelta(seconds=wait)


class Digests:
    """The digests of one partition."""

    def __init__(self, outbox: Outbox, partition: str, settler: Settler, handling: Handling) -> None:
        self._rows = outbox.digests
        self._partition = partition
        self._settler = settler
        self._handling = handling
        self._bytes = 0
        self._freed = asyncio.Event()

    def settles(self, line: Line, runner: Runner | None, delivery: Delivery) -> bool:
        """Whether `delivery`, which has just come, is settled instead of gathered: it is left out, or it
        cannot be read and dies by itself, so that nothing else dies of it."""
        if not isinstance(line, Windows) or runner is None:
            return False
        at = now_as_stored()
        outcome: Outcome
        if delivery.event.flaw:
            outcome = Dead(f"the change cannot be read, so it was not gathered: {delivery.event.flaw}")
        elif (left_out := arrival(runner.rule, delivery, self._handling.wishes, at)) is not None:
            outcome = Suppressed(left_out.reason)
        else:
            return False
        self._settler.hand_over(self._handling.told(Settlement(delivery, outcome, at, 0.0)))
        return True

    async def load(self, key: LineKey, line: Windows, runner: Runner | None) -> None:
        """Load the heads of what is gathered in the outbox, once everything there has its place."""
        asked, mark = line.asking()
        if line.has_strays:
            line.has_strays = False
            await self._rows.complete(self._partition, key)
            while strays := await self._rows.strays(self._partition, key, line.lanes, MOVED_AT_ONCE):
                per = line.digest.per
                await self._rows.move({stray.id: gathered_lane(stray.event, per) for stray in strays})
        heads = await self._rows.heads(self._partition, key, line.lanes, asked)
        line.take_heads([loaded(head, runner) for head in heads], asked, mark)

    async def handle(
        self, line: Windows, runner: Runner, head: Delivery, permit: AbstractAsyncContextManager[None]
    ) -> None:
        """One attempt at the digest of `head`, if its window has closed and something is owed."""
        self._handling.begin(head)
        if line.digest.every is None and not head.attempts:
            due_at = _closes_at(line.digest, head)
            if due_at > steady_time.now():  # the time of day was set back, or is still far away
                line.retry(replace(head, due_at=due_at))
                return
        try:
            async with permit:
                found = await self._sealed(head)
                if found is None or found.id != head.id:
                    _give_up(line, runner, head, found)
                    return
                found = let_go(replace(found, held_until=head.held_until), self._handling.wishes)
                at, started = now_as_stored(), time.perf_counter()
                whole, admitted, result = await self._attempt(line.digest, runner, found, at)
        except Interrupted as error:
            tell_interrupted(head, error)
            line.retry(head)
            return
        if isinstance(result, Held):
            self._handling.hold(line, whole, result)
            return
        if isinstance(result, Written):
            if result.outcome is None:
                await self._rows.complete(self._partition, LineKey(head.rule, head.action))
                _give_up(line, runner, head, await self._rows.seal(head))
                return
            result = result.outcome  # that of the head; all others are still to be settled
        took = round(time.perf_counter() - started, 3)
        await self._handling.settle(line, runner, Settlement(whole, result, at, took, sealed=True), admitted)

    async def _sealed(self, head: Delivery) -> Delivery | None:
        """Seal what goes with `head`. What was left out when it came is written before, so it stays out."""
        await self._settler.flush()
        return await self._rows.seal(head)

    async def _attempt(
        self, digest: Digest, runner: Runner, head: Delivery, at: datetime
    ) -> tuple[Delivery, Admission, Outcome | Written | Held]:
        while self._bytes > MOST_HELD:
            self._freed.clear()
            await self._freed.wait()
        gathered = await self._rows.gathered(head, digest.max, digest.sums)
        if not gathered.count:
            return head, UNGATED, Written(None)  # all of it was discarded at this very moment
        self._bytes += gathered.size
        try:
            return await self._try(digest, runner, _whole(head, gathered), gathered, at)
        finally:
            self._bytes -= gathered.size
            self._freed.set()

    async def _try(
        self, digest: Digest, runner: Runner, whole: Delivery, gathered: Gathered, at: datetime
    ) -> tuple[Delivery, Admission, Outcome | Written | Held]:
        if await self._handling.trips(runner.rule, whole):
            return whole, UNGATED, GOING_ROUND
        admitted = closing(runner.rule, whole, self._handling.wishes, at)
        match admitted.verdict:
            case Suppress(reason):
                return whole, admitted, Suppressed(reason)
            case Hold(seconds, reason):
                return whole, admitted, Held(seconds, reason)
            case Pass(facts):
                # What is tried again grows old from when it was first due, not from when it was first owed.
                due = replace(whole, created_at=min(at, closing_time(digest, whole.created_at)))
                known = {**whole.facts, **facts, **_facts(gathered)}
                carry_out = partial(self._carry_out, whole, gathered, at)
                result = await outcome_of(runner, due, as_stored, at, known, carry_out)
                if isinstance(result, Delivered):
                    result = _in_a_digest(result, gathered)
                return whole, admitted, result

    async def _carry_out(
        self, whole: Delivery, gathered: Gathered, at: datetime, effect: Effect
    ) -> Delivered | Written:
        """Have `effect` carried out together with the success of the digest that began `at`."""
        outcome, took = Delivered(effect.account), round((now_as_stored() - at).total_seconds(), 3)
        told = _in_a_digest(outcome, gathered)
        settlement = Settlement(whole, told, at, max(0.0, took), effect=effect, sealed=True)
        match await self._handling.carrier.carry_out([settlement]):
            case "written":
                return Written(told)
            case "settled before":
                return Written(None)
            case "unwritten":
                return outcome


def _give_up(line: Windows, runner: Runner, head: Delivery, found: Delivery | None) -> None:
    """`head` is owed no more. `found` is the one that its lane has now: its window may close later."""
    line.finish(head)
    if found is not None:
        line.offer(loaded(found, runner))


def _whole(head: Delivery, gathered: Gathered) -> Delivery:
    """The delivery of the digest: about the first event that can be read, caused by what any of it was."""
    events = gathered.events
    readable = next((event for event in events if not event.flaw), None)
    event = readable or (events[0] if events else head.event)
    return replace(head, event=event, depth=gathered.depth, through=gathered.through)


def _facts(gathered: Gathered) -> dict[str, Any]:
    documents = [document_of(event) for event in gathered.events if not event.flaw]
    of_messages = any(event.operation == MESSAGE for event in gathered.events)
    sums = with_written_paths(gathered.sums) if of_messages else gathered.sums
    return facts_of(documents, gathered.count, sums)


def _in_a_digest(outcome: Delivered, gathered: Gathered) -> Delivered:
    return Delivered(f"{outcome.detail or 'done'}, in a digest of {gathered.count:,}")
