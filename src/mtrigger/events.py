"""What happened: one change event, as every other module sees it.

A `ChangeEvent` is made from the document a change stream yields and can be stored in a delivery's row and
read back without loss. Positions are the `_data` strings of resume tokens: MongoDB encodes them so that
comparing two as text compares their order in the stream.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

from bson import json_util
from bson.timestamp import Timestamp

from mtrigger.resume_tokens import position_of
from mtrigger.transactions import transaction_of

Document = Mapping[str, Any]

Image = Literal["stored", "post-image", "look-up", "partial", "pre-image", "none"]
"""Where `ChangeEvent.document` comes from.

stored      the event itself (insert, replace): exactly the document after the change
post-image  the collection keeps post-images: exactly the document after the change
look-up     read a moment later; the fields this update set are the update's own
partial     the document was gone when it was looked up: its key and the fields this update set
pre-image   a delete, from a collection that keeps pre-images: the document's last state
none        not known (an update that was not looked up, a delete without pre-image)
"""

DATA_OPERATIONS = ("insert", "update", "replace", "delete")

DEAD_LETTER: Final = "dead_letter"
"""The operation of an event that is no change: a delivery has died. `document` says which, and why."""

SCHEDULE: Final = "schedule"
"""The operation of an event that is no change: a scheduled time has come (see `schedules`)."""

ABSENT: Final = "absent"
"""The operation of an event that is no change: nothing has come for too long (see `standing.clocks`)."""

MESSAGE: Final = "message"
"""The operation of an event that is no change: a message of a topic (see `topics.message_events`)."""

Part = Literal["document", "before", "updated", "raw", "key"]
"""A part of an event that may be too large to travel or to be stored with it."""

RESCAN = "rescan"
"""The operation of an event that is no change: a document was found as it is. Its token is made by
`ChangeEvent.of_document`."""

_NOTHING: Document = {}

_PLACE_AT, _PLACE_END = 20, 32
"""Where the token of a rescan holds its place in the order of reading."""


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One change that happened.

    `token` is the sortable position of the event; `key` the documentKey (`_id` and shard key);
    `updated` maps dotted paths to new values and `removed` lists dotted paths (updates only);
    `time` is the server's wall clock, aware, in UTC.

    `left_out` names the parts that were too large to come along; `flaw` says, when something in the event
    cannot be read, what and why, and `raw` then holds the bytes. `size` is about how many bytes it takes
    (0: not known, little). `transaction` names the transaction it was part of, "" outside of one.
    """

    token: str
    operation: str
    database: str
    collection: str
    key: Document
    document: Document | None
    cluster_time: Timestamp
    time: datetime
    before: Document | None = None
    updated: Document = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    truncated: tuple[str, ...] = ()
    image: Image = "stored"
    left_out: tuple[Part, ...] = ()
    flaw: str = ""
    raw: bytes = b""
    size: int = field(default=0, compare=False)
    transaction: str = ""

    @property
    def namespace(self) -> str:
        """`database.collection`; empty for what happened in none."""
        return f"{self.database}.{self.collection}" if self.database else ""

    @property
    def identity(self) -> str:
        """What is the same whenever the event is read again: its token, but for what may shift: the place in
        the order of reading that a rescan's token holds, and the time of a silence, whose length may have
        been set anew. A message is the same whatever its number."""
        if self.operation in (ABSENT, MESSAGE):
            return self.token[_PLACE_AT:]
        return self.token[:_PLACE_AT] + self.token[_PLACE_END:] if self.operation == RESCAN else self.token

    @property
    def touched(self) -> tuple[str, ...]:
        """The dotted paths this update set, removed or truncated."""
        return (*self.updated, *self.removed, *self.truncated)

    @property
    def changed(self) -> dict[str, Any]:
        """Path -> new value for everything this change set; a removed path maps to None."""
        if self.operation == "update":
            return {**self.updated, **dict.fromkeys(self.removed)}
        if self.operation in ("insert", "replace") and self.document is not None:
            before, now = self.before or _NOTHING, self.document
            new = {name: value for name, value in now.items() if name not in before or before[name] != value}
            return {**new, **{name: None for name in before if name not in now}}
        return {}

    def emptied(self) -> Self:
        """The same event as it is kept for ever: what happened to which document, and when."""
        return replace(
            self,
            document=None,
            before=None,
            updated=_NOTHING,
            removed=(),
            truncated=(),
            cluster_time=Timestamp(0, 0),
            image="none",
            left_out=(),
            flaw="",
            raw=b"",
        )

    def with_document(
        self, document: Document, image: Image, size: int = 0, flaw: str = "", raw: bytes = b""
    ) -> Self:
        """The same event with its document filled in, of so many bytes; `flaw` says what in its bytes, `raw`,
        cannot be read. A flaw that the event has already stands before it."""
        left_out = self.left_out and tuple(part for part in self.left_out if part != "document")
        return replace(
            self,
            document=document,
            image=image,
            left_out=left_out,
            size=self.size + size,
            flaw=self.flaw or flaw,
            raw=self.raw or raw,
        )

    @classmethod
    def from_change(cls, change: Document, flaw: str = "", raw: bytes = b"", size: int = 0) -> Self:
        """Make an event from a document of a change stream. Unknown operation types are kept as they are;
        `leftOut` names what was too large to be sent (see `large_events.SHORTENING`)."""
        operation = str(change.get("operationType", ""))
        namespace = change.get("ns") or _NOTHING
        description = change.get("updateDescription") or _NOTHING
        document, before = change.get("fullDocument"), change.get("fullDocumentBeforeChange")
        image: Image = "none"
        if document is not None:
            image = "post-image" if operation == "update" else "stored"
        elif operation == "delete" and before is not None:
            document, image = before, "pre-image"
        cluster_time = change.get("clusterTime") or Timestamp(0, 0)
        wall_time = change.get("wallTime")
        if not isinstance(wall_time, datetime):
            wall_time = datetime.fromtimestamp(cluster_time.time, UTC)
        elif wall_time.tzinfo is None:
            wall_time = wall_time.replace(tzinfo=UTC)
        return cls(
            token=position_of(change["_id"]["_data"]),
            operation=operation,
            database=namespace.get("db", ""),
            collection=namespace.get("coll", ""),
            key=change.get("documentKey") or _NOTHING,
            document=document,
            before=before,
            updated=description.get("updatedFields") or _NOTHING,
            removed=tuple(description.get("removedFields") or ()),
            truncated=tuple(array["field"] for array in description.get("truncatedArrays") or ()),
            cluster_time=cluster_time,
            time=wall_time,
            image=image,
            left_out=tuple(change.get("leftOut") or ()),
            flaw=flaw,
            raw=raw,
            size=size,
            transaction=transaction_of(change) if "txnNumber" in change else "",
        )

    @classmethod
    def of_document(
        cls, namespace: tuple[str, str], document: Document, noted: Timestamp, place: int
    ) -> Self:
        """What a rescan, which began at `noted`, found as the `place`-th one: a document of a (database,
        collection).

        Its token sorts behind every change before `noted`, before every change from then on, and by `place`
        among the documents of the rescan.
        """
        database, collection = namespace
        key = {"_id": document["_id"]}
        name = json_util.dumps([database, collection, key], json_options=json_util.CANONICAL_JSON_OPTIONS)
        start = f"82{noted.time:08X}{noted.inc:08X}00"
        return cls(
            token=f"{start}{place:012X}{hashlib.sha256(name.encode()).hexdigest()[:32].upper()}",
            operation=RESCAN,
            database=database,
            collection=collection,
            key=key,
            document=document,
            cluster_time=noted,
            time=datetime.fromtimestamp(noted.time, UTC),
        )

    @classmethod
    def unknown(cls, token: str, flaw: str) -> Self:
        """An event of which nothing but its position can be made out; `flaw` says why."""
        return cls(
            token=token,
            operation="unknown",
            database="",
            collection="",
            key=_NOTHING,
            document=None,
            cluster_time=Timestamp(0, 0),
            time=datetime.fromtimestamp(0, UTC),
            image="none",
            flaw=flaw,
        )

    def to_row(self) -> dict[str, Any]:
        """The event as a BSON-ready document, for a delivery's row. Dotted paths are kept as pairs, so that
        they need no escaping."""
        row: dict[str, Any] = {
            "token": self.token,
            "operation": self.operation,
            "database": self.database,
            "collection": self.collection,
            "key": self.key,
            "document": self.document,
            "before": self.before,
            "updated": [[path, value] for path, value in self.updated.items()],
            "removed": list(self.removed),
            "truncated": list(self.truncated),
            "cluster_time": self.cluster_time,
            "time": self.time,
            "image": self.image,
        }
        if self.left_out or self.flaw or self.raw:
            seldom = {"left_out": list(self.left_out), "flaw": self.flaw, "raw": self.raw}
            row |= {name: value for name, value in seldom.items() if value}
        if self.transaction:
            row["transaction"] = self.transaction
        return row

    @classmethod
    def from_row(cls, row: Document) -> Self:
        """Read back what `to_row` wrote."""
        time: datetime = row["time"]
        return cls(
            token=row["token"],
            operation=row["operation"],
            database=row["database"],
            collection=row["collection"],
            key=row["key"],
            document=row["document"],
            before=row["before"],
            updated={path: value for path, value in row["updated"]},  # noqa: C416 - dict() loses the types
            removed=tuple(row["removed"]),
            truncated=tuple(row["truncated"]),
            cluster_time=row["cluster_time"],
            time=time if time.tzinfo else time.replace(tzinfo=UTC),
            image=row["image"],
            left_out=tuple(row.get("left_out") or ()),
            flaw=row.get("flaw") or "",
            raw=bytes(row.get("raw") or b""),
            transaction=row.get("transaction", ""),
        )
