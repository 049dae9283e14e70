"""What the gates would make of deliveries that are only tried: for `mtrigger test` and tests of rules.

Promise: the decisions are the live ones (`gates.admission`), in the order of the events, with the memory that
a first run would have. Every delivery that is let through counts as sent. Nothing is stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from bson.timestamp import Timestamp

from mtrigger.deliveries import Delivered, Delivery
from mtrigger.events import MESSAGE, ChangeEvent, Document
from mtrigger.gates import (
    NOTHING_YET,
    GroupState,
    Hold,
    Pass,
    Suppress,
    Wishes,
    admission,
    after,
    remembers,
)
from mtrigger.gates.gathering import arrival, closing, closing_time, facts_of, total
from mtrigger.gates.looping import Firing, caught, firings
from mtrigger.grouping import value_at
from mtrigger.message_paths import as_written
from mtrigger.planning import owed, subject
from mtrigger.quiet import Digest
from mtrigger.rules import Rule
from mtrigger.scopes import document_of
from mtrigger.trying.occasions import Occasion, Occasions

Came = Literal["fires", "ignored", "suppressed", "held", "resolves"]
"""What an event came to: its actions run; the rule does not want it; they are left out; they wait; what the
rule fired for before is over."""


MANY = 1_000
"""Digests that are kept at least, though they may have closed."""

_Group = tuple[str, str, str]
"""Rule, action and lane."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one delivery came to, and why; `facts` is what its action would see besides the event. `rule` and
    `event` are those of the delivery, if there is one; `opens`: it is the first one of a digest."""

    came: Came
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule | None = None
    event: ChangeEvent | None = None
    opens: bool = False


@dataclass(slots=True)
class _Window:
    """A digest that is gathered until it `closes`, what becomes of it then, and what it has so far."""

    closes: datetime
    verdict: Pass | Suppress | Hold
    documents: list[Document] = field(default_factory=list)
    count: int = 0
    sums: dict[str, Any] = field(default_factory=dict)

    def take(self, digest: Digest, event: ChangeEvent) -> None:
        """One more change."""
        document = event.document if event.document is not None else event.key
        if self.count < digest.max and not event.flaw:
            self.documents.append(document_of(event))
        self.count += 1
        for path in digest.sums:
            name = as_written(path) if event.operation == MESSAGE else path
            self.sums[name] = total((self.sums.get(name, 0), value_at(document, path)))

    def tried(self, *, opens: bool) -> Tried:
        """What the last one taken comes to."""
        found = _tried(self.verdict)
        gathered = facts_of(self.documents, self.count, dict(self.sums))
        return replace(found, facts={**found.facts, **gathered}, opens=opens)


class Trial:
    """The memory of all groups of the rules that are tried."""

    def __init__(self) -> None:
        self._states: dict[_Group, GroupState] = {}
        self._once: set[str] = set()
        self._windows: dict[_Group, _Window] = {}
        self._most_windows = MANY
        self._firings: dict[tuple[str, str, str], tuple[Firing, ...]] = {}
        self._paused: dict[str, str] = {}
        self._occasions = Occasions()

    def begin(self, rule: Rule, at: Timestamp) -> None:
        """The rule is tried from `at` on: without this, it waits for nothing before something came."""
        self._occasions.begin(rule, at)

    def consider(self, rule: Rule, event: ChangeEvent, now: datetime, *, fires: bool) -> Tried:
        """Say what `event`, which the rule `fires` for or not, would come to at `now`."""
        occasion = self._occasions.of(rule, event, now, fires=fires)
        if occasion is None:
            return Tried("ignored", "it came, so the clock runs anew" if fires else "")
        return self._taken(rule, occasion, now)

    def silences(self, rule: Rule, reached: Timestamp) -> Iterator[Tried]:
        """Say what the rule would do because nothing came until `reached`."""
        for occasion in self._occasions.silences(rule, reached):
            yield self._taken(rule, occasion, occasion.event.time)

    def _taken(self, rule: Rule, occasion: Occasion, now: datetime) -> Tried:
        # All actions of a rule pass the same gates, each for itself: the first one speaks for all.
        delivery = owed(occasion.event, [occasion.rule], cluster="", partition="", now=now)[0]
        tried = self._handled(occasion.rule, delivery, now)
        came: Came = "resolves" if tried.came == "fires" and occasion.rule is not rule else tried.came
        facts = {**occasion.facts, **tried.facts}
        return replace(tried, came=came, facts=facts, rule=occasion.rule, event=occasion.event)

    def _handled(self, rule: Rule, delivery: Delivery, now: datetime) -> Tried:
        if delivery.kept:
            if delivery.id in self._once:
                return Tried("suppressed", "it is owed only once, and was owed before")
            self._once.add(delivery.id)
        group = (rule.name, delivery.action, delivery.lane)
        if rule.digest is not None:
            return self._gathered(rule, rule.digest, delivery, group, now)
        if going_round := self._goes_round(rule, delivery):
            return Tried("held", going_round)
        found = admission(rule, delivery, self._states.get(group, NOTHING_YET), Wishes(), now)
        state = found.state
        if isinstance(found.verdict, Pass):
            state = after(rule, delivery, state, Delivered(), now)
        if remembers(rule):
            self._states[group] = state
        return _tried(found.verdict)

    def _gathered(
        self, rule: Rule, digest: Digest, delivery: Delivery, group: _Group, now: datetime
    ) -> Tried:
        """What is gathered comes to what its digest comes to when that closes."""
        if (left_out := arrival(rule, delivery, Wishes(), now)) is not None:
            return _tried(left_out)
        window = self._windows.get(group)
        opens = window is None or now >= window.closes
        if window is None or opens:
            if going_round := self._goes_round(rule, delivery):
                return Tried("held", going_round)
            self._forget_closed(now)
            window = self._windows[group] = _window(rule, digest, delivery, now)
        window.take(digest, delivery.event)
        return window.tried(opens=opens)

    def _forget_closed(self, now: datetime) -> None:
        """Where there are many groups, do not keep what all of them had."""
        if len(self._windows) >= self._most_windows:
            open_ones = {group: window for group, window in self._windows.items() if now < window.closes}
            self._windows, self._most_windows = open_ones, 2 * len(open_ones) + MANY

    def _goes_round(self, rule: Rule, delivery: Delivery) -> str:
        """Why the rule's guard has paused it, or does so now; "" if it has not. How often it fires for a
        document is known here; what writes of rules have caused is not."""
        if rule.loop_guard.at_most is None or rule.name in self._paused:
            return self._paused.get(rule.name, "")
        event = delivery.event
        key = (rule.name, event.namespace, subject(event))
        fired = self._firings[key] = firings(rule.loop_guard, self._firings.get(key, ()), delivery)
        if reason := caught(rule.loop_guard, delivery, fired):
            self._paused[rule.name] = f"the rule is paused: {reason}"
        return self._paused.get(rule.name, "")


def _window(rule: Rule, digest: Digest, head: Delivery, now: datetime) -> _Window:
    closes = closing_time(digest, now)
    verdict = closing(rule, head, Wishes(), closes).verdict
    wait = verdict.seconds if isinstance(verdict, Hold) else 0.0
    return _Window(closes + timedelta(seconds=wait), verdict)


def _tried(verdict: Pass | Suppress | Hold) -> Tried:
    match verdict:
        case Suppress(reason):
            return Tried("suppressed", reason)
        case Hold(_, reason):
            return Tried("held", reason)
        case Pass(facts):
            return Tried("fires", facts=facts)
