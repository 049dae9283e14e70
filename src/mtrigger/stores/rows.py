"""How deliveries and checkpoints look as BSON documents: both ways, without loss, and no I/O.

A delivery's row carries two fields that exist only for indexes: `open` (true while it is owed) and
`expires_at` (set once it is settled and may be forgotten; dead rows never get one).
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from bson.timestamp import Timestamp
from pymongo import UpdateOne

from mtrigger.deliveries import Dead, Delivered, Delivery, Retrying, Settlement, Status, Suppressed
from mtrigger.errors import PositionError
from mtrigger.events import ChangeEvent
from mtrigger.stores.base import ATTEMPTS_LOGGED, DELIVERED_KEPT_SECONDS, Attempt, Checkpoint, Query, Record

KEEP = timedelta(seconds=DELIVERED_KEPT_SECONDS)

Row = Mapping[str, Any]


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """The row of a delivery that has just become owed."""
    return {
        "_id": delivery.id,
        "rule": delivery.rule,
        "action": delivery.action,
        "partition": delivery.partition,
        "lane": delivery.lane,
        "position": delivery.position,
        "status": Status.PENDING.value,
        "open": True,
        "attempts": delivery.attempts,
        "created_at": delivery.created_at,
        "event": delivery.event.to_row(),
        "log": [],
    }


def read_delivery(row: Row) -> Delivery:
    """The delivery in a row."""
    return Delivery(
        id=row["_id"],
        rule=row["rule"],
        action=row["action"],
        partition=row["partition"],
        lane=row["lane"],
        position=row["position"],
        event=ChangeEvent.from_row(row["event"]),
        created_at=row["created_at"],
        attempts=row["attempts"],
        due_at=row.get("due_at"),
    )


def read_record(row: Row) -> Record:
    """The delivery in a row, with its history."""
    log = tuple(Attempt(line["at"], line["took"], line["outcome"], line["detail"]) for line in row["log"])
    status = Status(row["status"])
    return Record(read_delivery(row), status, row.get("error") or "", row.get("settled_at"), log)


def settling(settlement: Settlement) -> UpdateOne:
    """The update that writes what one attempt came to.

    It matches only an open row whose history does not hold this attempt yet, so applying it twice (after a
    lost reply) changes nothing.
    """
    delivery, settled_at = settlement.delivery, settlement.at + timedelta(seconds=settlement.took)
    fields: dict[str, Any] = {"attempts": delivery.attempts + 1}
    match settlement.outcome:
        case Retrying(error, due_at):
            detail = error
            fields |= {"status": Status.RETRYING.value, "due_at": due_at, "error": error}
        case Dead(error):
            detail = error
            fields |= {"status": Status.DEAD.value, "error": error, "settled_at": settled_at}
        case Delivered(detail):
            fields |= {
                "status": Status.DELIVERED.value,
                "settled_at": settled_at,
                "expires_at": settled_at + KEEP,
            }
        case Suppressed(detail):
            fields |= {
                "status": Status.SUPPRESSED.value,
                "settled_at": settled_at,
                "expires_at": settled_at + KEEP,
            }
    number = delivery.attempts + 1
    attempt = {
        "number": number,
        "at": settlement.at,
        "took": settlement.took,
        "outcome": fields["status"],
        "detail": detail,
    }
    update: dict[str, Any] = {
        "$set": fields,
        "$push": {"log": {"$each": [attempt], "$slice": -ATTEMPTS_LOGGED}},
    }
    if not isinstance(settlement.outcome, Retrying):
        update["$unset"] = {"open": "", "reopened": "", "due_at": ""}
        if not isinstance(settlement.outcome, Dead):
            update["$unset"]["error"] = ""
    unwritten = {"$not": {"$elemMatch": {"number": number, "at": settlement.at}}}
    return UpdateOne({"_id": delivery.id, "open": True, "log": unwritten}, update)


def meaning(query: Query) -> dict[str, Any]:
    """The MongoDB filter for the deliveries a person means."""
    wanted: dict[str, Any] = {}
    if query.ids:
        wanted["_id"] = {"$in": list(query.ids)}
    if query.statuses:
        wanted["status"] = {"$in": [status.value for status in query.statuses]}
    if query.rule:
        wanted["rule"] = query.rule
    if query.error:
        wanted["$expr"] = {
            "$gte": [{"$indexOfCP": [{"$ifNull": ["$error", ""]}, {"$literal": query.error}]}, 0]
        }
    bounds = {"$gte": query.since, "$lt": query.until}
    if created := {operator: bound for operator, bound in bounds.items() if bound is not None}:
        wanted["created_at"] = created
    return wanted


def checkpoint_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint's fields but for its `_id` and `previous`."""
    return {
        "token": checkpoint.token,
        "cluster_time": checkpoint.cluster_time,
        "cluster_id": checkpoint.cluster_id,
        "pipeline_hash": checkpoint.pipeline_hash,
        "updated_at": checkpoint.updated_at,
    }


def read_checkpoint(row: Row) -> Checkpoint:
    """The checkpoint in a row.

    Raises PositionError when the row has been damaged; the sentence shows the tokens before it.
    """
    try:
        token, cluster_time = row["token"], row["cluster_time"]
        if token is not None and not isinstance(token["_data"], str):
            raise TypeError("its token is no resume token")
        if not isinstance(cluster_time, Timestamp):
            raise TypeError("its cluster_time is no timestamp")
        return Checkpoint(
            stream=row["_id"],
            token=token,
            cluster_time=cluster_time,
            cluster_id=row["cluster_id"],
            pipeline_hash=row["pipeline_hash"],
            updated_at=row["updated_at"],
            previous=tuple(_tokens(row.get("previous"))),
        )
    except (KeyError, TypeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        tokens = ", ".join(str(token.get("_data")) for token in _tokens(row.get("previous"))) or "none"
        raise PositionError(
            f"The checkpoint {row.get('_id')!r} cannot be read ({reason}). The tokens before it: {tokens}. "
            "Put one of them back with `mtrigger checkpoint set --token …`, or start afresh from a time with "
            "`mtrigger checkpoint set --time …`."
        ) from error


def _tokens(previous: object) -> Iterator[Mapping[str, Any]]:
    """Those of a checkpoint's earlier tokens that can be told to be tokens."""
    for token in previous if isinstance(previous, list) else ():
        if isinstance(token, Mapping):
            yield token
