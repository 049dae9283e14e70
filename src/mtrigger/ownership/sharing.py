"""A fair share of the partitions for every process that could serve them.

Whoever comes first takes all; whoever stands by and has two fewer than another one asks that for a partition,
and the other gives it up in good order. The decisions are pure. Promise: nobody gives more than fairness asks
for, so it comes to rest with shares that differ by one at most. Who does not come to fetch what it asked for
costs the giver one lease time.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from pymongo.errors import PyMongoError

from mtrigger.faults import passes
from mtrigger.ownership.lease import RENEWALS, Lease
from mtrigger.ownership.processes import Process, this_process
from mtrigger.stores.base import Leases
from mtrigger.supervision.supervising import pause

Seen = Sequence[Lease | None]
"""The leases of the partitions that a process could serve, in their order."""


def asks(seen: Seen, me: str) -> int | None:
    """Which partition the process `me` asks for: one of those who have most, if they have two more than it.

    None also while some are free: whoever stands by takes those without asking.
    """
    owners = _owners(seen)
    if "" in owners:
        return None
    held = Counter(owners)
    most = max(held, key=lambda owner: (held[owner], owner))
    if held[most] < held[me] + 2:
        return None
    return max(index for index, owner in enumerate(owners) if owner == most)


def gives(seen: Seen, me: str) -> int | None:
    """Which partition the process `me` gives up: one it is asked for by who has two fewer at this moment."""
    owners = _owners(seen)
    held = Counter(owners)
    for index, lease in enumerate(seen):
        asked = lease is not None and owners[index] == me and same(lease.asked_by)
        if asked and held[me] >= held[asked] + 2:
            return index
    return None


def same(owner: str) -> str:
    """What is the same for all leases of one process: its text without the run."""
    process = Process.parse(owner)
    return owner.rpartition("/")[0] if process is not None else owner


def _owners(seen: Seen) -> list[str]:
    return ["" if lease is None or lease.released else same(lease.owner) for lease in seen]


async def share(
    leases: Leases, streams: Sequence[str], seconds: float, give: Callable[[int], None], ending: asyncio.Event
) -> None:
    """Ask for partitions of `streams`, and call `give` with the number of one to be given up, until `ending`.

    `seconds` is the lease time. A database that does not answer is asked again: nothing waits for this.
    """
    me = str(this_process())
    while not ending.is_set():
        await pause(seconds / RENEWALS, ending)
        try:
            seen = [await leases.current(stream) for stream in streams]
            given, asked = gives(seen, same(me)), asks(seen, same(me))
            if given is not None:
                give(given)
            elif asked is not None and (lease := seen[asked]) is not None:
                await leases.ask(streams[asked], lease, me)
        except PyMongoError as error:
            if not passes(error):
                raise
