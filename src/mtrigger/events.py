"""What happened: one change event, as every other module sees it.

A `ChangeEvent` is made from the document a change stream yields and can be stored in a delivery's row and
read back without loss. Positions are the `_data` strings of resume tokens: MongoDB encodes them so that
comparing two as text compares their order in the stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

from bson.timestamp import Timestamp

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

_NOTHING: Document = {}


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One change that happened.

    `token` is the sortable position of the event; `key` the documentKey (`_id` and shard key);
    `updated` maps dotted paths to new values and `removed` lists dotted paths (updates only);
    `time` is the server's wall clock, aware, in UTC.
    """

    token: str
    operation: str
    database: str
    collection: str
    key: Document
    document: Document | None
    before: Document | None
    updated: Document
    removed: tuple[str, ...]
    truncated: tuple[str, ...]
    cluster_time: Timestamp
    time: datetime
    image: Image

    @property
    def namespace(self) -> str:
        """`database.collection`."""
        return f"{self.database}.{self.collection}"

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

    def with_document(self, document: Document, image: Image) -> Self:
        """The same event with its document filled in."""
        return replace(self, document=document, image=image)

    @classmethod
    def from_change(cls, change: Document) -> Self:
        """Make an event from a document of a change stream. Unknown operation types are kept as they are."""
        operation = str(change["operationType"])
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
            token=change["_id"]["_data"],
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
        )

    def to_row(self) -> dict[str, Any]:
        """The event as a BSON-ready document, for a delivery's row. Dotted paths are kept as pairs, so that
        they need no escaping."""
        return {
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
        )


def cluster_time_of(token: str) -> Timestamp:
    """The cluster time encoded in a resume token's `_data`.

    A token is a KeyString in hexadecimal: the type byte 0x82 (a timestamp), then seconds and increment as
    big-endian 32-bit numbers (MongoDB source, `src/mongo/db/pipeline/resume_token.cpp`).

    Raises ValueError when the text is not such a token.
    """
    if len(token) < 18 or token[:2] != "82":
        raise ValueError(f"not a resume token: {token[:20]!r}")
    return Timestamp(int(token[2:10], 16), int(token[10:18], 16))
