"""What the gates would make of deliveries that are only tried: for `mtrigger test` and tests of rules.

Promise: the decisions are the live ones (`gates.admission`), in the order of the events, with the memory that
a first run would have. Every delivery that is let through counts as sent. Nothing is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mtrigger.deliveries import Delivered, Delivery
from mtrigger.gates import NOTHING_YET, GroupState, Hold, Pass, Suppress, Wishes, admission, after
from mtrigger.rules import Rule

Came = Literal["fires", "ignored", "suppressed", "held"]
"""What an event came to: its actions run; the rule does not want it; they are left out; they wait."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one delivery came to, and why; `facts` is what its action would see besides the event."""

    came: Came
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Trial:
    """The memory of all groups of the rules that are tried."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str, str], GroupState] = {}
        self._known: set[str] = set()

    def handle(self, rule: Rule, delivery: Delivery, now: datetime) -> Tried:
        """Say what `delivery` would come to at `now`."""
        if delivery.id in self._known:
            return Tried("suppressed", "it is owed only once, and was owed before")
        self._known.add(delivery.id)
        group = (rule.name, delivery.action, delivery.lane)
        found = admission(rule, delivery, self._states.get(group, NOTHING_YET), Wishes(), now)
        self._states[group] = found.state
        match found.verdict:
            case Suppress(reason):
                return Tried("suppressed", reason)
            case Hold(_, reason):
                return Tried("held", reason)
            case Pass(facts):
                self._states[group] = after(rule, delivery, found.state, Delivered(), now)
                return Tried("fires", facts=facts)
