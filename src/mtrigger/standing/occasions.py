"""What an event is the occasion of, for a rule that is only tried: the states that `following` keeps durable,
kept in memory here, with the same decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson.timestamp import Timestamp

from mtrigger.events import ChangeEvent
from mtrigger.grouping import group_of
from mtrigger.rules import Rule
from mtrigger.standing.alerts import Alert, alert_id, followed, is_over, last_seen
from mtrigger.standing.clocks import Clock, Waiting, came, clock_id, overdue, silence


@dataclass(frozen=True, slots=True)
class Occasion:
    """The rule's actions are owed for `event`; `rule` is its ending when what it fired for is over."""

    rule: Rule
    event: ChangeEvent
    facts: Mapping[str, Any] = field(default_factory=dict)


class Occasions:
    """The states of the rules that are tried."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self._clocks: dict[str, Clock] = {}

    def of(self, rule: Rule, event: ChangeEvent, now: datetime, *, fires: bool) -> Occasion | None:
        """What `event`, which the rule `fires` for or not, is the occasion of, looked at from `now`; None: of
        nothing."""
        if rule.absent is not None:
            waiting = Waiting(rule.name, rule.absent.seconds, rule.absent.per)
            back = self._come(rule, waiting, event) if fires else None
            return self._silent(rule, now) or back
        if rule.ending is not None:
            ended = self._followed(rule, rule.ending, event, fires=fires)
            if ended is not None:
                return ended
        return Occasion(rule, event) if fires else None

    def _come(self, rule: Rule, waiting: Waiting, event: ChangeEvent) -> Occasion | None:
        key = clock_id(rule.name, group_of(event, waiting.per))
        before = self._clocks.get(key)
        after = came(before, waiting, event)
        if after is None:
            return None
        self._clocks[key] = after
        if before is None or rule.ending is None or not overdue(before, event.cluster_time):
            return None
        facts = {"resolved": True, "since": before.last, "group": after.group}
        return Occasion(rule.ending, event, facts)

    def _silent(self, rule: Rule, now: datetime) -> Occasion | None:
        reached = Timestamp(int(now.timestamp()), 0)
        clocks = (clock for clock in self._clocks.values() if clock.waiting.rule == rule.name)
        clock = next((clock for clock in clocks if overdue(clock, reached)), None)
        if clock is None:
            return None
        return Occasion(rule, silence(clock)[0], {"since": clock.last, "group": clock.group})

    def _followed(self, rule: Rule, ending: Rule, event: ChangeEvent, *, fires: bool) -> Occasion | None:
        key = alert_id(rule.name, event)
        before = self._alerts.get(key)
        over = not fires and is_over(rule.condition, event, event.time)
        after, ends = followed(before, rule.name, event, fires=fires, over=over)
        if after is not None:
            self._alerts[key] = after
        if not ends or before is None:
            return None
        return Occasion(ending, last_seen(before, event), {"resolved": True, "since": before.since})
