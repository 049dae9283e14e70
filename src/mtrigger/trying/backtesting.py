"""What rules would have done with the past: with the changes of the last hours, or with the documents of a
collection. Nothing is sent and nothing is stored.

Promise: events are read, looked up and held against the rules as a replay does, and pass the same gates as
live, each at its own time.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mtrigger.actions.services import Services
from mtrigger.deliveries import Delivery
from mtrigger.position.replaying import Replay, Stretch
from mtrigger.rules import Rule
from mtrigger.schedules import times_after
from mtrigger.trying.judging import ActionPreview, previews
from mtrigger.trying.trials import Came, Trial

MOST_TIMES = 100_000
"""Times of a schedule that are counted."""

Progress = Callable[[int], None]
"""Is told how many events were looked at, each time some more were."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One event that a rule would have fired for, and what its actions would have done."""

    operation: str
    namespace: str
    key: Mapping[str, Any]
    time: datetime
    actions: tuple[ActionPreview, ...]


@dataclass(slots=True)
class Account:
    """What one rule would have done: for how many changes it came to what (of its first action, where it has
    several), why it kept quiet, and the last ones it would have fired for."""

    rule: Rule
    came: Counter[Came] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    shown: list[Shown] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """How many of the shown actions could not have been made."""
        return sum(action.preview is None for shown in self.shown for action in shown.actions)


@dataclass(slots=True)
class Backtest:
    """Rules held against the past; `shown` is how many of the latest events of each rule are rendered."""

    replay: Replay
    services: Services
    shown: int
    events: int = 0

    async def run(self, stretch: Stretch, progress: Progress) -> list[Account]:
        """Read the stretch. Raises PositionError when the history does not reach back so far."""
        accounts = {rule.name: Account(rule) for rule in self.replay.rules}
        latest: dict[str, list[tuple[Delivery, Mapping[str, Any]]]] = {}
        trial = Trial()
        async for events, owed in self.replay.deliveries(stretch):
            self.events += events
            for delivery in _first_actions(owed, accounts):
                account = accounts[delivery.rule]
                tried = trial.handle(account.rule, delivery, delivery.event.time)
                _take_down(account, delivery, tried.came, tried.reason)
                if tried.came == "fires" and self.shown:
                    kept = latest.setdefault(delivery.rule, [])
                    kept.append((delivery, tried.facts))
                    del kept[: -self.shown]
            progress(self.events)
        for name, found in latest.items():
            rule = accounts[name].rule
            accounts[name].shown = [self._shown(rule, delivery, facts) for delivery, facts in found]
        for account in accounts.values():
            _count_times(account, stretch)
        return list(accounts.values())

    def _shown(self, rule: Rule, delivery: Delivery, facts: Mapping[str, Any]) -> Shown:
        event = delivery.event
        actions = tuple(previews(rule, event, self.services, facts))
        return Shown(event.operation, event.namespace, event.key, event.time, actions)


def _first_actions(owed: Sequence[Delivery], accounts: Mapping[str, Account]) -> Iterator[Delivery]:
    """The deliveries of each rule's first action: all actions of a rule pass the same gates."""
    for delivery in owed:
        if accounts[delivery.rule].rule.actions[0].name == delivery.action:
            yield delivery


def _take_down(account: Account, delivery: Delivery, came: Came, reason: str) -> None:
    account.came[came] += 1
    if reason:
        account.reasons[reason.partition(" for ")[0]] += 1  # without the group it was for
    if came == "fires":
        account.first = account.first or delivery.event.time
        account.last = delivery.event.time


def _count_times(account: Account, stretch: Stretch) -> None:
    """The times of a scheduled rule that lie in the stretch, when changes are looked at."""
    schedule = account.rule.schedule
    if schedule is None or stretch.query is not None:
        return
    since, until = (datetime.fromtimestamp(time.time, UTC) for time in (stretch.since, stretch.until))
    for time in times_after(schedule, since):
        if time > until or account.came["fires"] >= MOST_TIMES:
            return
        account.came["fires"] += 1
        account.first, account.last = account.first or time, time
