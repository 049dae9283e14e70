"""What an attempt is made within: it begins while the lease is held, and is cut off once it runs out.

The promise: the attempt is cancelled, wherever it waits, and whoever made it learns that it was for this
reason alone. Like `asyncio.timeout`, but without a timer for each: an attempt may take no longer than this.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from mtrigger.ownership.lease import Interrupted


class Permit:
    """One attempt's permit, entered by the task that makes it and kept in `given` until it is left."""

    __slots__ = ("_cancelled_before", "_cut_off", "_given", "_passed", "_task")

    def __init__(self, passed: Callable[[], Awaitable[None]], given: "set[Permit]") -> None:
        """`passed` returns once attempts may begin."""
        self._passed = passed
        self._given = given
        self._cut_off = False

    async def __aenter__(self) -> None:
        await self._passed()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an attempt is made in a task")
        self._task = task
        self._cancelled_before = task.cancelling()
        self._given.add(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raises Interrupted when the attempt was cut off and by nothing else cancelled."""
        self._given.discard(self)
        alone = self._cut_off and self._task.uncancel() <= self._cancelled_before
        if alone and isinstance(error, asyncio.CancelledError):
            raise Interrupted("the lease ran out") from error

    def cut_off(self) -> None:
        """Cancel the attempt, once."""
        if not self._cut_off:
            self._cut_off = True
            self._task.cancel()
