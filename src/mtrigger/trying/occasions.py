"""What an event is the occasion of, for a rule that is only tried: the states that `following` keeps durable,
kept in memory here, with the same decisions."""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson.timestamp import Timestamp

from mtrigger.events import ChangeEvent
from mtrigger.grouping import group_of
from mtrigger.rules import Rule
from mtrigger.standing.alerts import Alert, alert_id, followed, is_over, last_seen
from mtrigger.standing.clocks import Clock, Waiting, came, clock_id, first_clock, overdue, silence


@dataclass(frozen=True, slots=True)
class Occasion:
    """The rule's actions are owed for `event`; `rule` is its ending when what it fired for is over."""

    rule: Rule
    event: ChangeEvent
    facts: Mapping[str, Any] = field(default_factory=dict)


class Occasions:
    """The states of the rules that are tried. What stands no more is forgotten: events are read once here."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self._clocks: dict[str, Clock] = {}
        self._due: dict[str, list[tuple[datetime, str]]] = defaultdict(list)

    def begin(self, rule: Rule, at: Timestamp) -> None:
        """The rule begins to wait, if it waits for nothing to come."""
        if rule.absent is not None and (clock := first_clock(_waiting(rule), at)) is not None:
            self._run(clock, None)

    def of(self, rule: Rule, event: ChangeEvent, now: datetime, *, fires: bool) -> Occasion | None:
        """What `event`, which the rule `fires` for or not, is the occasion of, looked at from `now`; None: of
        nothing."""
        if rule.absent is not None:
            silent = self.silences(rule, event.cluster_time)
            back = None
            if fires:  # the silence that it ends was an occasion before
                group = group_of(event, rule.absent.per)
                silent = [other for other in silent if other.facts["group"] != group]
                back = self._come(rule, event)
            silent += self.silences(rule, Timestamp(int(now.timestamp()), 0))
            return silent[0] if silent else back
        if rule.ending is not None:
            ended = self._followed(rule, rule.ending, event, fires=fires)
            if ended is not None:
                return ended
        return Occasion(rule, event) if fires else None

    def silences(self, rule: Rule, reached: Timestamp) -> list[Occasion]:
        """What is the occasion of the rule because nothing came until `reached`, the first one first."""
        found, due = [], self._due[rule.name]
        while due and due[0][0].timestamp() <= reached.time:
            clock = self._clocks[heapq.heappop(due)[1]]
            if overdue(clock, reached):
                event, self._clocks[clock.id] = silence(clock)
                found.append(Occasion(rule, event, {"since": clock.last, "group": clock.group}))
            else:  # it was started anew since
                heapq.heappush(due, (clock.due_at, clock.id))
        return found

    def _come(self, rule: Rule, event: ChangeEvent) -> Occasion | None:
        waiting = _waiting(rule)
        before = self._clocks.get(clock_id(rule.name, group_of(event, waiting.per)))
        after = came(before, waiting, event)
        if after is None or after is before:
            return None
        self._run(after, before)
        if before is None or rule.ending is None or not before.told:
            return None
        facts = {"resolved": True, "since": before.last, "group": after.group}
        return Occasion(rule.ending, event, facts)

    def _run(self, clock: Clock, before: Clock | None) -> None:
        self._clocks[clock.id] = clock
        if before is None or before.told:  # each clock that runs stands once in the heap
            heapq.heappush(self._due[clock.waiting.rule], (clock.due_at, clock.id))

    def _followed(self, rule: Rule, ending: Rule, event: ChangeEvent, *, fires: bool) -> Occasion | None:
        key = alert_id(rule.name, event)
        before = self._alerts.get(key)
        over = not fires and is_over(rule.condition, event, event.time)
        after, ends = followed(before, rule.name, event, fires=fires, over=over)
        if after is not None:
            self._alerts[key] = after
        if not ends or before is None:
            return None
        del self._alerts[key]
        return Occasion(ending, last_seen(before, event), {"resolved": True, "since": before.since})


def _waiting(rule: Rule) -> Waiting:
    assert rule.absent is not None
    return Waiting(rule.name, rule.absent.seconds, rule.absent.per)
