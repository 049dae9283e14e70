"""One delivery that was handed out, from the lane and back: is it owed still, may it run, what came of it.

Promises: nothing runs that was discarded or settled meanwhile; what was let through runs once for each
attempt that is counted; an outcome is handed over to be written before the lane goes on.
"""

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mtrigger.deliveries import Delivery, Outcome, Retrying, Settlement, Suppressed
from mtrigger.gates import Admission, Hold, Pass, Suppress, Wishes
from mtrigger.matching import Matcher
from mtrigger.ownership.lease import Interrupted
from mtrigger.running.attempting import Complete, Held, Runner, failed, now_as_stored, outcome_of
from mtrigger.running.dead_letters import told
from mtrigger.running.delivery_log import tell, tell_interrupted
from mtrigger.running.doubts import Doubts
from mtrigger.running.gatekeeping import Gatekeeper
from mtrigger.running.lanes import Line
from mtrigger.running.settling import Settler
from mtrigger.running.waiting import WaitingLanes
from mtrigger.stores.base import LineKey, Outbox
from mtrigger.supervision import steady_time

TRUSTED_FOR = timedelta(seconds=5)
"""A delivery may have been discarded since it was last known to be owed: after this it is looked up first."""

LONGEST_HOLD = 60.0
"""Seconds after which what is held back is asked about again: hours go by clocks, which are set."""


class Handling:
    """What the attempts of one partition share."""

    def __init__(self, outbox: Outbox, settler: Settler, complete: Complete, waiting: WaitingLanes) -> None:
        self.doubts = Doubts(outbox)
        self._settler = settler
        self._complete = complete
        self._waiting = waiting
        self._gatekeeper = Gatekeeper(outbox.memories)
        self._matcher = Matcher(())

    def use(self, matcher: Matcher) -> None:
        """Hold deaths against other rules from now on."""
        self._matcher = matcher

    def heed(self, wishes: Wishes) -> bool:
        """Go by these wishes of operators from now on. Returns whether they are other ones."""
        return self._gatekeeper.heed(wishes)

    def holds_up(self, rule: str) -> bool:
        """Whether the rule is paused: nothing of it is handed out."""
        return self._gatekeeper.holds_up(rule)

    async def handle(
        self, line: Line, runner: Runner, delivery: Delivery, permit: AbstractAsyncContextManager[None]
    ) -> None:
        """One attempt at one delivery, if it may be made now; the lane goes on."""
        key = LineKey(delivery.rule, delivery.action)
        self._waiting.remove(key, delivery.lane)
        try:
            async with permit:
                if not await self._still_owed(line, delivery):
                    line.finish(delivery)
                    return
                at, started = now_as_stored(), time.perf_counter()
                admitted = await self._gatekeeper.admission(runner.rule, delivery, at)
                result = await self._result(runner, delivery, admitted, at)
        except Interrupted as error:
            tell_interrupted(delivery, error)
            line.retry(delivery)
            return
        if isinstance(result, Held):
            wait = timedelta(seconds=min(result.seconds, LONGEST_HOLD))
            line.retry(replace(delivery, due_at=steady_time.now() + wait))
            if result.destination:
                self._waiting.add(result.destination, key, delivery.lane)
            return
        took = round(time.perf_counter() - started, 3)
        await self._settle(line, runner, Settlement(delivery, result, at, took), admitted)

    async def _result(
        self, runner: Runner, delivery: Delivery, admitted: Admission, at: datetime
    ) -> Outcome | Held:
        match admitted.verdict:
            case Pass(facts):
                return await outcome_of(runner, delivery, self._complete, at, facts)
            case Suppress(reason):
                return Suppressed(reason)
            case Hold(seconds, reason):
                return Held(seconds, reason)

    async def _settle(self, line: Line, runner: Runner, settlement: Settlement, admitted: Admission) -> None:
        delivery, outcome = settlement.delivery, settlement.outcome
        again = failed(delivery, outcome, runner) if isinstance(outcome, Retrying) else None
        tell(delivery, outcome)
        memory = self._gatekeeper.memory(runner.rule, delivery, admitted.state, outcome, settlement.ended_at)
        remembering = replace(settlement, remembers=memory) if memory is not None else settlement
        await self._settler.put(told(remembering, self._matcher))
        if again is not None:
            line.retry(again)
        else:
            line.finish(delivery)

    async def _still_owed(self, line: Line, delivery: Delivery) -> bool:
        """Whether nobody has discarded the delivery while it waited, and no attempt has just settled it."""
        if line.is_doubtful(delivery):
            await self._settler.flush()
        elif not delivery.attempts and abs(datetime.now(UTC) - line.known_since(delivery)) < TRUSTED_FOR:
            return True
        return await self.doubts.still_open(delivery.id)
