"""Asks the gates about deliveries, and keeps what they remember of groups and what operators wish.

Promises: the memory that a verdict was made with is the latest one, and what it changed is durable together
with the outcome (`Settlement.remembers`), before it. What a memory knows of single deliveries (the last one
let through, the last few left out) covers all whose outcomes may not be durable: before it would be too few,
`must_be_durable` asks for a pause. A rule without gates and wishes costs one look.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mtrigger.deliveries import Delivery, Memory, Outcome, Retrying, Suppressed
from mtrigger.gates import (
    LEFT_OUT_KNOWN,
    NOTHING_YET,
    Admission,
    GroupState,
    Pass,
    Wishes,
    admission,
    after,
    remembers,
)
from mtrigger.rules import Rule
from mtrigger.stores.memories import Memories

MOST_KEPT = 10_000
"""Groups whose memory is kept at hand. Far more than outcomes that are not written yet, so what is let go has
long been durable."""

_KEPT_LONGER = timedelta(days=7)
"""How much longer a memory is kept than it counts: what was read before a long stop may come again."""

_UNTOLD_KEPT = timedelta(days=30)
"""The same where the next send has something to tell: how many were held back."""

UNGATED = Admission(Pass(), NOTHING_YET)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A group's memory, and how many outcomes it knows of may not be durable."""

    state: GroupState
    unwritten: int


class Gatekeeper:
    """The gates of one partition's deliveries. Of one lane it is asked about one delivery after the other."""

    def __init__(self, memories: Memories) -> None:
        self._memories = memories
        self._wishes = Wishes()
        self._kept: dict[str, _Kept] = {}

    def heed(self, wishes: Wishes) -> bool:
        """Go by these wishes from now on. Returns whether they are other ones."""
        before, self._wishes = self._wishes, wishes
        return before != wishes

    @property
    def wishes(self) -> Wishes:
        """The wishes that are gone by."""
        return self._wishes

    def holds_up(self, rule: str) -> bool:
        """Whether nothing of `rule` may run at the moment."""
        return self._wishes.holds_up(rule)

    async def admission(self, rule: Rule, delivery: Delivery, now: datetime) -> Admission:
        """Ask the gates about `delivery`, if deliveries of `rule` have any to pass."""
        if not (rule.is_gated or self._wishes.concern(rule.name)):
            return UNGATED
        state = await self._state_of(delivery) if remembers(rule) else NOTHING_YET
        return admission(rule, delivery, state, self._wishes, now)

    def memory(
        self, rule: Rule, delivery: Delivery, state: GroupState, outcome: Outcome, now: datetime
    ) -> Memory | None:
        """What is to be remembered once an attempt came to `outcome`; `state` is that of its admission."""
        if not remembers(rule):
            return None
        key, state = _id(delivery), after(rule, delivery, state, outcome, now)
        known = self._kept.pop(key, None)
        self._kept[key] = _Kept(state, known.unwritten + 1 if known is not None else 1)
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        longer = _UNTOLD_KEPT if state.held_back else _KEPT_LONGER
        return Memory(key, rule.name, state.to_fields(), now + _counts_for(rule) + longer)

    def must_be_durable(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Whether `outcome`, which is remembered, has to be durable before the next delivery of the group is
        asked about: one was let through, or as many were left out as are known."""
        if isinstance(outcome, Retrying):
            return False  # it is the next one itself
        known = self._kept.get(_id(delivery))
        return not isinstance(outcome, Suppressed) or known is None or known.unwritten >= LEFT_OUT_KNOWN

    def is_durable(self, delivery: Delivery) -> None:
        """All outcomes of the group so far are."""
        key = _id(delivery)
        if (known := self._kept.get(key)) is not None:
            self._kept[key] = _Kept(known.state, 0)

    def forget(self, delivery: Delivery) -> None:
        """What was to be remembered with its success came to nothing; what is durable of the group counts."""
        self._kept.pop(_id(delivery), None)

    async def _state_of(self, delivery: Delivery) -> GroupState:
        key = _id(delivery)
        known = self._kept.get(key)
        if known is not None:
            return known.state
        fields = (await self._memories.of([key])).get(key)
        return NOTHING_YET if fields is None else GroupState.of_fields(fields)


def _id(delivery: Delivery) -> str:
    return f"{delivery.rule}/{delivery.action}/{delivery.lane}"


def _counts_for(rule: Rule) -> timedelta:
    windows = [rule.throttle.every if rule.throttle else 0.0, rule.count.within if rule.count else 0.0]
    return timedelta(seconds=max(windows))
