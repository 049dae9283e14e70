"""What attempts came to, as updates of the outbox's rows: no I/O.

Promises: applied twice (after a lost reply) an update changes nothing the second time; a row's history tells
of each attempt when it began, to the millisecond, how long it took, and what came of it. What came of many
attempts alike is one update, which costs the server a third of what one for each row does.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo import UpdateMany, UpdateOne

from mtrigger.deliveries import Dead, Delivered, Retrying, Settlement, Status, Suppressed
from mtrigger.stores.base import ATTEMPTS_LOGGED
from mtrigger.stores.rows import EMPTYING, KEEP

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
    kept: bool
    sealed: bool = False


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
    delivery, sealed = settlement.delivery, settlement.sealed
    at, took = settlement.at, settlement.took
    return _Closing(delivery.attempts + 1, at, took, status, detail, kept=delivery.kept, sealed=sealed)


def _closed(closing: _Closing) -> dict[str, Any]:
    ended_at = closing.at + timedelta(seconds=closing.took)
    fields: dict[str, Any] = {"attempts": closing.number, "status": closing.status.value}
    fields["settled_at"] = ended_at
    if closing.sealed:
        fields["settled_together"] = True
    if not closing.kept:
        fields["expires_at"] = ended_at + KEEP
    if closing.status is Status.SUPPRESSED:
        fields["reason"] = closing.detail  # beside the history, which lists leave out
    attempt = _attempt(closing.number, closing.at, closing.took, closing.status, closing.detail)
    return {
        "$set": fields,
        "$push": attempt,
        "$unset": {
            "open": "",
            "reopened": "",
            "due_at": "",
            "error": "",
            **(EMPTYING if closing.kept else {}),
        },
    }


def following(settlements: Sequence[Settlement]) -> list[UpdateMany]:
    """The updates that settle what is sealed with the head of a digest, once that is settled itself.

    The head's row says by then that it was settled together with them (`settled_together`), so that what a
    crash leaves undone can be told.
    """
    updates: list[UpdateMany] = []
    for settlement in settlements:
        if not settlement.sealed or isinstance(settlement.outcome, Retrying):
            continue  # what is tried again is the head, and what came meanwhile goes with it
        head = settlement.delivery
        sealed = {
            "open": True,
            "partition": head.partition,
            "rule": head.rule,
            "action": head.action,
            "lane": head.lane,
            "digest": head.id,
            "_id": {"$ne": head.id},
        }
        for kept in (False, True):
            row = replace(settlement, delivery=replace(head, kept=kept), sealed=False)
            wanted = {**sealed, "kept": True if kept else {"$ne": True}}
            match settlement.outcome:
                case Delivered(detail):
                    updates.append(UpdateMany(wanted, _closed(_closing(row, Status.DELIVERED, detail))))
                case Suppressed(reason):
                    updates.append(UpdateMany(wanted, _closed(_closing(row, Status.SUPPRESSED, reason))))
                case Dead() as dead:
                    unwritten, update = _failed(row, dead)
                    updates.append(UpdateMany({**wanted, **unwritten}, update))
    return updates


def _failing(settlement: Settlement, outcome: Retrying | Dead) -> UpdateOne:
    unwritten, update = _failed(settlement, outcome)
    return UpdateOne({"_id": settlement.delivery.id, "open": True, **unwritten}, update)


def _failed(settlement: Settlement, outcome: Retrying | Dead) -> tuple[dict[str, Any], dict[str, Any]]:
    """What tells a row that does not know of this attempt yet, and the update that tells it."""
    number = settlement.delivery.attempts + 1
    fields: dict[str, Any] = {"attempts": number, "error": outcome.error, "admitted": True}
    if settlement.delivery.held_until is not None:
        fields["held_until"] = settlement.delivery.held_until
    update: dict[str, Any] = {"$set": fields}
    if isinstance(outcome, Retrying):
        status = Status.RETRYING
        fields |= {"status": status.value, "due_at": outcome.due_at}
    else:
        status = Status.DEAD
        fields |= {"status": status.value, "settled_at": settlement.ended_at}
        if settlement.sealed:
            fields["settled_together"] = True
        update["$unset"] = {"open": "", "reopened": "", "due_at": ""}
    update["$push"] = _attempt(number, settlement.at, settlement.took, status, outcome.error)
    unwritten = {"$not": {"$elemMatch": {"number": number, "at": settlement.at}}}
    return {"log": unwritten}, update


def _attempt(number: int, at: datetime, took: float, status: Status, detail: str) -> dict[str, Any]:
    """One more line of a row's history, as the operand of `$push`."""
    line = {"number": number, "at": at, "took": took, "outcome": status.value, "detail": detail}
    return {"log": {"$each": [line], "$slice": -ATTEMPTS_LOGGED}}
