"""What the gates would make of deliveries that are only tried: for `mtrigger test` and tests of rules.

Promise: the decisions are the live ones (`gates.admission`), in the order of the events, with the memory that
a first run would have. Every delivery that is let through counts as sent. Nothing is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from mtrigger.deliveries import Delivered, Delivery
from mtrigger.events import ChangeEvent
from mtrigger.gates import NOTHING_YET, GroupState, Hold, Pass, Suppress, Wishes, admission, after
from mtrigger.planning import owed
from mtrigger.rules import Rule
from mtrigger.standing.occasions import Occasions

Came = Literal["fires", "ignored", "suppressed", "held", "resolves"]
"""What an event came to: its actions run; the rule does not want it; they are left out; they wait; what the
rule fired for before is over."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one delivery came to, and why; `facts` is what its action would see besides the event. `rule` and
    `event` are those of the delivery, if there is one."""

    came: Came
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule | None = None
    event: ChangeEvent | None = None


class Trial:
    """The memory of all groups of the rules that are tried."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str, str], GroupState] = {}
        self._known: set[str] = set()
        self._occasions = Occasions()

    def consider(self, rule: Rule, event: ChangeEvent, now: datetime, *, fires: bool) -> Tried:
        """Say what `event`, which the rule `fires` for or not, would come to at `now`."""
        occasion = self._occasions.of(rule, event, now, fires=fires)
        if occasion is None:
            return Tried("ignored", "it came, so the clock runs anew" if fires else "")
        # All actions of a rule pass the same gates, each for itself: the first one speaks for all.
        delivery = owed(occasion.event, [occasion.rule], cluster="", partition="", now=now)[0]
        tried = self.handle(occasion.rule, delivery, now)
        came: Came = "resolves" if tried.came == "fires" and occasion.rule is not rule else tried.came
        facts = {**occasion.facts, **tried.facts}
        return replace(tried, came=came, facts=facts, rule=occasion.rule, event=occasion.event)

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
