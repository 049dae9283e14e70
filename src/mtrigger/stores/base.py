"""The contract of a store: durable positions and a durable outbox.

What every store promises, and `tests/contract` holds each of them to:

* A method that writes returns only when the write is durable. Passing faults of the database are waited out
  inside; what is raised is final.
* `add` is idempotent by delivery id and says which of the deliveries are now to be dispatched.
* `owed` yields the open deliveries of a line in the order of their positions.
* A settled delivery is never opened again except by `reopen`, on an operator's word.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from bson.timestamp import Timestamp

from mtrigger.deliveries import Delivery, Settlement, Status

DELIVERED_KEPT_SECONDS = 7 * 86_400
"""How long delivered, suppressed and discarded rows are kept. They are the memory that makes reading an
event twice harmless, so this must exceed the longest stretch that is ever read again."""


ATTEMPTS_LOGGED = 50
"""The latest attempts that a delivery's history keeps."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The durable position of one stream partition.

    `token` is the resume token everything up to which has been dealt with (None before the first one), read
    through the pipeline with `pipeline_hash`; `cluster_time` is its time, the fallback when the token cannot
    be used. `previous` holds the last few tokens, newest last.
    """

    stream: str
    token: Mapping[str, Any] | None
    cluster_time: Timestamp
    cluster_id: str
    pipeline_hash: str
    updated_at: datetime
    previous: tuple[Mapping[str, Any], ...] = ()

    @property
    def position(self) -> str:
        """The sortable text of `token`, "" before the first one."""
        return str(self.token["_data"]) if self.token else ""


class LineKey(NamedTuple):
    """Names a line: all deliveries of one action of one rule."""

    rule: str
    action: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a delivery's history: when, for how many seconds, what came of it."""

    at: datetime
    took: float
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Record:
    """A delivery with its history, as people are shown it."""

    delivery: Delivery
    status: Status
    error: str
    settled_at: datetime | None
    log: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """Which deliveries a person means. Empty fields do not restrict.

    `error` is a piece of the error's text; `since` and `until` bound the time of creation.
    """

    ids: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    rule: str = ""
    error: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of one line stand where, and since when the oldest open one has been owed."""

    line: LineKey
    counts: Mapping[Status, int]
    oldest_open: datetime | None


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

        Raises PositionError when there is none: somebody removed it while it was in use.
        """
        ...

    async def reset(self, stream: str) -> bool:
        """Forget the position of `stream`; False if there was none."""
        ...


class Outbox(Protocol):
    """What is owed, what was done, what is dead."""

    async def add(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        """Make `deliveries` durable. Returns the ids to dispatch: those that were not there before."""
        ...

    async def lines(self, partition: str) -> AbstractSet[LineKey]:
        """The lines of `partition` that have open deliveries."""
        ...

    async def owed(self, partition: str, line: LineKey, after: str, limit: int) -> list[Delivery]:
        """At most `limit` open deliveries of `line` behind the position `after` ("": from the first)."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write what attempts came to, each once however often it is called. A delivery that was discarded
        meanwhile stays discarded."""
        ...

    async def still_open(self, delivery_id: str) -> bool:
        """Whether the delivery is still owed (nobody discarded it)."""
        ...

    async def take_reopened(self, partition: str, limit: int) -> list[Delivery]:
        """Deliveries an operator wants tried now, each handed out once."""
        ...

    async def find(self, query: Query, limit: int) -> list[Record]:
        """The deliveries `query` means, newest first."""
        ...

    async def count(self, query: Query) -> int:
        """How many deliveries `query` means."""
        ...

    async def ids(self, beginning: str, limit: int) -> list[str]:
        """At most `limit` of the ids that begin with the hexadecimal digits `beginning`, sorted."""
        ...

    async def tallies(self) -> list[Tally]:
        """The outbox in numbers, a row a line, sorted by line."""
        ...

    async def reopen(self, query: Query) -> int:
        """Try dead and retrying deliveries again, now; attempts count from nothing. Returns how many."""
        ...

    async def discard(self, query: Query) -> int:
        """Give up open and dead deliveries. Returns how many."""
        ...


class Store(Positions, Outbox, Protocol):
    """Both, in one place."""

    async def open(self) -> None:
        """Make the store ready: connections, collections, indexes."""
        ...

    async def close(self) -> None:
        """Release what `open` took."""
        ...
