"""Who owns a stream: the lease, and every decision about it, as pure functions.

A stream is watched by one process at a time. The lease lies beside the position and carries a counter that
its holder moves; whoever wants to take over watches the counter, after the Kinesis Client Library's lease
algorithm. Only stretches of time on one's own clock decide, never the time of day, and never two clocks.

Promise: as long as the holder counts its lease from the moment it *sent* the last renewal that was confirmed,
and a candidate from the moment it *received* a counter that then stood still, the first has stopped before
the second begins.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

RENEWALS = 3
"""Renewals within one lease time, so that one may fail."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who owns a stream.

    `owner` is the text of a `processes.Process`, "" for nobody; `epoch` grows with every owner and fences
    off the ones before; `counter` moves with every renewal. `seconds` is the lease time of the holder, and
    a candidate waits for that, whatever its own is. `released` says that the holder has gone in good order,
    `asked_by` who has asked the holder to give it up, "" for nobody.
    """

    owner: str
    epoch: int
    counter: int
    seconds: float
    released: bool = False
    asked_by: str = ""

    def is_held_by(self, holder: "Lease") -> bool:
        """Whether this, read from the store, is still what `holder` took."""
        return (self.owner, self.epoch) == (holder.owner, holder.epoch)


class Claim(Enum):
    """What a candidate finds out about a stream. All but HELD let it take the stream."""

    HELD = "somebody else holds it"
    MINE = "it is mine already: the reply to my taking it was lost"
    NEVER_HELD = "nobody has ever held it"
    RELEASED = "the one before has gone in good order"
    ABANDONED = "the process before has ended without a word"
    SILENT = "the one before has not renewed its lease for the lease time"


def claim(seen: Lease | None, me: str, still_for: float, abandoned: bool) -> Claim:  # noqa: FBT001 - a fact
    """Whether the process `me` may take a stream with the lease `seen`.

    `still_for` is for how many seconds the counter has stood still, as `Stillness` measures it; `abandoned`
    that the owner is provably no process any more.
    """
    if seen is None:
        return Claim.NEVER_HELD
    if seen.owner == me:
        return Claim.MINE
    if seen.released:
        return Claim.RELEASED
    if abandoned:
        return Claim.ABANDONED
    return Claim.SILENT if still_for >= seen.seconds else Claim.HELD


class Stillness:
    """For how long a lease has not moved, by the clock of the one who looks."""

    def __init__(self) -> None:
        self._last: tuple[str, int, int] | None = None
        self._since = 0.0

    def of(self, seen: Lease, asked_at: float, answered_at: float) -> float:
        """Seconds for which `seen` has certainly stood still.

        Counted from when the first answer with this counter was there, to when this one was asked for.
        """
        state = (seen.owner, seen.epoch, seen.counter)
        if state != self._last:
            self._last, self._since = state, answered_at
        return max(0.0, asked_at - self._since)


class Standing(Enum):
    """How sure a holder may be of its lease."""

    HELD = "held"
    DOUBTFUL = "doubtful"
    """Start nothing, store nothing; what runs may end."""
    EXPIRED = "expired"
    """Somebody else may own the stream: stop what runs, too."""


def standing(unconfirmed_for: float, seconds: float) -> Standing:
    """The standing of a holder that sent its last confirmed renewal so many seconds ago."""
    if unconfirmed_for >= seconds:
        return Standing.EXPIRED
    return Standing.DOUBTFUL if unconfirmed_for >= seconds * 2 / RENEWALS else Standing.HELD


class Interrupted(Exception):  # noqa: N818 - an attempt that was interrupted, not an error of it
    """An attempt was cut off because somebody else may own the stream by now. It does not count."""


class Fence(Protocol):
    """What stands between a process and the state of a stream that it may not own any more."""

    @property
    def lease(self) -> Lease:
        """The lease that was taken."""
        ...

    async def passed(self) -> None:
        """Return while the lease is held, wait while that is in doubt.

        Raises OwnershipError once another owner is known.
        """
        ...

    def permit(self) -> AbstractAsyncContextManager[None]:
        """What an attempt is made within: entered when `passed`.

        Raises Interrupted, cancelling what is inside, when the lease runs out meanwhile. The task that has
        left it may enter it again for its next attempt.
        """
        ...
