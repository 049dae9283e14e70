"""Asks the gates about deliveries, and keeps what they remember of groups and what operators wish.

Promise: the memory that a verdict was made with is the latest one, and what it changed is durable together
with the outcome (`Settlement.remembers`), before it. A rule without gates and wishes costs one look.
"""

from datetime import datetime, timedelta

from mtrigger.deliveries import Delivery, Memory, Outcome
from mtrigger.gates import NOTHING_YET, Admission, GroupState, Pass, Wishes, admission, after
from mtrigger.rules import Rule
from mtrigger.stores.memories import Memories

MOST_KEPT = 10_000
"""Groups whose memory is kept at hand. Far more than outcomes that are not written yet, so what is let go has
long been durable."""

_KEPT_LONGER = timedelta(days=7)
"""How much longer a memory is kept than it counts: what was read before a long stop may come again."""

_UNGATED = Admission(Pass(), NOTHING_YET)


class Gatekeeper:
    """The gates of one partition's deliveries. Of one lane it is asked about one delivery after the other."""

    def __init__(self, memories: Memories) -> None:
        self._memories = memories
        self._wishes = Wishes()
        self._states: dict[str, GroupState] = {}

    def heed(self, wishes: Wishes) -> bool:
        """Go by these wishes from now on. Returns whether they are other ones."""
        before, self._wishes = self._wishes, wishes
        return before != wishes

    def holds_up(self, rule: str) -> bool:
        """Whether nothing of `rule` may run at the moment."""
        return self._wishes.holds_up(rule)

    async def admission(self, rule: Rule, delivery: Delivery, now: datetime) -> Admission:
        """Ask the gates about `delivery`."""
        if not rule.is_gated and not self._wishes.concern(rule.name):
            return _UNGATED
        state = await self._state_of(delivery) if _remembers(rule) else NOTHING_YET
        return admission(rule, delivery, state, self._wishes, now)

    def memory(
        self, rule: Rule, delivery: Delivery, state: GroupState, outcome: Outcome, now: datetime
    ) -> Memory | None:
        """What is to be remembered once an attempt came to `outcome`; `state` is that of its admission."""
        if not _remembers(rule):
            return None
        key, state = _id(delivery), after(rule, delivery, state, outcome, now)
        self._states.pop(key, None)
        self._states[key] = state
        if len(self._states) > MOST_KEPT:
            del self._states[next(iter(self._states))]
        return Memory(key, rule.name, state.to_fields(), now + _counts_for(rule) + _KEPT_LONGER)

    async def _state_of(self, delivery: Delivery) -> GroupState:
        key = _id(delivery)
        known = self._states.get(key)
        if known is not None:
            return known
        fields = (await self._memories.of([key])).get(key)
        return NOTHING_YET if fields is None else GroupState.of_fields(fields)


def _remembers(rule: Rule) -> bool:
    return rule.throttle is not None or rule.count is not None


def _id(delivery: Delivery) -> str:
    return f"{delivery.rule}/{delivery.action}/{delivery.lane}"


def _counts_for(rule: Rule) -> timedelta:
    windows = [rule.throttle.every if rule.throttle else 0.0, rule.count.within if rule.count else 0.0]
    return timedelta(seconds=max(windows))
