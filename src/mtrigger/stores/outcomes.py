"""What attempts came to, as updates of the outbox's rows: no I/O.

Promises: applied twice (after a lost reply) an update changes nothing the second time; a row's history tells
of each attempt when it began, to the millisecond, how long it took, and what came of it. What came of many
attempts alike is one update, which costs the server a third of what one for each row does.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo import UpdateMany, UpdateOne

from mtrigger.deliveries import Dead, Delivered, Retrying, Settlement, Status, Suppressed
from mtrigger.stores.base import ATTEMPTS_LOGGED
from mtrigger.stores.rows import KEEP

MOST_AT_ONCE = 100
"""Rows in one update. More save nothing, and the server would do them all before it does anything else."""

Settling = UpdateOne | UpdateMany


class _Closing(NamedTuple):
    """What closes a row for good, without an error: the same for every attempt that was alike."""

    number: int
    at: datetime
    took: float
    status: Status
    detail: str


def settling(settlements: Sequence[Settlement]) -> list[Settling]:
    """The updates that write `settlements`.

    A row that is delivered or suppressed is never opened again, so that it is open says all: the outcome is
    not written yet. One that failed may be open, or have been opened again: its history is asked whether
    it holds this attempt.
    """
    updates: list[Settling] = []
    alike: dict[_Closing, list[str]] = {}
    for settlement in settlements:
        match settlement.outcome:
            case Delivered(detail):
                alike.setdefault(_closing(settlement, Status.DELIVERED, detail), []).append(
                    settlement.delivery.id
                )
            case Suppressed(reason):
                alike.setdefault(_closing(settlement, Status.SUPPRESSED, reason), []).append(
                    settlement.delivery.id
                )
            case Retrying() | Dead():
                updates.append(_failing(settlement, settlement.outcome))
    for closing, ids in alike.items():
        update = _closed(closing)
        for start in range(0, len(ids), MOST_AT_ONCE):
            some = ids[start : start + MOST_AT_ONCE]
            wanted: dict[str, Any] = {"_id": {"$in": some} if len(some) > 1 else some[0], "open": True}
            updates.append((UpdateMany if len(some) > 1 else UpdateOne)(wanted, update))
    return updates


def _closing(settlement: Settlement, status: Status, detail: str) -> _Closing:
    return _Closing(settlement.delivery.attempts + 1, settlement.at, settlement.took, status, detail)


def _closed(closing: _Closing) -> dict[str, Any]:
    ended_at = closing.at + timedelta(seconds=closing.took)
    fields = {
        "attempts": closing.number,
        "status": closing.status.value,
        "settled_at": ended_at,
        "expires_at": ended_at + KEEP,
    }
    attempt = _attempt(closing.number, closing.at, closing.took, closing.status, closing.detail)
    return {
        "$set": fields,
        "$push": attempt,
        "$unset": {"open": "", "reopened": "", "due_at": "", "error": ""},
    }


def _failing(settlement: Settlement, outcome: Retrying | Dead) -> UpdateOne:
    delivery, number = settlement.delivery, settlement.delivery.attempts + 1
    fields: dict[str, Any] = {"attempts": number, "error": outcome.error, "admitted": True}
    update: dict[str, Any] = {"$set": fields}
    if isinstance(outcome, Retrying):
        status = Status.RETRYING
        fields |= {"status": status.value, "due_at": outcome.due_at}
    else:
        status = Status.DEAD
        fields |= {"status": status.value, "settled_at": settlement.ended_at}
        update["$unset"] = {"open": "", "reopened": "", "due_at": ""}
    update["$push"] = _attempt(number, settlement.at, settlement.took, status, outcome.error)
    unwritten = {"$not": {"$elemMatch": {"number": number, "at": settlement.at}}}
    return UpdateOne({"_id": delivery.id, "open": True, "log": unwritten}, update)


def _attempt(number: int, at: datetime, took: float, status: Status, detail: str) -> dict[str, Any]:
    """One more line of a row's history, as the operand of `$push`."""
    line = {"number": number, "at": at, "took": took, "outcome": status.value, "detail": detail}
    return {"log": {"$each": [line], "$slice": -ATTEMPTS_LOGGED}}
