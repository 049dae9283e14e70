"""What operators wish of rules: silences (`mtrigger silence`) and pauses (`mtrigger pause`), as values.

A silence leaves out what becomes due while it lasts; a pause keeps it owed, unless it is told to drop it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mtrigger.conditions import Condition
from mtrigger.events import ChangeEvent


@dataclass(frozen=True, slots=True)
class Silence:
    """Deliveries of `rule` whose event `condition` holds for (None: all) are left out before `until`.
    `where` is the condition's text; `comment` says why, `by` who asked for it."""

    id: str
    rule: str
    since: datetime
    until: datetime
    where: str = ""
    condition: Condition | None = None
    by: str = ""
    comment: str = ""

    def covers(self, event: ChangeEvent, now: datetime) -> bool:
        """Whether it is in force at `now` for `event`."""
        return now < self.until and (self.condition is None or self.condition.holds(event, now))


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing of `rule` runs; with `drop`, what becomes due meanwhile is left out. `reason` says why: an
    operator's comment, or what a guard has found."""

    rule: str
    since: datetime
    drop: bool = False
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """All wishes in force, by the name of the rule, and when rules that are not paused were resumed last."""

    silences: Mapping[str, tuple[Silence, ...]] = field(default_factory=dict)
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    resumed: Mapping[str, datetime] = field(default_factory=dict)

    def holds_up(self, rule: str) -> bool:
        """Whether the rule is paused and keeps what it is owed."""
        pause = self.pauses.get(rule)
        return pause is not None and not pause.drop

    def concern(self, rule: str) -> bool:
        """Whether there is a wish about the rule."""
        return rule in self.silences or rule in self.pauses
