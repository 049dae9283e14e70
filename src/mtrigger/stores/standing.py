"""What stands between two events (`mtrigger.standing`), kept: the contract, and the store that forgets.

Promise: of two states of one document or group, the one made by the later event stays, whoever writes it and
in whatever order; what was written at one position is written again without harm.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from mtrigger.standing import Alert, Clock, Waiting

DUE_AT_ONCE = 500
"""Clocks that are told of together."""


class Standing(Protocol):
    """Alerts and clocks, by their ids."""

    async def alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        """Those of `ids` that are remembered."""
        ...

    async def keep_alerts(self, alerts: Sequence[Alert]) -> None:
        """Make `alerts` durable. Those that no longer stand are forgotten after some days."""
        ...

    async def clocks(self, ids: Sequence[str]) -> Mapping[str, Clock]:
        """Those of `ids` that run, or whose silence was told."""
        ...

    async def keep_clocks(self, clocks: Sequence[Clock]) -> None:
        """Make `clocks` durable."""
        ...

    async def wait_for(self, waiting: Sequence[Waiting], firsts: Sequence[Clock]) -> None:
        """From now on these rules wait, and no others: the clocks of others, and of groups that a rule has no
        more, are forgotten; one whose rule waits for another time is due accordingly. `firsts` begin to run
        where there is none yet."""
        ...

    async def restart(self, rules: Collection[str], at: datetime) -> None:
        """What came before `at` to `rules` is not known: their clocks that are not told run from then on."""
        ...

    async def due(self, rules: Collection[str], until: datetime, limit: int) -> list[Clock]:
        """At most `limit` clocks of `rules` that are due by then and not told, the earliest first."""
        ...

    async def touch(self) -> None:
        """Write something that means nothing, so that the time of an idle deployment's stream moves on."""
        ...


class MemoryStanding:
    """Alerts and clocks in dictionaries."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self._clocks: dict[str, Clock] = {}

    async def alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        return {key: self._alerts[key] for key in ids if key in self._alerts}

    async def keep_alerts(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            known = self._alerts.get(alert.id)
            if known is None or known.position <= alert.position:
                self._alerts[alert.id] = alert

    async def clocks(self, ids: Sequence[str]) -> Mapping[str, Clock]:
        return {key: self._clocks[key] for key in ids if key in self._clocks}

    async def keep_clocks(self, clocks: Sequence[Clock]) -> None:
        for clock in clocks:
            known = self._clocks.get(clock.id)
            if known is None or known.position <= clock.position:
                self._clocks[clock.id] = clock

    async def wait_for(self, waiting: Sequence[Waiting], firsts: Sequence[Clock]) -> None:
        rules = {rule.rule: rule for rule in waiting}
        kept = [
            clock
            for clock in self._clocks.values()
            if (rule := rules.get(clock.waiting.rule)) is not None and rule.per == clock.waiting.per
        ]
        self._clocks = {clock.id: replace(clock, waiting=rules[clock.waiting.rule]) for clock in kept}
        for clock in firsts:
            self._clocks.setdefault(clock.id, clock)

    async def restart(self, rules: Collection[str], at: datetime) -> None:
        for clock in self._clocks.values():
            if clock.waiting.rule in rules and not clock.told and clock.last < at:
                self._clocks[clock.id] = replace(clock, last=at)

    async def due(self, rules: Collection[str], until: datetime, limit: int) -> list[Clock]:
        found = [
            clock
            for clock in self._clocks.values()
            if clock.waiting.rule in rules and not clock.told and clock.due_at <= until
        ]
        return sorted(found, key=lambda clock: clock.due_at)[:limit]

    async def touch(self) -> None:
        """Nothing to do: what is in memory moves no stream."""
