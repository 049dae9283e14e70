"""The end of attempts that run when it is time to stop."""

import asyncio
import logging
from collections.abc import Set as AbstractSet

log = logging.getLogger(__name__)

CANCELLING = 1.0
"""Seconds an action has to end once its attempt is cancelled."""


async def ended(workers: AbstractSet[asyncio.Task[None]], seconds: float) -> None:
    """Wait up to `seconds` for `workers`, and cancel the rest: what they run is made again."""
    if not workers:
        return
    _, late = await asyncio.wait(workers, timeout=seconds)
    if late:
        number = "1 attempt" if len(late) == 1 else f"{len(late)} attempts"
        log.warning("%s did not end in time: made again at the next start, with the same id", number)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=CANCELLING)
