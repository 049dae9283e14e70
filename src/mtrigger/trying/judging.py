"""Why a rule fires for an event or does not, and what its actions would do: for `mtrigger test` and tests.

Keeps one promise: the verdict and the previews come from the code that runs live (`Matcher`, `planning.owed`,
`scopes.work_for`, `Action.preview`). What is made here beside them only explains. Nothing is sent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mtrigger import actions
from mtrigger.actions.base import Preview
from mtrigger.actions.services import Services
from mtrigger.conditions import Trace
from mtrigger.events import ABSENT, DEAD_LETTER, MESSAGE, SCHEDULE, ChangeEvent
from mtrigger.matching import Matcher, touches, wants_dead_letter
from mtrigger.messages import COLLECTIONS
from mtrigger.planning import owed
from mtrigger.rules import Rule
from mtrigger.running.attempting import describe
from mtrigger.scopes import NO_FACTS, work_for
from mtrigger.standing.clocks import Waiting, silence_behind

_OPERATIONS = ("insert", "update", "replace", "delete")


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing a rule asks of an event before it looks at its condition, and what the event has."""

    name: Literal["enabled", "collection", "operations", "fields", "rules", "topic"]
    asked: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """One rule held against one event.

    `trace` tells how the parts of the condition came out; None when there is no condition, or when a demand
    was not met and the condition was never asked.
    """

    rule: Rule
    event: ChangeEvent
    demands: tuple[Demand, ...]
    trace: Trace | None
    fires: bool

    @property
    def wanted(self) -> bool:
        """Whether every demand is met, so that the condition decides."""
        return all(demand.met for demand in self.demands)


@dataclass(frozen=True, slots=True)
class ActionPreview:
    """What one action would do, or why it would fail (`failure`, then `preview` is None)."""

    action: str
    kind: str
    preview: Preview | None
    failure: str = ""


def judge(rule: Rule, event: ChangeEvent) -> Judgement:
    """Hold `rule` against `event`, as if it were handled the moment it happened (`now()` is its time)."""
    demands = _demands(rule, event)
    wanted = all(demand.met for demand in demands)
    trace = rule.condition.trace(event, event.time) if wanted and rule.condition is not None else None
    # No rule is looked up for a scheduled time: it is one rule's own.
    fires = wanted if rule.schedule is not None else bool(Matcher([rule]).matches(event, event.time))
    return Judgement(rule, event, demands, trace, fires)


def judge_enabled(rule: Rule, event: ChangeEvent) -> Judgement:
    """The same for what the rule says, whether or not it is enabled."""
    return judge(replace(rule, enabled=True), event)


def _demands(rule: Rule, event: ChangeEvent) -> tuple[Demand, ...]:
    if rule.schedule is not None:
        return (*_enabled(rule), Demand("operations", SCHEDULE, event.operation, event.operation == SCHEDULE))
    if rule.dead_letters_of is not None:
        return (*_enabled(rule), *_dead_letter_demands(rule, event))
    if rule.topic is not None:
        found = event.collection.removeprefix(COLLECTIONS) if event.operation == MESSAGE else ""
        return (*_enabled(rule), Demand("topic", rule.topic.name, found, found == rule.topic.name))
    operations = ", ".join(name for name in _OPERATIONS if name in rule.operations)
    demands = [
        *_enabled(rule),
        Demand(
            "collection",
            ", ".join(rule.collections.patterns),
            event.namespace,
            rule.collections.include(event.namespace),
        ),
        Demand("operations", operations, event.operation, rule.wants(event.operation)),
    ]
    if rule.fields and event.operation in ("update", "replace"):
        touched = event.touched if event.operation == "update" else tuple(event.changed)
        demands.append(
            Demand("fields", ", ".join(rule.fields), ", ".join(touched), touches(event, rule.fields))
        )
    return tuple(demands)


def _enabled(rule: Rule) -> tuple[Demand, ...]:
    return () if rule.enabled else (Demand("enabled", "true", "false", met=False),)


def _dead_letter_demands(rule: Rule, event: ChangeEvent) -> Iterator[Demand]:
    yield Demand("operations", DEAD_LETTER, event.operation, event.operation == DEAD_LETTER)
    if event.operation == DEAD_LETTER and event.document is not None and rule.dead_letters_of:
        died = str(event.document.get("rule", ""))
        yield Demand("rules", ", ".join(rule.dead_letters_of), died, wants_dead_letter(rule, event))


def previews(
    rule: Rule, event: ChangeEvent, services: Services, facts: Mapping[str, Any] = NO_FACTS
) -> list[ActionPreview]:
    """What each action of `rule` would do for `event`; `facts` are those of several events together."""
    if rule.absent is not None and event.operation != ABSENT:
        event = silence_behind(Waiting(rule.name, rule.absent.seconds, rule.absent.per), event)
    kinds = {entry.name: entry for entry in rule.actions}
    found = []
    for delivery in owed(event, [rule], cluster="", partition="", now=event.time):
        entry = kinds[delivery.action]
        action = actions.kind(entry.kind).open(entry.config, services)
        try:
            preview = action.preview(work_for(rule, delivery, event.time, facts))
        except Exception as error:  # noqa: BLE001 - as an attempt would: other packages raise what they like
            found.append(ActionPreview(entry.name, entry.kind, None, describe(error)))
        else:
            found.append(ActionPreview(entry.name, entry.kind, preview))
    return found
