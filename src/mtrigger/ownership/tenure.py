"""Owning a stream: keeping its lease, and stopping in time where that fails.

Promise: nothing is begun and nothing stored while it is in doubt whether the stream is still ours; what runs
is cut off before another process may begin; and once another one owns the stream, nothing is written any
more. A database that cannot be reached for longer than the lease time ends nothing: the renewal that gets
through in the end says whether the stream is still ours.
"""

import asyncio
import logging

from pymongo.errors import PyMongoError

from mtrigger.errors import MtriggerError, OwnershipError
from mtrigger.faults import passes
from mtrigger.ownership import processes
from mtrigger.ownership.lease import RENEWALS, Lease, Standing, standing
from mtrigger.ownership.permits import Permit
from mtrigger.stores.base import Leases
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.supervision.steady_time import clock

log = logging.getLogger(__name__)

RELEASE_SECONDS = 2.0
"""How long giving back may take; whoever waits takes over after the lease time anyway."""


class Tenure:
    """This process's ownership of one stream: an `ownership.Fence`, as long as `keep` runs beside it."""

    def __init__(self, leases: Leases, stream: str, lease: Lease, sent_at: float) -> None:
        """A lease that was just taken, by a write that was sent at `sent_at`."""
        self.lease = lease
        self._leases = leases
        self._stream = stream
        self._sent_at = sent_at
        self._changed = asyncio.Event()
        self._attempts: set[Permit] = set()
        self._ended: BaseException | None = None
        self._in_doubt = False
        self._expiry: asyncio.TimerHandle | None = None

    async def passed(self) -> None:
        """Return while the lease is held, wait while that is in doubt. Raises what ended the tenure."""
        while True:
            if self._ended is not None:
                raise self._ended
            if self._standing() is Standing.HELD:
                return
            self._changed.clear()
            await self._changed.wait()

    def permit(self) -> Permit:
        """What an attempt is made within. Raises Interrupted when the lease runs out meanwhile."""
        return Permit(self.passed, self._attempts)

    async def keep(self) -> None:
        """Renew the lease, for ever. Raises OwnershipError once another process owns the stream."""
        try:
            while True:
                self._cut_off_if_expired()
                heed_cancellation()
                await asyncio.sleep(self._pause())
                await self._renew()
        except BaseException as error:
            self._ended = error if isinstance(error, Exception) else _given_back()
            self._changed.set()
            raise
        finally:
            if self._expiry is not None:
                self._expiry.cancel()

    async def release(self) -> None:
        """Say that whoever waits may take over at once. The last thing to be written."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._leases.release(self._stream, self.lease)
        except (PyMongoError, TimeoutError) as error:
            log.warning(
                "The stream could not be given back (%s): whoever waits takes over in %g s.",
                described(error),
                self.lease.seconds,
            )

    def _standing(self) -> Standing:
        return standing(clock() - self._sent_at, self.lease.seconds)

    def _pause(self) -> float:
        """Seconds until the next renewal: sooner while the last one has not got through, and never past the
        moment at which the lease runs out."""
        pause = self.lease.seconds / (4 * RENEWALS if self._in_doubt else RENEWALS)
        left = self._left(clock())
        return min(pause, left) if left > 0 else pause

    async def _renew(self) -> None:
        sent_at = clock()
        patience = self._patience(sent_at)
        try:
            async with asyncio.timeout(patience):
                if not await self._leases.renew(self._stream, self.lease):
                    await self._compare()
        except (PyMongoError, TimeoutError) as error:
            if isinstance(error, PyMongoError) and not passes(error):
                raise
            self._doubt(str(error) or _too_slow(patience))
        else:
            self._confirm(sent_at)

    def _patience(self, now: float) -> float:
        """Seconds a renewal may take: it must have failed by the time that the lease runs out."""
        left, longest = self._left(now), self.lease.seconds / RENEWALS
        return min(longest, left) if left > 0 else longest

    def _left(self, now: float) -> float:
        return self._sent_at + self.lease.seconds - now

    async def _compare(self) -> None:
        """The renewal found nothing of ours: look who owns the stream. Raises OwnershipError."""
        found = await self._leases.current(self._stream)
        if found is not None and found.is_held_by(self.lease):
            raise TimeoutError(
                "the renewal was not seen by all"
            )  # asked a member that lags behind: ask again
        if found is None:
            raise OwnershipError(
                f"The position of the stream {self._stream} was removed: this process has stopped and "
                "written nothing more. Start it again to begin from now."
            )
        if not found.owner:
            raise OwnershipError(
                "An operator has set the position: this process has stopped and written nothing more. Start "
                "it again to go on from there."
            )
        raise OwnershipError(
            f"The stream is watched by {processes.shown(found.owner)} now: this process has stopped and "
            "written nothing more. What it had begun is done there, with the same ids."
        )

    def _confirm(self, sent_at: float) -> None:
        if self._in_doubt:
            log.warning("the lease is renewed again: going on")
        self._in_doubt = False
        self._sent_at = sent_at
        self._changed.set()

    def _doubt(self, reason: str) -> None:
        """A renewal did not get through: say so once."""
        if not self._in_doubt:
            log.warning("the lease could not be renewed; nothing is begun or stored until it is: %s", reason)
        self._in_doubt = True

    def _cut_off_if_expired(self) -> None:
        """Once the lease is over, another process may begin what runs here: end it. Until then, look again
        when it will be. (A timer, because a renewal that hangs must not delay it.)"""
        loop, left = asyncio.get_running_loop(), self._left(clock())
        if self._expiry is not None:
            self._expiry.cancel()
        if left > 0:
            self._expiry = loop.call_later(left, self._cut_off_if_expired)
            return
        for attempt in self._attempts:
            attempt.cut.make()


def _too_slow(patience: float) -> str:
    return (
        f"no answer within {patience:.2g} s. A renewal may take a third of the lease time: where the state "
        "database always takes longer, give it more with --lease"
    )


def described(error: Exception) -> str:
    """What went wrong, also where the exception has no words for it."""
    return str(error) or "no answer in time"


def _given_back() -> MtriggerError:
    return OwnershipError("The stream was given back.")
