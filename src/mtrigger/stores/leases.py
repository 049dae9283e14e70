"""Who owns which stream: what a store promises about leases.

Promise: taking, renewing and giving back are decided by the store's own server, each at once; what fails is
raised, because the time it takes counts.
"""

from typing import Protocol

from mtrigger.ownership.lease import Lease
from mtrigger.stores.positions import Checkpoint


class Leases(Protocol):
    """Who owns which stream. What fails here is raised at once: the time it takes counts."""

    async def current(self, stream: str) -> Lease | None:
        """The lease of `stream`; None if there is none that can be read."""
        ...

    async def take(self, stream: str, seen: Lease | None, owner: str, seconds: float) -> Checkpoint | None:
        """Own `stream` from now on, in a new epoch, if its lease is still exactly what was `seen` and its
        layout is in force (see `layouts`).

        Returns the checkpoint as it is at that moment, None if somebody was quicker or there is none.
        """
        ...

    async def renew(self, stream: str, lease: Lease) -> bool:
        """Move the counter. False if the stream has another owner by now."""
        ...

    async def release(self, stream: str, lease: Lease) -> None:
        """Say that whoever waits may take over; nothing if there is another owner already."""
        ...

    async def ask(self, stream: str, lease: Lease, by: str) -> None:
        """Ask the holder of `lease` to give it up to the process `by`; nothing if there is another holder."""
        ...

    async def retire(self, stream: str, lease: Lease) -> None:
        """Forget the position of a partition that is no more, if `lease` was the last one that was taken."""
        ...

    async def renewed_ago(self, stream: str) -> float | None:
        """Seconds since the last renewal, by the database's own clock, for people; None if there was none."""
        ...
