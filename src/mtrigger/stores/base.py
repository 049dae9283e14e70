"""The contract of a store: durable positions and a durable outbox.

What every store promises, and `tests/contract` holds each of them to:

* A method that writes returns only when the write is durable. Passing faults of the database are waited out
  inside; what is raised is final.
* `add` is idempotent by delivery id and says which of the deliveries are now to be dispatched.
* `owed` yields the open deliveries of a line in the order of their positions.
* A settled delivery is never opened again except by `reopen`, on an operator's word.
* Once it is `owned`, nothing is written for a stream that this process may not own any more.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self

from mtrigger.deliveries import Delivery, Settlement
from mtrigger.ownership.lease import Fence
from mtrigger.stores.destinations import Destinations
from mtrigger.stores.digests import Digests
from mtrigger.stores.effects import Effects
from mtrigger.stores.gaps import Gaps
from mtrigger.stores.layouts import Layouts
from mtrigger.stores.leases import Leases
from mtrigger.stores.lines import LineKey
from mtrigger.stores.memories import Memories
from mtrigger.stores.positions import Checkpoint, Positions, Rescan
from mtrigger.stores.records import ATTEMPTS_LOGGED, Attempt, Query, Record, Records, Tally
from mtrigger.stores.schedules import NextRuns
from mtrigger.stores.standing import Standing
from mtrigger.stores.wishes import WishList

__all__ = [
    "ATTEMPTS_LOGGED",
    "DELIVERED_KEPT_SECONDS",
    "LARGEST_READ",
    "Attempt",
    "Checkpoint",
    "Leases",
    "LineKey",
    "Outbox",
    "Positions",
    "Query",
    "Record",
    "Rescan",
    "Store",
    "Tally",
]

DELIVERED_KEPT_SECONDS = 7 * 86_400
"""How long delivered, suppressed and discarded rows are kept. They are the memory that makes reading an
event twice harmless, so this must exceed the longest stretch that is ever read again."""

LARGEST_READ = 32_000_000
"""Bytes of deliveries after which no more are read at once."""


class Outbox(Records, Protocol):
    """What is owed, what was done, what is dead."""

    @property
    def memories(self) -> Memories:
        """What rules remember."""
        ...

    @property
    def effects(self) -> Effects:
        """What actions write into MongoDB."""
        ...

    @property
    def wishes(self) -> WishList:
        """What operators wish of rules."""
        ...

    @property
    def digests(self) -> Digests:
        """What is gathered."""
        ...

    async def add(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        """Make `deliveries` durable. Returns the ids to dispatch: those that were not there before, and,
        when `owned`, those an earlier owner stored that were never attempted.

        (It may have stored them after the new owner had loaded what was owed: then nobody knows of them.)
        """
        ...

    async def owe(self, deliveries: Sequence[Delivery]) -> AbstractSet[str]:
        """The same for a process that does not dispatch: whoever does finds them with `take_reopened`.
        Returns the ids that were not there before."""
        ...

    async def known(self, ids: Sequence[str]) -> AbstractSet[str]:
        """Those of `ids` that are there, whatever became of them."""
        ...

    async def newest(self, stream: str) -> str:
        """The last position of any delivery of any partition of `stream`, "" when there is none."""
        ...

    async def lines(self, partition: str) -> AbstractSet[LineKey]:
        """The lines of `partition` that have open deliveries."""
        ...

    async def owed(self, partition: str, line: LineKey, after: str, limit: int) -> list[Delivery]:
        """At most `limit` open deliveries of `line` behind the position `after` ("": from the first). Fewer
        when there are no more, or when the sizes of their events have reached LARGEST_READ."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> AbstractSet[str]:
        """Write what attempts came to, each once however often it is called. A delivery that was discarded
        meanwhile stays discarded.

        What they remember and what the outcomes owe is durable before any of them. Returns the ids of what is
        owed to dispatch, like `add`.
        """
        ...

    def permit(self) -> AbstractAsyncContextManager[None]:
        """What an attempt is made within: see `ownership.Fence.permit`. Always given unless `owned`."""
        ...

    async def still_open(self, ids: Sequence[str]) -> AbstractSet[str]:
        """Those of `ids` that are still owed (nobody discarded them)."""
        ...

    async def take_reopened(
        self, partition: str, limit: int, full: AbstractSet[LineKey] = frozenset()
    ) -> list[Delivery]:
        """Deliveries an operator wants tried now, each handed out once; none of the lines in `full`."""
        ...


class Store(Positions, Outbox, Protocol):
    """All of it, in one place."""

    @property
    def gaps(self) -> Gaps:
        """What was knowingly skipped."""
        ...

    @property
    def schedules(self) -> NextRuns:
        """When scheduled rules run next."""
        ...

    @property
    def standing(self) -> Standing:
        """What rules remember between events."""
        ...

    @property
    def destinations(self) -> Destinations:
        """Which mail servers and hosts are down."""
        ...

    @property
    def leases(self) -> Leases:
        """Who owns which stream."""
        ...

    @property
    def layouts(self) -> Layouts:
        """Into how many partitions the stream is divided."""
        ...

    def owned(self, fence: Fence) -> Self:
        """The same store for the owner of a stream: every write waits until `fence` is passed, and what the
        server itself can check (the position) it checks."""
        ...

    async def open(self) -> None:
        """Make the store ready: connections, collections, indexes."""
        ...

    async def close(self) -> None:
        """Release what `open` took."""
        ...
