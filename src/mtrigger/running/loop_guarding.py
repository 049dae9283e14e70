"""Pauses rules that keep themselves busy (`gates/looping.py` says which), and lets through what was owed once
an operator resumes them.

Promise: nothing is lost by it; what is owed to the rule stays owed. A rule is told of once.
"""

import logging
from collections import OrderedDict
from datetime import UTC, datetime

from mtrigger.deliveries import Delivery
from mtrigger.gates import Pause, Wishes
from mtrigger.gates.looping import Firing, caught, firings
from mtrigger.planning import subject
from mtrigger.rules import Rule
from mtrigger.stores.wishes import WishList

log = logging.getLogger(__name__)

MOST_COUNTED = 10_000
"""Documents whose firings are counted; those that were quiet the longest are forgotten first."""

BY = "loop guard"
"""Who asked for such a pause, as operators read it."""

_Counted = tuple[str, str, str, str]
"""Rule, action, namespace, and what of it the events are about."""


class LoopGuards:
    """The guards of one partition's rules."""

    def __init__(self, wishes: WishList) -> None:
        self._wishes = wishes
        self._firings: OrderedDict[_Counted, tuple[Firing, ...]] = OrderedDict()
        self._tripped: set[str] = set()
        self._paused: set[str] = set()
        self._resumed: dict[str, datetime] = {}

    def heed(self, wishes: Wishes) -> None:
        """Take note of what is paused now, and of what was resumed."""
        paused = set(wishes.pauses)
        for rule in self._paused - paused:
            self._resumed[rule] = datetime.now(UTC)
            self._tripped.discard(rule)
            for key in [key for key in self._firings if key[0] == rule]:
                del self._firings[key]
        self._paused = paused

    def concern(self, rule: Rule, delivery: Delivery) -> bool:
        """Whether `trip` has to be asked."""
        return bool(delivery.depth or self._tripped or rule.loop_guard.at_most is not None)

    async def trip(self, rule: Rule, delivery: Delivery) -> bool:
        """Whether `delivery` shows that its rule keeps itself busy: then the rule is paused. What was owed
        when an operator resumed the rule may run once."""
        if rule.name in self._tripped:
            return True
        if delivery.admitted:
            return False
        fired = self._count(rule, delivery) if rule.loop_guard.at_most is not None else ()
        reason = caught(rule.loop_guard, delivery, fired)
        resumed = self._resumed.get(rule.name)
        if not reason or (resumed is not None and delivery.created_at <= resumed):
            return False
        self._tripped.add(rule.name)
        await self._pause(rule.name, reason)
        self._paused.add(rule.name)
        return True

    async def _pause(self, rule: str, reason: str) -> None:
        await self._wishes.pause(Pause(rule, datetime.now(UTC), reason=reason, by=BY))
        log.error(
            "paused: %s. What it is owed is kept. Mend the rule, then `mtrigger resume %s` (with `--drop` "
            "what is owed is left out)",
            reason,
            rule,
            extra={"rule": rule},
        )

    def _count(self, rule: Rule, delivery: Delivery) -> tuple[Firing, ...]:
        event = delivery.event
        key = (rule.name, delivery.action, event.namespace, subject(event))
        fired = self._firings[key] = firings(rule.loop_guard, self._firings.pop(key, ()), delivery)
        if len(self._firings) > MOST_COUNTED:
            self._firings.popitem(last=False)
        return fired
