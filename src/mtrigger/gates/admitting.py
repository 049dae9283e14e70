"""Asks the gates in turn: may this delivery's action run, is it left out, or does it wait?

The order: what counts is counted first, whatever else holds, so that a window never misses a change; then a
pause that drops, silences, age, hours; the throttle comes last, because only what would have been sent is
held back by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from mtrigger.config_types import format_duration
from mtrigger.deliveries import Delivered, Delivery, Outcome
from mtrigger.gates.hours import opens_in
from mtrigger.gates.silences import Wishes
from mtrigger.gates.state import GroupState
from mtrigger.grouping import group_of, shown_group
from mtrigger.quiet import Count, Per, Throttle
from mtrigger.rules import Rule


@dataclass(frozen=True, slots=True)
class Pass:
    """The action may run. `facts` are names that its templates see besides those of the event."""

    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suppress:
    """The action is left out, for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Ask again in so many seconds; nothing is written meanwhile."""

    seconds: float
    reason: str


Verdict = Pass | Suppress | Hold


@dataclass(frozen=True, slots=True)
class Admission:
    """What the gates say of a delivery, and the memory of its group as it is from then on."""

    verdict: Verdict
    state: GroupState


def admission(rule: Rule, delivery: Delivery, state: GroupState, wishes: Wishes, now: datetime) -> Admission:
    """Ask about `delivery` with the memory of its group.

    What was let through before (a retry, or an operator's wish) is not counted and not throttled again: only
    wishes and hours can stop it. What was left out before stays so. A change that cannot be read is let
    through, and dies of that: nobody knows what it should count for.
    """
    if delivery.event.flaw:
        return Admission(Pass(), state)
    if delivery.admitted or state.passed == delivery.id:
        verdict = _stopped(rule, delivery, wishes, now) or Pass(_facts(rule, delivery, state))
        return Admission(verdict, state)
    if delivery.id in state.left_out:
        return Admission(Suppress(f"left out already, before a restart, by {_keepers(rule)}"), state)
    left_out, state = _judged(rule, delivery, state, wishes, now)
    verdict = left_out or Pass(_facts(rule, delivery, state))
    if remembers(rule):
        match verdict:
            case Pass():
                state = replace(state, passed=delivery.id)
            case Suppress():
                state = state.leaving_out(delivery.id)
    return Admission(verdict, state)


def remembers(rule: Rule) -> bool:
    """Whether what becomes of one delivery of `rule` depends on others: it has a memory for each group."""
    return rule.throttle is not None or rule.count is not None


def after(rule: Rule, delivery: Delivery, state: GroupState, outcome: Outcome, now: datetime) -> GroupState:
    """The memory of the group once an attempt at `delivery` came to `outcome`: only a success throttles."""
    if rule.throttle is None or not isinstance(outcome, Delivered):
        return state
    if state.sent_by == delivery.id:  # the same one again, after a crash: it told of the same ones
        return replace(state, sent_at=now)
    return replace(state, sent_at=now, sent_by=delivery.id, told=state.held_back, held_back=0)


def _stopped(rule: Rule, delivery: Delivery, wishes: Wishes, now: datetime) -> Suppress | Hold | None:
    """What can stop a delivery that was let through before. An operator who wants it tried again (its
    attempts count from nothing) knows of the silences."""
    if (dropped := _dropped(rule, wishes)) is not None:
        return dropped
    if delivery.attempts and (silenced := _silenced(rule, delivery, wishes, now)) is not None:
        return silenced
    hours = _outside_hours(rule, now)
    return hours if isinstance(hours, Hold) else None


def _judged(
    rule: Rule, delivery: Delivery, state: GroupState, wishes: Wishes, now: datetime
) -> tuple[Suppress | Hold | None, GroupState]:
    """What keeps a delivery back that was not asked about yet, and the memory with it in it."""
    too_few = None
    if rule.count is not None:
        too_few, state = _counted(rule.count, delivery, state)
    kept_back = (
        too_few
        or _dropped(rule, wishes)
        or _silenced(rule, delivery, wishes, now)
        or _too_old(rule, delivery, now)
        or _outside_hours(rule, now)
    )
    if kept_back is None and rule.throttle is not None:
        return _throttled(rule.throttle, delivery, state, now)
    return kept_back, state


def _counted(count: Count, delivery: Delivery, state: GroupState) -> tuple[Suppress | None, GroupState]:
    """The memory with the event of `delivery` in it. A window ends with the latest change that counts, in
    whatever order they come."""
    times = (*state.times, delivery.event.time)
    since = max(times) - timedelta(seconds=count.within)
    within = tuple(sorted(time for time in times if time > since))
    if len(within) >= count.at_least:
        return None, replace(state, times=())
    of = f"{count.at_least} within {format_duration(count.within)}"
    too_few = Suppress(f"counted: {len(within)} of {of}{_per(delivery, count.per)}")
    return too_few, replace(state, times=within)


def _dropped(rule: Rule, wishes: Wishes) -> Suppress | None:
    pause = wishes.pauses.get(rule.name)
    if pause is None or not pause.drop:
        return None
    return Suppress("the rule is paused" + (f": {pause.reason}" if pause.reason else ""))


def _silenced(rule: Rule, delivery: Delivery, wishes: Wishes, now: datetime) -> Suppress | None:
    for silence in wishes.silences.get(rule.name, ()):
        if silence.covers(delivery.event, now):
            until = silence.until.isoformat(timespec="seconds")
            return Suppress(f"silenced until {until}" + (f": {silence.comment}" if silence.comment else ""))
    return None


def _too_old(rule: Rule, delivery: Delivery, now: datetime) -> Suppress | None:
    if rule.max_age is None or now - delivery.event.time <= timedelta(seconds=rule.max_age):
        return None
    return Suppress(f"the change is older than {format_duration(rule.max_age)} (max_age)")


def _outside_hours(rule: Rule, now: datetime) -> Suppress | Hold | None:
    if rule.active is None or not (wait := opens_in(rule.active, now)):
        return None
    if rule.active.otherwise == "skip":
        return Suppress("outside the rule's active hours")
    return Hold(wait, "outside the rule's active hours")


def _throttled(
    throttle: Throttle, delivery: Delivery, state: GroupState, now: datetime
) -> tuple[Suppress | None, GroupState]:
    sent_at = state.sent_at
    # A clock that was set back since must not lengthen the window: it is open or over.
    if sent_at is None or not sent_at <= now < sent_at + timedelta(seconds=throttle.every):
        return None, state
    every = format_duration(throttle.every)
    throttled = Suppress(f"throttled: one every {every}{_per(delivery, throttle.per)}")
    return throttled, replace(state, held_back=state.held_back + 1)


def _facts(rule: Rule, delivery: Delivery, state: GroupState) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if rule.throttle is not None:
        facts["held_back"] = state.told if state.sent_by == delivery.id else state.held_back
    if rule.count is not None:
        facts["count"] = rule.count.at_least
    if rule.grouped_by:
        facts["group"] = group_of(delivery.event, rule.grouped_by)
    return facts


def _keepers(rule: Rule) -> str:
    return " or ".join(name for name in ("count", "throttle") if getattr(rule, name) is not None)


def _per(delivery: Delivery, per: Per) -> str:
    return f" for {shown_group(group_of(delivery.event, per))}" if per else ""
