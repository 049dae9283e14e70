"""What rules would have done with the past: with the changes of the last hours, or with the documents of a
collection. Nothing is sent and nothing is stored.

Promise: what happened is read, looked up, followed and held against the rules as it is live, and passes the
same gates, each change at its own time. So it comes to what it would have come to with rules that began at
the beginning of the stretch, were never stopped, and sent at once (docs/testing-rules.md says what that
leaves out).
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from mtrigger.actions.services import Services
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.position.replaying import Replay, Stretch
from mtrigger.rules import Rule
from mtrigger.schedules import event_of, times_after
from mtrigger.trying.judging import ActionPreview, previews
from mtrigger.trying.trials import Came, Trial, Tried

MOST_TIMES = 100_000
"""Times of a schedule that are looked at."""

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
    several), in how many `digests`, why it kept quiet, and the last ones it would have fired for. A scheduled
    rule has more than `MOST_TIMES` times where `is_endless`."""

    rule: Rule
    came: Counter[Came] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    digests: int = 0
    first: datetime | None = None
    last: datetime | None = None
    shown: list[Shown] = field(default_factory=list)
    is_endless: bool = False

    @property
    def failures(self) -> int:
        """How many of the shown actions could not have been made."""
        return sum(action.preview is None for shown in self.shown for action in shown.actions)

    def take_down(self, tried: Tried) -> None:
        """Count what one change came to."""
        self.came[tried.came] += 1
        if tried.reason:
            group_aside = tried.reason.partition(" for ")[0] if tried.came == "suppressed" else tried.reason
            self.reasons[group_aside] += 1
        if tried.came in ("fires", "resolves") and tried.event is not None:
            time = tried.event.time
            self.first = min(self.first or time, time)
            self.last = max(self.last or time, time)
            self.digests += tried.opens


@dataclass(slots=True)
class Backtest:
    """`rules` held against the past, which `replay` reads for them and their endings; `shown` is how many of
    the latest events of each rule are rendered. `looked_up` are updates that told of no document: they were
    held against the document as it is now."""

    rules: tuple[Rule, ...]
    replay: Replay
    services: Services
    shown: int
    events: int = 0
    looked_up: int = 0

    async def run(self, stretch: Stretch, progress: Progress) -> list[Account]:
        """Read the stretch. Raises PositionError when the history does not reach back so far."""
        past = _Past(self.rules, self.shown)
        if stretch.query is None:
            past.begin(stretch)
        async for events in self.replay.events(stretch):
            for event in events:
                past.consider(event)
            self.events += len(events)
            self.looked_up += sum(event.operation == "update" and event.image != "stored" for event in events)
            progress(self.events)
        if stretch.query is None:
            past.end(stretch)
        for name, account in past.accounts.items():
            account.shown = [self._shown(tried) for tried in past.latest[name]]
        return list(past.accounts.values())

    def _shown(self, tried: Tried) -> Shown:
        rule, event = tried.rule, tried.event
        assert rule is not None  # it fired
        assert event is not None
        actions = tuple(previews(rule, event, self.services, tried.facts))
        return Shown(event.operation, event.namespace, event.key, event.time, actions)


class _Past:
    """What rules make of events that come in their order, and of the time between them."""

    def __init__(self, rules: tuple[Rule, ...], shown: int) -> None:
        self.accounts = {rule.name: Account(rule) for rule in rules}
        self.latest: dict[str, deque[Tried]] = {rule.name: deque(maxlen=shown) for rule in rules}
        self._trial = Trial()
        self._matcher = Matcher(rules)
        self._waiting = [rule for rule in rules if rule.absent is not None]
        self._followed = {
            rule.name: rule for rule in rules if rule.ending is not None and rule.absent is None
        }
        endings = (rule.ending for rule in self._followed.values())
        self._over = Matcher(ending for ending in endings if ending is not None)

    def begin(self, stretch: Stretch) -> None:
        """Time begins."""
        for rule in self._waiting:
            self._trial.begin(rule, stretch.since)

    def consider(self, event: ChangeEvent) -> None:
        """Something happened."""
        for rule in self._waiting:
            self._keep(rule, *self._trial.silences(rule, event.cluster_time))
        firing = {rule.name: rule for rule in self._matcher.matches(event, event.time)}
        over = {ending.name: self._followed[ending.name] for ending in self._over.matches(event, event.time)}
        reached = datetime.fromtimestamp(event.cluster_time.time, UTC)
        for name, rule in (over | firing).items():
            # Who waits goes by the stream's time, of which the clock of a server may be ahead.
            now = event.time if rule.absent is None else reached
            self._keep(rule, self._trial.consider(rule, event, now, fires=name in firing))

    def end(self, stretch: Stretch) -> None:
        """Nothing happened since; and what had its own times."""
        for rule in self._waiting:
            self._keep(rule, *self._trial.silences(rule, stretch.until))
        for account in self.accounts.values():
            self._count_times(account, stretch)

    def _keep(self, rule: Rule, *tried: Tried) -> None:
        account = self.accounts[rule.name]
        for one in tried:
            if one.came != "ignored":
                account.take_down(one)
            if one.came in ("fires", "resolves"):
                _show(self.latest[rule.name], one, is_more=rule.digest is not None and not one.opens)

    def _count_times(self, account: Account, stretch: Stretch) -> None:
        """The times of a scheduled rule that lie in the stretch."""
        rule = account.rule
        if rule.schedule is None:
            return
        since, until = (datetime.fromtimestamp(time.time, UTC) for time in (stretch.since, stretch.until))
        for number, time in enumerate(islice(times_after(rule.schedule, since), MOST_TIMES + 1)):
            account.is_endless = number == MOST_TIMES
            if time > until or account.is_endless:
                return
            account.take_down(self._trial.consider(rule, event_of(rule, time), time, fires=True))


def _show(latest: deque[Tried], tried: Tried, *, is_more: bool) -> None:
    """Keep what is to be shown. What `is_more` of a digest stands for all of it."""
    for place, other in enumerate(latest if is_more else ()):
        if other.rule is tried.rule and other.facts.get("group") == tried.facts.get("group"):
            latest[place] = tried
            return
    latest.append(tried)
