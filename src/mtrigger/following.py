"""What rules remember between events (`resolved:`, `absent:`): kept up with what is read, and what it owes.

Promises: a state is durable after what it owes and before the position moves past the events that made it;
the states of a batch are looked up together, and only where a rule needs one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from bson.timestamp import Timestamp

from mtrigger import planning
from mtrigger.deliveries import Delivery
from mtrigger.events import ChangeEvent
from mtrigger.grouping import group_of
from mtrigger.matching import Matcher
from mtrigger.rules import Rule
from mtrigger.standing import (
    Alert,
    Clock,
    Waiting,
    alert_id,
    came,
    clock_id,
    first_clock,
    followed,
    is_over,
    last_seen,
    overdue,
    silence,
)
from mtrigger.stores.standing import DUE_AT_ONCE, Standing

Matched = Sequence[tuple[ChangeEvent, Sequence[Rule]]]
"""Events, each with the rules that hold for it."""


@dataclass(slots=True)
class Change:
    """What events owe beyond themselves, and the states that they leave, by their ids."""

    owed: list[Delivery] = field(default_factory=list)
    alerts: dict[str, Alert] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)


class _Awaited(NamedTuple):
    rule: Rule
    ending: Rule | None
    waiting: Waiting


class Following:
    """The states of one partition's rules."""

    def __init__(self, standing: Standing, cluster: str, partition: str) -> None:
        self._standing = standing
        self._cluster = cluster
        self._partition = partition
        self._asked = 0
        self.use(())

    def use(self, rules: Iterable[Rule]) -> None:
        """Go on with these rules, all of them enabled."""
        endings = [(rule, rule.ending) for rule in rules]
        self._awaited = {
            rule.name: _Awaited(rule, ending, Waiting(rule.name, rule.absent.seconds, rule.absent.per))
            for rule, ending in endings
            if rule.absent is not None
        }
        self._followed = {
            rule.name: rule for rule, ending in endings if ending is not None and rule.absent is None
        }
        self.endings = tuple(ending for rule, ending in endings if ending is not None and rule.absent is None)
        self._over = Matcher(self.endings)
        self._is_settled = False

    async def consider(self, matched: Matched, now: datetime) -> Change:
        """What the states become with these events, and what that owes. Nothing is written yet."""
        change = Change()
        if self._followed:
            await self._follow(matched, now, change)
        if self._awaited:
            await self._restart(matched, now, change)
        return change

    async def keep(self, change: Change) -> None:
        """Make the states durable, once what they owe is."""
        if change.alerts:
            await self._standing.keep_alerts(tuple(change.alerts.values()))
        if change.clocks:
            await self._standing.keep_clocks(tuple(change.clocks.values()))

    async def silences(self, reached: Timestamp, now: datetime) -> Change:
        """What is due when all that the stream has up to `reached` was considered: at most DUE_AT_ONCE
        silences, so ask again while there are any. Asked once for each second of the stream."""
        change = Change()
        if not self._is_settled:
            self._is_settled, self._asked = True, 0
            waiting = [awaited.waiting for awaited in self._awaited.values()]
            firsts = [first for one in waiting if (first := first_clock(one, reached)) is not None]
            await self._standing.wait_for(waiting, firsts)
        if not self._awaited:
            return change
        if reached.time <= self._asked:
            if await self._standing.due(self._awaited.keys(), now, 1):
                await self._standing.touch()
            return change
        found = await self._standing.due(
            self._awaited.keys(), datetime.fromtimestamp(reached.time, UTC), DUE_AT_ONCE
        )
        for clock in found:
            awaited = self._awaited.get(clock.waiting.rule)  # the rules may have changed meanwhile
            if awaited is not None and overdue(clock, reached):
                self._tell(clock, awaited.rule, now, change)
        if len(found) < DUE_AT_ONCE:
            self._asked = reached.time
        return change

    async def leap(self, to: Timestamp) -> None:
        """What came before `to` is not known, so no silence is told that began before."""
        if self._awaited:
            await self._standing.restart(self._awaited.keys(), datetime.fromtimestamp(to.time, UTC))

    # -- documents that a rule fired for -----------------------------------------------------------------

    async def _follow(self, matched: Matched, now: datetime, change: Change) -> None:
        steps = list(self._steps(matched, now))
        known = dict(await self._standing.alerts(list({key for key, *_ in steps}))) if steps else {}
        for key, rule, event, fires in steps:
            before = known.get(key)
            over = before is not None and not fires and is_over(rule.condition, event, now)
            after, ends = followed(before, rule.name, event, fires=fires, over=over)
            if after is None or after is before:
                continue
            known[key] = change.alerts[key] = after
            if ends and rule.ending is not None and before is not None:
                facts = {"resolved": True, "since": before.since}
                change.owed += self._owed(last_seen(before, event), rule.ending, now, facts)

    def _steps(self, matched: Matched, now: datetime) -> Iterator[tuple[str, Rule, ChangeEvent, bool]]:
        """The events that may begin or end something, each with the rule it is about."""
        for event, rules in matched:
            firing = {rule.name for rule in rules if rule.name in self._followed}
            ending = {rule.name for rule in self._over.matches(event, now)}
            for name in sorted(firing | ending):
                yield alert_id(name, event), self._followed[name], event, name in firing

    # -- rules that wait for nothing to come -------------------------------------------------------------

    async def _restart(self, matched: Matched, now: datetime, change: Change) -> None:
        steps = [
            (awaited, event, clock_id(awaited.rule.name, group_of(event, awaited.waiting.per)))
            for event, rules in matched
            for rule in rules
            if (awaited := self._awaited.get(rule.name)) is not None
        ]
        known = dict(await self._standing.clocks(list({key for *_, key in steps}))) if steps else {}
        for awaited, event, key in steps:
            before = known.get(key)
            after = came(before, awaited.waiting, event)
            if after is None or after is before:
                continue
            if before is not None and overdue(before, event.cluster_time):
                before = self._tell(before, awaited.rule, now, change)  # it came, but too late
            known[key] = change.clocks[key] = after
            if before is not None and before.told and awaited.ending is not None:
                facts = {"resolved": True, "since": before.last, "group": after.group}
                change.owed += self._owed(event, awaited.ending, now, facts)

    def _tell(self, clock: Clock, rule: Rule, now: datetime, change: Change) -> Clock:
        event, told = silence(clock)
        change.clocks[clock.id] = told
        facts = {"since": clock.last, "group": clock.group}
        change.owed += self._owed(event, rule, now, facts)
        return told

    def _owed(
        self, event: ChangeEvent, rule: Rule, now: datetime, facts: dict[str, object]
    ) -> list[Delivery]:
        return planning.owed(event, [rule], self._cluster, self._partition, now, facts)
