"""Waiting out an outage: growing pauses, and two lines in the log for each, however long it lasts."""

import asyncio
import logging
import random

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


class Outage:
    """Counts the failures in a row of one thing, named `what` ("The change stream")."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0

    async def wait(self, error: Exception) -> None:
        """It failed: pause before it is tried again, with full jitter.

        Raises CancelledError when the failure is that of a task which is being cancelled: the driver may have
        turned the cancellation into an error, and trying again would never end.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        if not self._failures:
            log.warning(
                "%s was interrupted; trying again until it works, nothing is lost: %s", self._what, error
            )
        ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 20))
        self._failures += 1
        await asyncio.sleep(random.uniform(ceiling / 2, ceiling))  # noqa: S311 - jitter needs no secrecy

    def over(self) -> None:
        """It worked."""
        if self._failures:
            log.warning("%s works again (after %d failed tries).", self._what, self._failures)
            self._failures = 0
