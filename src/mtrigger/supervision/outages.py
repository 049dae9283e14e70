"""Waiting out an outage: growing pauses, and two lines in the log for each, however long it lasts."""

import asyncio
import logging
import random

from mtrigger.redaction import brief

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def heed_cancellation() -> None:
    """Raise CancelledError in a task that was cancelled but is still running.

    To be called in every turn of a loop that speaks to MongoDB: `asyncio.wait_for`, which the driver uses,
    loses a cancellation that meets a reply (mended in Python 3.12), and the loop would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Outage:
    """Counts the failures in a row of one thing, named `what` ("The change stream").

    Several `operation`s of it may fail at the same time, each with pauses of its own. It is over when none
    of them fails any longer: a read that works says nothing of the writes that do not. Pauses grow up to
    `longest` seconds.
    """

    def __init__(self, what: str, longest: float = LONGEST_PAUSE) -> None:
        self._what = what
        self._longest = longest
        self._failures: dict[str, int] = {}
        self._tries = 0

    async def wait(self, error: Exception, operation: str = "") -> None:
        """It failed: pause before it is tried again, with full jitter.

        Raises CancelledError when the failure is that of a task which is being cancelled: the driver may have
        turned the cancellation into an error, and trying again would never end.
        """
        heed_cancellation()
        if not self._failures:
            log.warning(
                "%s was interrupted; trying again until it works, nothing is lost: %s",
                self._what,
                brief(error),
            )
        before = self._failures.get(operation, 0)
        self._failures[operation] = before + 1
        self._tries += 1
        ceiling = min(self._longest, FIRST_PAUSE * 2.0 ** min(before, 20))
        await asyncio.sleep(random.uniform(ceiling / 2, ceiling))  # noqa: S311 - jitter needs no secrecy

    def over(self, operation: str = "") -> None:
        """It worked."""
        if self._failures.pop(operation, 0) and not self._failures:
            log.warning("%s works again (after %d failed tries).", self._what, self._tries)
            self._tries = 0
