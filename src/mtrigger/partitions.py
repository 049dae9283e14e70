"""How a stream is divided: partitions by the hash of the document's `_id`. Pure.

Promises: every document belongs to exactly one partition of a layout, always the same one, wherever that is
asked: in the change stream, in a rescan's `find`, in the outbox. A name says which partition of how many it
is, because the same number of two layouts holds different documents.

The hash is the server's own, `$toHashedIndexKey`, the one of hashed indexes: an `_id` that is equal to
another one for MongoDB, such as 1 and 1.0, has the same. An event without a document has the hash of null,
and so a partition too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

STREAM = "main"
"""The only stream."""

MOST_PARTITIONS = 64
"""Each is a change stream of its own, for which the server reads the whole oplog."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """The part `index` (from 0) of `count`."""

    index: int = 0
    count: int = 1

    @property
    def name(self) -> str:
        """Names its position, and its deliveries' partition: `main/0` when undivided, else `main/2-of-4`."""
        return f"{STREAM}/{self.index}" if self.count == 1 else f"{STREAM}/{self}"

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"

    @classmethod
    def named(cls, name: str) -> Self:
        """The partition with this name. Raises ValueError for any other text."""
        stream, _, part = name.partition("/")
        index, _, count = part.partition("-of-")
        found = cls(int(index), int(count or "1"))
        if stream != STREAM or found.name != name or not 0 <= found.index < found.count:
            raise ValueError(f"{name!r} names no partition")
        return found

    def holds(self, path: str) -> dict[str, Any]:
        """The MongoDB filter for documents of which the `_id` at `path` belongs to it; {} when undivided."""
        if self.count == 1:
            return {}
        rest = {"$mod": [{"$toHashedIndexKey": f"${path}"}, self.count]}
        # The hash is signed, and the rest of a division has the sign of what was divided.
        return {"$expr": {"$in": [rest, [self.index, self.index - self.count]]}}


UNDIVIDED = Partition()


def partitions(count: int) -> tuple[Partition, ...]:
    """All of them, in order."""
    return tuple(Partition(index, count) for index in range(count))


def dealt(count: int, process: int, processes: int) -> Iterator[Partition]:
    """The partitions that the process `process` (from 0) of `processes` on one machine serves."""
    return (Partition(index, count) for index in range(process, count, processes))
