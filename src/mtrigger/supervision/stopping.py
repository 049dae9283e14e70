"""The end of the process: asked for once in good order, twice in haste, and bounded in any case.

Promise: a stop ends. A state database that does not answer, or an action that cannot be cancelled, may cost
the last writes, never the end; what was not written is done again at the next start, with the same ids.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from mtrigger.config_types import format_duration
from mtrigger.errors import MtriggerError

log = logging.getLogger(__name__)

LAST_WRITES = 5.0
"""Seconds after the drain for the last outcomes and the position."""

HURRIED_WRITES = 2.0
"""The same after a second signal."""

TIDYING_UP = 3.0
"""Seconds for closing connections and servers once it is over."""


class Stop:
    """A request to stop: the first asks for good order, the second for haste."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()

    def request(self) -> None:
        """Ask (again). Fit for a signal handler of the loop."""
        if self.requested.is_set():
            self.hurried.set()
        self.requested.set()

    @asynccontextmanager
    async def passed_on(self) -> AsyncIterator["Stop"]:
        """A stop for one part of what this one stops: requested when this one is, or for itself alone."""
        own = Stop()

        async def pass_on() -> None:
            await self.requested.wait()
            own.requested.set()
            await self.hurried.wait()
            own.hurried.set()

        passing = asyncio.create_task(pass_on())
        try:
            yield own
        finally:
            passing.cancel()


class CutShortError(MtriggerError):
    """The process was told to stop and could not do so in good order in the time it had."""


async def bounded(work: Coroutine[Any, Any, None], stop: Stop, drain: float) -> None:
    """Run `work`, which ends by itself once `stop` is requested and what runs has had `drain` seconds.

    Raises CutShortError when it takes longer than that and the last writes may take; it is cancelled then.
    """
    task = asyncio.ensure_future(work)
    patience = asyncio.ensure_future(_patience(stop, drain))
    try:
        await asyncio.wait({task, patience}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
            return
        task.cancel()
        await asyncio.wait({task}, timeout=TIDYING_UP)
        if task.done() and not task.cancelled() and task.exception() is None:
            return
        why = "a second signal" if stop.hurried.is_set() else f"--drain {format_duration(drain)}"
        raise CutShortError(
            f"stopping was cut short after {why}: see the lines above. Nothing is lost: what was not written "
            "is done again at the next start, with the same delivery ids."
        )
    finally:
        patience.cancel()
        task.cancel()


async def _patience(stop: Stop, drain: float) -> None:
    """Return when a stop has taken too long."""
    await stop.requested.wait()
    hurried = asyncio.ensure_future(stop.hurried.wait())
    await asyncio.wait({hurried}, timeout=drain + LAST_WRITES)
    if hurried.done():
        await asyncio.sleep(HURRIED_WRITES)
    hurried.cancel()


def leave_within(seconds: float, last_words: str) -> None:
    """End the process in `seconds` with the code 1 and `last_words`, for when it is over, whatever keeps it
    then: a connection that cannot be closed, a thread of a library, a task that refuses to be cancelled."""
    timer = threading.Timer(seconds, _leave, (last_words,))
    timer.daemon = True
    timer.start()


def _leave(last_words: str) -> None:
    log.error("%s", last_words)
    os._exit(CutShortError.exit_code)
