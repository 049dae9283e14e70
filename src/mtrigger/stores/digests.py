"""What the outbox is asked for digests.

A digest is nothing of its own in the outbox: what it gathers are open rows of one lane, and stay that until
it is sent. The oldest of them is its *head*, whose delivery the digest is sent as. To *seal* is to mark the
rows that go with a head; what comes later goes with the next one.

Promises: what a head's settlement says (`Settlement.sealed`) becomes of every row that is sealed with it, the
head first; what a crash left undone of that, `complete` does. A row is never sealed with two open heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mtrigger.deliveries import Delivery
from mtrigger.events import ChangeEvent
from mtrigger.stores.lines import LineKey

LARGEST_LISTED = 16_000_000
"""Bytes of rows after which a digest lists no more documents."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is sealed with one head: the first events in the order of positions, how many there are in all,
    the sums over all of them by path, and the bytes that the events take. `depth` and `through` are those of
    the delivery that rules have caused through the most links (see `deliveries`)."""

    events: tuple[ChangeEvent, ...]
    count: int
    sums: Mapping[str, Any]
    size: int
    depth: int
    through: tuple[str, ...]


class Digests(Protocol):
    """The rows of digests. `lanes` is what the lanes of a line begin with (see `grouping.gathering`)."""

    async def heads(self, partition: str, line: LineKey, lanes: str, limit: int) -> list[Delivery]:
        """The head of every lane that has open rows, without its event, the oldest first: at most `limit`."""
        ...

    async def strays(self, partition: str, line: LineKey, lanes: str, limit: int) -> list[Delivery]:
        """Open deliveries in other lanes: they were stored before the rule was what it is."""
        ...

    async def move(self, lanes: Mapping[str, str]) -> None:
        """Put open deliveries, by their ids, into these lanes."""
        ...

    async def complete(self, partition: str, line: LineKey) -> None:
        """Settle what is sealed with a head that was settled with it."""
        ...

    async def seal(self, head: Delivery) -> Delivery | None:
        """Seal all open rows of the lane of `head` with it, and return it as it is now, without its event.

        When it is not open any more, nothing is sealed, and the lane's head is returned, if there is one.
        """
        ...

    async def gathered(self, head: Delivery, most: int, sums: Sequence[str]) -> Gathered:
        """What is sealed with `head`: at most `most` events, and the sums of the numbers at the paths `sums`
        of their documents."""
        ...
