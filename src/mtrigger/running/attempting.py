"""One attempt: a delivery's action is run, and whatever comes of it becomes an outcome.

Promise: `outcome_of` is the one place where an exception becomes an outcome. Whatever an action raises, only
its own delivery suffers.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mtrigger.actions.base import Action
from mtrigger.actions.breakers import DestinationDown
from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Retrying
from mtrigger.effects import Effect
from mtrigger.errors import MtriggerError, PermanentError, RetryLater
from mtrigger.events import ChangeEvent
from mtrigger.retry import after_failure
from mtrigger.rules import CONCURRENCY, Rule
from mtrigger.running.ageing import age
from mtrigger.scopes import work_for
from mtrigger.supervision import steady_time

LONGEST_TEXT = 2_000
"""Characters of an error or of an action's account that are kept: every attempt adds one to the row."""

Complete = Callable[[ChangeEvent], Awaitable[ChangeEvent]]
"""Gives an event the document that was too large to be stored with it (see `lookups`)."""


Learn = Callable[[ChangeEvent], Awaitable[Mapping[str, Any]]]
"""Finds out what an attempt is to tell besides its event (see `queries`); asked anew at every attempt."""


async def as_stored(event: ChangeEvent) -> ChangeEvent:
    """The event as it is, whatever it lacks."""
    return event


@dataclass(frozen=True, slots=True)
class Runner:
    """How the deliveries of one line are run: the action, opened, its rule, and how many attempts of the line
    may run at the same time. `learn` is asked for the facts of each attempt, where there are any to find out.
    """

    rule: Rule
    action: Action
    concurrency: int = CONCURRENCY
    learn: Learn | None = None


def now_as_stored() -> datetime:
    """The time to the millisecond, as rows keep it, so that attempts alike can be told to be alike."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class Held:
    """No attempt was made, and none is counted: ask again in so many seconds, or once `destination` is up if
    that is what it waits for. `reason` says what for."""

    seconds: float
    reason: str
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome is durable already, because it was written together with its effect. None: the delivery was
    not owed any more, and nothing was done."""

    outcome: Delivered | None


CarryOut = Callable[[Effect], Awaitable[Delivered | Written]]
"""Has an action's effect carried out, together with the success of its attempt or before that is written."""


async def outcome_of(
    runner: Runner,
    delivery: Delivery,
    complete: Complete,
    now: datetime,
    facts: Mapping[str, Any],
    carry_out: CarryOut,
) -> Outcome | Written | Held:
    """Run the action; every exception becomes an outcome here and nowhere else. `facts` are what its scope
    holds besides the event (see `scopes`)."""
    try:
        event = await complete(delivery.event)
        if event.flaw:
            raise PermanentError(f"the change cannot be read, so the action was not run: {event.flaw}")
        if runner.learn is not None:
            facts = {**facts, **await runner.learn(event)}
        whole = delivery if event is delivery.event else replace(delivery, event=event)
        account = await runner.action.run(work_for(runner.rule, whole, now, facts))
        if isinstance(account, Effect):
            return await carry_out(account)
        detail = storable(str(account or ""))  # other packages' actions may return what they like
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # we are stopping
        return _failed(runner, delivery, error)  # the action's own doing: it awaited something cancelled
    except DestinationDown as down:
        return _waiting(runner, delivery, down)
    # Whatever an action raises, only its own delivery suffers: also where it would end mtrigger.
    except (Exception, SystemExit, BaseExceptionGroup) as error:  # noqa: BLE001 - see above
        return _failed(runner, delivery, error)
    return Delivered(detail)


def _waiting(runner: Runner, delivery: Delivery, down: DestinationDown) -> Held | Dead:
    """What waits for a destination is asked about again when it is too old to wait on."""
    left = runner.rule.retry.max_age - age(runner.rule, delivery)
    if left <= 0:
        return Dead(storable(f"{down} (gave up: older than {runner.rule.retry.max_age:g} s)"))
    return Held(left, str(down), down.destination)


def _failed(runner: Runner, delivery: Delivery, error: BaseException) -> Retrying | Dead:
    chance = random.random()  # noqa: S311 - jitter
    policy, seconds = runner.rule.retry, age(runner.rule, delivery)
    return after_failure(delivery, error, describe(error), policy, seconds, datetime.now(UTC), chance)


def loaded(delivery: Delivery, runner: Runner | None) -> Delivery:
    """A delivery from the outbox with its times in steady time, due no later than `runner` lets one wait: no
    clock that is set, here or where it was tried before, puts it off or makes it old."""
    if delivery.due_at is None:
        return delivery  # not tried yet: whether clocks were set is asked when it fails
    longest = runner.rule.retry.max_age if runner is not None else 0.0
    due_at = steady_time.reached(delivery.due_at, longest)
    return replace(delivery, due_at=due_at, created_at=steady_time.begun(delivery.created_at))


def failed(delivery: Delivery, outcome: Retrying, runner: Runner) -> Delivery:
    """A delivery whose attempt has failed, with its times in steady time likewise."""
    created_at = delivery.created_at if delivery.attempts else steady_time.begun(delivery.created_at)
    due_at = steady_time.reached(outcome.due_at, runner.rule.retry.max_age)
    return replace(delivery.after(outcome), due_at=due_at, created_at=created_at)


def describe(error: BaseException) -> str:
    """An exception in one line: its text, and its type where the text alone says little."""
    try:
        text = storable(str(error))
    except Exception:  # noqa: BLE001 - the exception is a user's own and cannot even say what it is
        text = ""
    if isinstance(error, (PermanentError, RetryLater, MtriggerError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def storable(text: str) -> str:
    """`text` in one line of bounded length that can be stored: without halves of surrogate pairs."""
    if not text:
        return ""
    line = " ".join(text[: 2 * LONGEST_TEXT].split()).encode("utf-8", "replace").decode()
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…"
