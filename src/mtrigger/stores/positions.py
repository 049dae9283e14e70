"""Positions: where a stream stands, durably, and what a store promises about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bson.timestamp import Timestamp

from mtrigger.ownership.lease import Lease


@dataclass(frozen=True, slots=True)
class Rescan:
    """Documents that are being held against the rules, before the stream opens at the checkpoint's time.

    `namespaces` are still to be read, the first one behind the document whose `_id` is in `after` (one or
    none); with none left it is done. `documents` counts those dealt with. `gap` is the id of the gap it makes
    good, "" for a first start.
    """

    namespaces: tuple[str, ...]
    after: tuple[Any, ...] = ()
    documents: int = 0
    gap: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The durable position of one stream partition.

    `token` is the resume token everything up to which has been dealt with (None before the first one), read
    through the pipeline with `pipeline_hash`; `cluster_time` is its time, the fallback when the token cannot
    be used. `previous` holds the last few tokens, newest last; `lease` says who owns the stream. Both are
    the store's to write. `rescan` is there from the decision to rescan until the stream has moved on from the
    time at which it opens afterwards.
    """

    stream: str
    token: Mapping[str, Any] | None
    cluster_time: Timestamp
    cluster_id: str
    pipeline_hash: str
    updated_at: datetime
    previous: tuple[Mapping[str, Any], ...] = ()
    lease: Lease | None = None
    rescan: Rescan | None = None

    @property
    def position(self) -> str:
        """The sortable text of `token`, "" before the first one."""
        return str(self.token["_data"]) if self.token else ""


class Positions(Protocol):
    """Durable positions of streams."""

    async def checkpoint(self, stream: str) -> Checkpoint | None:
        """The stored position of `stream`, or None before its first start.

        Raises PositionError when what is stored cannot be read.
        """
        ...

    async def begin(self, checkpoint: Checkpoint) -> Checkpoint:
        """Write the first position of a stream. Returns the stored one: an earlier one if there was."""
        ...

    async def advance(self, checkpoint: Checkpoint) -> None:
        """Move the position. The token it had goes to the end of `previous`, which keeps the last five.

        Raises PositionError when there is none: somebody removed it while it was in use. When `owned`, raises
        OwnershipError if the stream has another owner by now; that is decided together with the write.
        """
        ...

    async def put(self, checkpoint: Checkpoint) -> Checkpoint:
        """An operator sets the position, over whatever is there or as the first one.

        Whoever owned the stream owns it no longer. Returns what is stored now.
        """
        ...

    async def note_start(self, stream: str) -> int:
        """Count a start at the stored position. Returns how many there were since it last moved on."""
        ...

    async def forget_starts(self, stream: str) -> None:
        """Count from nothing again: the last start was no failure, or somebody has been told."""
        ...

    async def reset(self, stream: str) -> bool:
        """Forget the position of `stream`; False if there was none."""
        ...
