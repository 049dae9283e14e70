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
    """Ask about `delivery` with the memory of its group. What was tried before is only asked about its hours:
    a retry, or an operator's wish, is not counted again."""
    if delivery.admitted:
        hours = _outside_hours(rule, now)
        held = hours if isinstance(hours, Hold) else None
        return Admission(held or Pass(_facts(rule, delivery, state)), state)
    if rule.count is not None:
        state = _counted(rule.count, delivery, state)
    verdict = (
        _too_few(rule.count, delivery, state)
        or _wished_away(rule, delivery, wishes, now)
        or _too_old(rule, delivery, now)
        or _outside_hours(rule, now)
    )
    if verdict is None and rule.throttle is not None:
        verdict, state = _throttled(rule.throttle, delivery, state, now)
    return Admission(verdict or Pass(_facts(rule, delivery, state)), state)


def after(rule: Rule, delivery: Delivery, state: GroupState, outcome: Outcome, now: datetime) -> GroupState:
    """The memory of the group once an attempt at `delivery` came to `outcome`: only a success throttles."""
    if rule.throttle is None or not isinstance(outcome, Delivered):
        return state
    held_to = max(state.held_to, delivery.position)
    return replace(state, sent_at=now, sent_by=delivery.id, held_back=0, held_to=held_to)


def _counted(count: Count, delivery: Delivery, state: GroupState) -> GroupState:
    """The memory with the event of `delivery` in it, if it is not there yet."""
    if delivery.position <= state.counted_to:
        return state
    times = (*state.times, delivery.event.time)
    since = max(times) - timedelta(seconds=count.within)
    within = tuple(sorted(time for time in times if time > since))[-count.at_least :]
    if len(within) >= count.at_least:
        return replace(state, counted_to=delivery.position, times=(), fired_by=delivery.id)
    return replace(state, counted_to=delivery.position, times=within)


def _too_few(count: Count | None, delivery: Delivery, state: GroupState) -> Suppress | None:
    if count is None or state.fired_by == delivery.id:
        return None
    of = f"{count.at_least} within {format_duration(count.within)}"
    return Suppress(f"counted: {len(state.times)} of {of}{_per(delivery, count.per)}")


def _wished_away(rule: Rule, delivery: Delivery, wishes: Wishes, now: datetime) -> Suppress | None:
    pause = wishes.pauses.get(rule.name)
    if pause is not None and pause.drop:
        return Suppress("the rule is paused" + (f": {pause.reason}" if pause.reason else ""))
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
    if sent_at is None or state.sent_by == delivery.id:
        return None, state
    # A clock that was set back since must not lengthen the window: it is open or over.
    if not sent_at <= now < sent_at + timedelta(seconds=throttle.every):
        return None, state
    if delivery.position > state.held_to:
        state = replace(state, held_back=state.held_back + 1, held_to=delivery.position)
    every = format_duration(throttle.every)
    return Suppress(f"throttled: one every {every}{_per(delivery, throttle.per)}"), state


def _facts(rule: Rule, delivery: Delivery, state: GroupState) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if rule.throttle is not None:
        facts["held_back"] = state.held_back
    if rule.count is not None:
        facts["count"] = rule.count.at_least
    if rule.grouped_by:
        facts["group"] = group_of(delivery.event, rule.grouped_by)
    return facts


def _per(delivery: Delivery, per: Per) -> str:
    return f" for {shown_group(group_of(delivery.event, per))}" if per else ""
