"""How deliveries and checkpoints look as BSON documents: both ways, without loss, and no I/O.

A delivery's row carries two fields that exist only for indexes: `open` (true while it is owed) and
`expires_at` (set once it is settled and may be forgotten; dead rows never get one).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.timestamp import Timestamp

from mtrigger.deliveries import Delivery, Status
from mtrigger.errors import PositionError
from mtrigger.events import ChangeEvent
from mtrigger.ownership.lease import Lease
from mtrigger.reading.decoding import Options, decoded
from mtrigger.stores.base import (
    DELIVERED_KEPT_SECONDS,
    Attempt,
    Checkpoint,
    Query,
    Record,
    Rescan,
)

_KEPT_TOKENS = 5
KEEP = timedelta(seconds=DELIVERED_KEPT_SECONDS)

Row = Mapping[str, Any]

_ATTEMPT = {"number", "at", "took", "outcome", "detail"}


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """The row of a delivery that has just become owed."""
    row: dict[str, Any] = {
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
    if delivery.depth:
        row |= {"depth": delivery.depth, "through": list(delivery.through)}
    if delivery.kept:
        row["kept"] = True
    if delivery.facts:
        row["facts"] = dict(delivery.facts)
    return row


def stored(raw: bytes, options: Options) -> Row:
    """The row in `raw`, and its `size`. What cannot be read of it is missing, and `unreadable` says so."""
    row, flaw = decoded(raw, options)
    return {**row, "size": len(raw), "unreadable": flaw}


def read_delivery(row: Row) -> Delivery:
    """The delivery in a row. Of a damaged row it is what can be made out; its event has a flaw then, so that
    it dies of that and holds up nothing behind it."""
    return Delivery(
        id=row["_id"],
        rule=row["rule"],
        action=row["action"],
        partition=row.get("partition", ""),
        lane=row.get("lane") or row["_id"],
        position=row.get("position", ""),
        event=_read_event(row),
        created_at=row.get("created_at") or datetime.fromtimestamp(0, UTC),
        attempts=row.get("attempts", 0),
        due_at=row.get("due_at"),
        held_until=row.get("held_until"),
        admitted=row.get("admitted", False),
        depth=row.get("depth", 0),
        kept=row.get("kept", False),
        facts=row.get("facts") or {},
        through=tuple(row.get("through") or ()),
    )


_LET_GO: Row = {
    "token": "",
    "document": None,
    "before": None,
    "updated": [],
    "removed": [],
    "truncated": [],
    "cluster_time": Timestamp(0, 0),
    "image": "none",
}
"""What `ChangeEvent.emptied` is without, as a row has it."""

EMPTYING: Row = {f"event.{name}": "" for name in (*_LET_GO, "left_out", "flaw", "raw")}
"""The `$unset` that empties the event of a row that is kept for ever."""


def _read_event(row: Row) -> ChangeEvent:
    unreadable = row.get("unreadable", "")
    flaw = f"the row in the outbox: {unreadable}" if unreadable else ""
    try:
        emptied = {**_LET_GO, "token": row["position"]} if row.get("kept") else {}
        event = ChangeEvent.from_row({**emptied, **row["event"]})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        flaw = flaw or f"the row in the outbox: its event is damaged ({reason})"
        return replace(ChangeEvent.unknown(row.get("position", ""), flaw), size=row.get("size", 0))
    return replace(event, flaw=flaw or event.flaw, size=row.get("size", 0))


def read_record(row: Row) -> Record:
    """The delivery in a row, with its history, as far as it can be read."""
    log = tuple(
        Attempt(line["number"], line["at"], line["took"], line["outcome"], line["detail"])
        for line in row.get("log", ())
        if isinstance(line, Mapping) and line.keys() >= _ATTEMPT
    )
    status = Status(row["status"])
    error, reason = row.get("error") or "", row.get("reason") or ""
    return Record(read_delivery(row), status, error, row.get("settled_at"), log, reason)


WITHOUT_DOCUMENTS: Row = {
    "event.document": None,
    "event.before": None,
    "event.updated": [],
    "event.raw": "$$REMOVE",
    "log": [],
}
"""What `$set` leaves of a row for a list: a small part of it, that can still be read as a row."""


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
        "rescan": _rescan_row(checkpoint.rescan) if checkpoint.rescan is not None else None,
    }


def has_moved(checkpoint: Checkpoint) -> dict[str, Any]:
    """The value of `starts`, in an update with a pipeline: 0 if `checkpoint` lies behind the stored position,
    else what it was. The first token of a stream that was opened by its time is no progress."""
    there = {"$eq": ["$cluster_time", {"$literal": checkpoint.cluster_time}]}
    same = {"$eq": ["$token", {"$literal": checkpoint.token}]}
    opened = {"$eq": [{"$ifNull": ["$token", None]}, None]}
    rescanned = {"$eq": ["$rescan", {"$literal": checkpoint_fields(checkpoint)["rescan"]}]}
    stands = {"$and": [there, {"$or": [same, opened]}, rescanned]}
    return {"$cond": [stands, {"$ifNull": ["$starts", 0]}, 0]}


def _rescan_row(rescan: Rescan) -> dict[str, Any]:
    return {
        "namespaces": list(rescan.namespaces),
        "after": list(rescan.after),
        "documents": rescan.documents,
        "gap": rescan.gap,
    }


def _read_rescan(row: Any) -> Rescan | None:
    if row is None:
        return None
    return Rescan(tuple(row["namespaces"]), tuple(row["after"]), row["documents"], row["gap"])


def moving(checkpoint: Checkpoint) -> list[Row]:
    """The update, as a pipeline, that moves the position and keeps the token it had.

    Whatever a damaged row holds, an operator's `checkpoint set` must be able to overwrite it. A write that is
    repeated after a lost reply finds its own token there, which is no earlier one.
    """
    same = {"$eq": ["$token", {"$literal": checkpoint.token}]}
    usable = {"$and": [{"$eq": [{"$type": "$token._data"}, "string"]}, {"$not": [same]}]}
    token = {"$cond": [usable, ["$token"], []]}
    before = {"$cond": [{"$isArray": ["$previous"]}, "$previous", []]}
    previous = {"$slice": [{"$concatArrays": [before, token]}, -_KEPT_TOKENS]}
    fields = {name: {"$literal": value} for name, value in checkpoint_fields(checkpoint).items()}
    return [{"$set": {"previous": previous, "starts": has_moved(checkpoint)}}, {"$set": fields}]


def freeing() -> list[Row]:
    """The update, as a pipeline, after which nobody owns the stream. The epoch moves on, so that whoever did
    cannot write any more."""
    epoch = {"$cond": [{"$isNumber": "$lease.epoch"}, {"$add": ["$lease.epoch", 1]}, 1]}
    nobody = {"owner": "", "counter": 0, "seconds": 0.0, "released": True}
    return [
        {"$set": {"next_epoch": epoch}},
        {"$unset": "lease"},
        {"$set": {"lease": {**nobody, "epoch": "$next_epoch"}}},
        {"$unset": "next_epoch"},
    ]


def read_lease(value: object) -> Lease | None:
    """The lease in a row, None if there is none. Raises KeyError or TypeError for a damaged one."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError("its lease is none")
    epoch, counter, seconds = value["epoch"], value["counter"], value["seconds"]
    if not (isinstance(epoch, int) and isinstance(counter, int) and isinstance(seconds, int | float)):
        raise TypeError("its lease holds what is no number")
    asked_by = str(value.get("asked_by", ""))
    return Lease(str(value["owner"]), epoch, counter, float(seconds), bool(value["released"]), asked_by)


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
            rescan=_read_rescan(row.get("rescan")),
            lease=read_lease(row.get("lease")),
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
