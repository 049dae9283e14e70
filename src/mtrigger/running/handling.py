"""One delivery that was handed out, from the lane and back: is it owed still, may it run, what came of it.

Promises: nothing runs that was discarded or settled meanwhile; what was let through runs once for each
attempt that is counted; an outcome is handed over to be written before the lane goes on.
"""

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from mtrigger.deliveries import Delivered, Delivery, Outcome, Retrying, Settlement, Suppressed
from mtrigger.effects import Effect
from mtrigger.gates import Admission, Hold, Pass, Suppress, Wishes, remembers
from mtrigger.matching import Matcher
from mtrigger.ownership.lease import Interrupted
from mtrigger.rules import Rule
from mtrigger.running.ageing import let_go
from mtrigger.running.attempting import (
    Complete,
    Held,
    Runner,
    Written,
    failed,
    now_as_stored,
    outcome_of,
)
from mtrigger.running.carrying_out import Carrier
from mtrigger.running.dead_letters import told
from mtrigger.running.delivery_log import tell, tell_interrupted
from mtrigger.running.doubts import Doubts
from mtrigger.running.endings import Endings
from mtrigger.running.gatekeeping import UNGATED, Gatekeeper
from mtrigger.running.lanes import Line
from mtrigger.running.loop_guarding import LoopGuards
from mtrigger.running.settling import Settler
from mtrigger.running.waiting import WaitingLanes
from mtrigger.stores.base import LineKey, Outbox
from mtrigger.supervision import steady_time

TRUSTED_FOR = timedelta(seconds=5)
"""A delivery may have been discarded since it was last known to be owed: after this it is looked up first."""

LONGEST_HOLD = 60.0
"""Seconds after which what is held back is asked about again: hours go by clocks, which are set."""

NOT_TOLD_YET = Held(0.5, "that it began is not told yet")
GOING_ROUND = Held(1.0, "the rule goes round in circles and is paused")


class Handling:
    """What the attempts of one partition share."""

    def __init__(
        self,
        outbox: Outbox,
        settler: Settler,
        complete: Complete,
        waiting: WaitingLanes,
        lines: Mapping[LineKey, Line],
    ) -> None:
        self.doubts = Doubts(outbox)
        self.carrier = Carrier(outbox.effects)
        self._settler = settler
        self._complete = complete
        self._waiting = waiting
        self._endings = Endings(lines)
        self._gatekeeper = Gatekeeper(outbox.memories)
        self._loop_guards = LoopGuards(outbox.wishes)
        self._matcher = Matcher(())
        self._wished_at = datetime.now(UTC)
        self._kept_back: set[tuple[LineKey, str]] = set()

    def use(self, matcher: Matcher, runners: Mapping[LineKey, Runner]) -> None:
        """Hold deaths, effects and ends against other rules from now on."""
        self._matcher = matcher
        self._endings.use(runners)
        self.carrier.use(matcher.watches)

    def heed(self, wishes: Wishes) -> bool:
        """Go by these wishes of operators from now on. Returns whether they are other ones."""
        self._loop_guards.heed(wishes)
        changed = self._gatekeeper.heed(wishes)
        if changed:
            self._wished_at = datetime.now(UTC)
        return changed

    @property
    def wishes(self) -> Wishes:
        """What operators wish at the moment."""
        return self._gatekeeper.wishes

    def holds_up(self, rule: str) -> bool:
        """Whether the rule is paused: nothing of it is handed out."""
        return self._gatekeeper.holds_up(rule)

    def kept_back(self) -> dict[LineKey, set[str]]:
        """The lanes whose first delivery a gate holds, each told once: rules or wishes have changed, so it is
        to be asked about again."""
        lanes: dict[LineKey, set[str]] = {}
        for key, lane in self._kept_back:
            lanes.setdefault(key, set()).add(lane)
        self._kept_back.clear()
        return lanes

    async def handle(
        self, line: Line, runner: Runner, delivery: Delivery, permit: AbstractAsyncContextManager[None]
    ) -> None:
        """One attempt at one delivery, if it may be made now; the lane goes on."""
        self.begin(delivery)
        delivery = let_go(delivery, self.wishes)
        try:
            async with permit:
                if not await self._still_owed(line, delivery):
                    line.finish(delivery)
                    return
                at, started = now_as_stored(), time.perf_counter()
                admitted, result = await self._attempt(runner, delivery, at)
        except Interrupted as error:
            tell_interrupted(delivery, error)
            line.retry(delivery)
            return
        if isinstance(result, Held):
            self.hold(line, delivery, result)
            return
        if isinstance(result, Written):
            if result.outcome is not None:
                tell(delivery, result.outcome)
            line.finish(delivery)
            return
        took = round(time.perf_counter() - started, 3)
        await self.settle(line, runner, Settlement(delivery, result, at, took), admitted)

    def begin(self, delivery: Delivery) -> None:
        """It was handed out: it waits for nothing any more."""
        if not (self._waiting or self._kept_back):
            return
        key = LineKey(delivery.rule, delivery.action)
        self._waiting.remove(key, delivery.lane)
        self._kept_back.discard((key, delivery.lane))

    def hold(self, line: Line, delivery: Delivery, held: Held) -> None:
        """No attempt was made: it is asked about again."""
        wait = timedelta(seconds=min(held.seconds, LONGEST_HOLD))
        delivery = replace(delivery, due_at=steady_time.now() + wait)
        key = LineKey(delivery.rule, delivery.action)
        if held.destination:
            line.retry(delivery)
            self._waiting.add(held.destination, key, delivery.lane)
        else:
            line.retry(replace(delivery, held_until=now_as_stored()))
            self._kept_back.add((key, delivery.lane))

    async def trips(self, rule: Rule, delivery: Delivery) -> bool:
        """Whether `delivery` shows that its rule goes round in circles: it is paused then."""
        guards = self._loop_guards
        return guards.concern(rule, delivery) and await guards.trip(rule, delivery)

    def told(self, settlement: Settlement) -> Settlement:
        """`settlement` with what it owes to rules of dead letters."""
        return told(settlement, self._matcher)

    async def _attempt(
        self, runner: Runner, delivery: Delivery, at: datetime
    ) -> tuple[Admission, Outcome | Written | Held]:
        rule = runner.rule
        if await self.trips(rule, delivery):
            return UNGATED, GOING_ROUND
        if self._endings.is_early(delivery):
            return UNGATED, NOT_TOLD_YET
        admitted = await self._gatekeeper.admission(rule, delivery, at)
        match admitted.verdict:
            case Pass(facts):
                carry_out = partial(self._carry_out, rule, delivery, admitted, at)
                told_of = {**delivery.facts, **facts} if facts else delivery.facts
                return admitted, await outcome_of(runner, delivery, self._complete, at, told_of, carry_out)
            case Suppress(reason):
                return admitted, Suppressed(reason)
            case Hold(seconds, reason):
                return admitted, Held(seconds, reason)

    async def _carry_out(
        self, rule: Rule, delivery: Delivery, admitted: Admission, at: datetime, effect: Effect
    ) -> Delivered | Written:
        """Have `effect` carried out together with the success of the attempt that began `at`."""
        outcome, took = Delivered(effect.account), round((now_as_stored() - at).total_seconds(), 3)
        settlement = Settlement(delivery, outcome, at, max(0.0, took), effect=effect)
        memory = self._gatekeeper.memory(rule, delivery, admitted.state, outcome, settlement.ended_at)
        if memory is not None:
            await self._settler.flush()  # what was remembered before must not be written after it
            settlement = replace(settlement, remembers=memory)
        try:
            came_of = await self.carrier.carry_out([settlement])
        except BaseException:
            self._gatekeeper.forget(delivery)
            raise
        match came_of:
            case "written":
                self._gatekeeper.is_durable(delivery)
                return Written(outcome)
            case "settled before":
                self._gatekeeper.forget(delivery)
                return Written(None)
            case "unwritten":
                return outcome

    async def settle(self, line: Line, runner: Runner, settlement: Settlement, admitted: Admission) -> None:
        """Hand over what an attempt came to; the lane goes on."""
        delivery, outcome = settlement.delivery, settlement.outcome
        again = failed(delivery, outcome, runner) if isinstance(outcome, Retrying) else None
        tell(delivery, outcome)
        memory = None
        if remembers(runner.rule):
            ended_at = settlement.ended_at
            memory = self._gatekeeper.memory(runner.rule, delivery, admitted.state, outcome, ended_at)
            settlement = replace(settlement, remembers=memory)
        await self._settler.put(self.told(settlement))
        if memory is not None and self._gatekeeper.must_be_durable(delivery, outcome):
            await self._settler.flush()
            self._gatekeeper.is_durable(delivery)
        if again is not None:
            line.retry(again)
        else:
            line.finish(delivery)

    async def _still_owed(self, line: Line, delivery: Delivery) -> bool:
        """Whether nobody has discarded the delivery while it waited, and no attempt has just settled it.

        (What a paused rule is owed may be discarded as it is resumed, so a change of wishes raises doubts.)
        """
        if line.is_doubtful(delivery):
            await self._settler.flush()
        elif not delivery.attempts:
            since = line.known_since(delivery)
            if since > self._wished_at and abs(datetime.now(UTC) - since) < TRUSTED_FOR:
                return True
        return await self.doubts.still_open(delivery.id)
