"""The log of a topic: what publishing and reading promise, whoever does it.

Promises: a message is read only once it is on a majority and numbered; numbers never change, and nothing with
a lower number appears behind a reader. So a position is one number, and whoever reads on from it misses
nothing, also a message whose transaction committed late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from mtrigger.errors import PermanentError
from mtrigger.messages import Message


class RefusedError(PermanentError):
    """Messages that cannot be stored, by their ids, each with the reason. All the others of the same call are
    durable, and `published` of them are new."""

    def __init__(self, refused: Sequence[tuple[Any, str]], published: int) -> None:
        self.refused = tuple(refused)
        self.published = published
        message_id, why = self.refused[0]
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        super().__init__(f"the message {message_id!r} cannot be published: {why}{more}")


@dataclass(frozen=True, slots=True)
class After:
    """Behind the message with the id `id`."""

    id: Any


From = Literal["beginning", "now"] | datetime | After | int
"""Where to begin: at the oldest message that is kept, behind the newest, at the first one of a moment
(aware), behind a message, at an offset."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long messages are kept: so many `seconds`, at most `size` bytes in all. None: without a limit."""

    seconds: float | None = 7 * 86_400
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """What a topic holds: the offsets of the oldest message kept and of the next one to come (`first` ==
    `next`: nothing is kept), how many messages, of how many bytes, and the time of the newest.

    Some of the `messages` may have no number yet. Whoever has read up to a position before `first` - 1 has
    missed some that were not kept.
    """

    first: int
    next: int
    messages: int
    size: int
    newest: datetime | None


class TopicLog(Protocol):
    """One topic. Passing faults of the database are waited out inside."""

    @property
    def name(self) -> str:
        """The topic's name."""
        ...

    async def open(self) -> None:
        """Make the topic (its row, its collection, its index) unless it is there."""
        ...

    async def publish(self, messages: Sequence[Message]) -> int:
        """Make messages durable, in their order; those whose ids are there already are left alone.
        Returns how many were new (those that an outage has left in doubt are not counted). Raises
        RefusedError, a PermanentError, when there are some that cannot be stored; all others are then."""
        ...

    async def read(self, behind: int, limit: int) -> list[Message]:
        """At most `limit` messages with offsets above `behind`, in order. Numbers first what is there without
        a number. Empty: there is nothing newer.

        Fewer than `limit` say nothing of what follows: no more come at once than MongoDB sends in a reply,
        16 MB. One that cannot be read whole has a `flaw`.
        """
        ...

    async def position(self, start: From) -> int:
        """The offset behind which to read in order to begin at `start`; never one before what is kept.

        A moment means the first message whose `time` is not before it. Raises PositionError when there is no
        such message or no such offset yet.
        """
        ...

    async def extent(self) -> Extent:
        """What it holds."""
        ...
