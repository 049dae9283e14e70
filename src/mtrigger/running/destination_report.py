"""Writes down which destinations this process finds to be down, so that `mtrigger status` can show it.

Promise: what is shown is at most `COUNTS_FOR` seconds behind, also when this process is killed.
"""

import asyncio
from contextlib import suppress

from mtrigger.actions.breakers import Breakers
from mtrigger.stores.destinations import Destinations, DownDestination
from mtrigger.supervision.supervising import until_any

SAID_EVERY = 15.0
COUNTS_FOR = 60.0
"""Seconds that a row counts: several times as long as until it is written again."""

LAST_WORDS = 2.0
"""Seconds that taking everything back may take in the end: what is left goes by itself."""


async def report(breakers: Breakers, destinations: Destinations, by: str, ending: asyncio.Event) -> None:
    """Say what is down at every change, until `ending`; then take it all back. `by` names this process."""
    said: set[str] = set()
    while not ending.is_set():
        breakers.changed.clear()
        down = breakers.down()
        for destination in said - {one.destination for one in down}:
            await destinations.take_back(by, destination)
        for one in down:
            row = DownDestination(by, one.destination, one.since, one.why, one.probe_at, one.waiting)
            await destinations.say(row, COUNTS_FOR)
        said = {one.destination for one in down}
        with suppress(TimeoutError):
            async with asyncio.timeout(SAID_EVERY if said else None):
                await until_any(breakers.changed, ending)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS):
            for destination in said:
                await destinations.take_back(by, destination)
