"""Cutting short what a task does: what `asyncio.timeout` does, without a timer for each.

Promise: what is cut is cancelled once, wherever it waits, and whoever began it learns that it ended for this
reason alone: a cancellation from elsewhere goes on.
"""

import asyncio
from types import TracebackType
from typing import Self


class Cut:
    """A stretch of a task's work that may be cut short, from `begin` to `end`; then the same task may begin
    another one. (Asking for the current task is dear, so it is asked for once.)"""

    __slots__ = ("_cancelled_before", "_task", "made")

    def __init__(self) -> None:
        self.made = False
        self._task: asyncio.Task[object] | None = None

    def begin(self) -> asyncio.Task[object]:
        """The current task's work from now on. Returns the task."""
        task = self._task or asyncio.current_task()
        if task is None:
            raise RuntimeError("only what a task does can be cut short")
        self._task, self.made = task, False
        self._cancelled_before = task.cancelling()
        return task

    def make(self) -> None:
        """Cancel it, once."""
        if not self.made and self._task is not None:
            self.made = True
            self._task.cancel()

    def end(self, error: BaseException | None) -> bool:
        """Whether it ended, by `error`, because it was cut and for no other reason."""
        if not self.made or self._task is None:
            return False
        return self._task.uncancel() <= self._cancelled_before and isinstance(error, asyncio.CancelledError)


class TimeLimit:
    """The same time limit for many stretches of work, one timer for all: `async with limit.begun():`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Limited, float] = {}  # in the order of their ends
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begun(self) -> "Limited":
        """What the work is done within. Raises TimeoutError when it takes too long."""
        return Limited(self)

    def add(self, limited: "Limited", loop: asyncio.AbstractEventLoop) -> None:
        """Time `limited`, which `loop` runs, from now on."""
        end = loop.time() + self._seconds
        self._running[limited] = end
        if self._timer is None or self._loop is not loop:
            self._loop, self._timer = loop, loop.call_at(end, self._cut, loop)

    def remove(self, limited: "Limited") -> None:
        """It has ended."""
        self._running.pop(limited, None)

    def _cut(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for limited, end in self._running.items():
            if end > now:
                self._timer = loop.call_at(end, self._cut, loop)
                return
            limited.cut.make()


class Limited:
    """One stretch of work within a `TimeLimit`."""

    __slots__ = ("_limit", "cut")

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self.cut = Cut()

    @property
    def expired(self) -> bool:
        """Whether its time was up."""
        return self.cut.made

    async def __aenter__(self) -> Self:
        self._limit.add(self, self.cut.begin().get_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._limit.remove(self)
        if self.cut.end(error):
            raise TimeoutError from error
