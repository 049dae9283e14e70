"""A delivery that dies is an event of its own: what rules of dead letters owe for it. Pure.

Promises: the ids made here are a pure function of (dead delivery, rule, action), so a death that is written
down twice, or a delivery that dies again after an operator's retry, is told once; and nothing is ever owed
for the death of a dead letter's own delivery, so no rule can keep itself busy.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import bson
from bson.errors import BSONError
from bson.timestamp import Timestamp

from mtrigger import planning
from mtrigger.deliveries import Dead, Delivery, Settlement, delivery_id
from mtrigger.events import DEAD_LETTER, ChangeEvent, Document
from mtrigger.matching import Matcher

LARGEST_COPY = 1_000_000
"""Bytes of the document that a dead letter carries. A larger one is left out (null): it stays with the dead
delivery, where `mtrigger deliveries show` has it."""

_NOTHING: Document = {}


def told(settlement: Settlement, matcher: Matcher) -> Settlement:
    """`settlement` with what the rules of dead letters owe for it, if it is a death they want to hear of."""
    outcome = settlement.outcome
    if not isinstance(outcome, Dead):
        return settlement
    dead = replace(settlement.delivery, attempts=settlement.delivery.attempts + 1)
    return replace(settlement, owes=tuple(owed(dead, outcome.error, matcher, settlement.ended_at)))


def owed(dead: Delivery, error: str, matcher: Matcher, now: datetime) -> list[Delivery]:
    """One delivery for each action of each rule of dead letters that holds for the death of `dead`.

    `dead.attempts` is how often it was tried; `now` the moment it died.
    """
    if dead.event.operation == DEAD_LETTER:
        return []
    event = event_of(dead, error, now)
    return [
        replace(delivery, id=delivery_id(DEAD_LETTER, dead.id, delivery.rule, delivery.action))
        for delivery in planning.owed(event, matcher.matches(event, now), "", dead.partition, now)
    ]


def event_of(dead: Delivery, error: str, now: datetime) -> ChangeEvent:
    """The event that `dead` has died of `error`. Its lane is that of the document the delivery was about."""
    event = dead.event
    letter = {
        "delivery": dead.id,
        "rule": dead.rule,
        "action": dead.action,
        "error": error,
        "attempts": dead.attempts,
        "operation": event.operation,
        "namespace": event.namespace,
        "key": event.key,
        "created_at": dead.created_at,
        "document": event.document if _fits(event.document) else None,
    }
    return letter_event(letter, dead.id, now)


def letter_event(letter: Mapping[str, Any], delivery: str, now: datetime) -> ChangeEvent:
    """The event whose document is `letter`; what a hand-written one leaves out is empty.

    The token is made like the stream's (see `resume_tokens`): it grows with the time of death.
    """
    time = Timestamp(int(now.timestamp()), now.microsecond)
    database, _, collection = str(letter.get("namespace") or "").partition(".")
    key = letter.get("key")
    return ChangeEvent(
        token=f"82{time.time:08X}{time.inc:08X}{delivery.upper()}",
        operation=DEAD_LETTER,
        database=database,
        collection=collection,
        key=key if isinstance(key, Mapping) else _NOTHING,
        document=letter,
        cluster_time=time,
        time=now,
    )


def _fits(document: Document | None) -> bool:
    if document is None:
        return True
    try:
        return len(bson.encode(document)) <= LARGEST_COPY
    except BSONError:
        return False  # it could not be stored with the letter either
