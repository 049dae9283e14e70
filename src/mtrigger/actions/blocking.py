"""Calls that block, in threads of their own, each within its time.

Promises: a call's time begins when it has its thread, so waiting for one costs nothing; and one that takes
too long is given up, counted while its thread goes on, and told of when it has ended. (A thread cannot be
stopped from outside, and keeps its place until the call returns.)
"""

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mtrigger.supervision.threads import DaemonThreads

_logger = logging.getLogger(__name__)


class _Overdue:
    """Counts threads that outlived their timeout."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def change(self, by: int) -> int:
        with self._lock:
            self._count += by
            return self._count


class BlockingCalls:
    """At most `most` calls at the same time; further ones wait for a thread."""

    def __init__(self, most: int) -> None:
        self._threads = DaemonThreads(most)
        self._overdue = _Overdue()

    async def run(self, name: str, function: Callable[[], Any], seconds: float) -> Any:
        """What `function`, called `name` in messages, returns or raises. Raises TimeoutError after `seconds`
        in its thread."""
        call = _Call(name, function, self._overdue)
        future = asyncio.wrap_future(self._threads.submit(partial(contextvars.copy_context().run, call)))
        try:
            while not future.done() and (left := seconds - call.seconds) > 0:
                await asyncio.wait((future,), timeout=left)
        finally:
            late = future.cancel()  # one that has ended stays as it is, one that has not begun never will
        if late:
            overdue = call.abandon()
            note = f"; its thread cannot be stopped and goes on ({overdue} such now)" if overdue else ""
            raise TimeoutError(f"{name} took longer than {seconds:g} s{note}")
        return future.result()


class _Call:
    """One call in a thread, which may be given up while it runs."""

    def __init__(self, name: str, function: Callable[[], Any], overdue: _Overdue) -> None:
        self._name = name
        self._function = function
        self._overdue = overdue
        self._lock = threading.Lock()
        self._began: float | None = None
        self._running = False
        self._abandoned = False

    @property
    def seconds(self) -> float:
        """How long it has run, 0 while it waits for a thread."""
        return time.monotonic() - self._began if self._began is not None else 0.0

    def __call__(self) -> Any:
        with self._lock:
            self._began = time.monotonic()
            self._running = True
        try:
            return self._function()
        except StopIteration as error:  # cannot be set on a future: the waiting task would never be told
            raise RuntimeError(f"{self._name} raised StopIteration") from error
        except SystemExit as error:
            raise RuntimeError(f"{self._name} called sys.exit({error.code!r})") from error
        finally:
            with self._lock:
                self._running = False
                if self._abandoned:
                    self._overdue.change(-1)
                    _logger.warning("%s has ended, after its time was up", self._name)

    def abandon(self) -> int:
        """Stop waiting for it. Returns how many such threads go on now, 0 if this one has ended."""
        with self._lock:
            if not self._running:
                return 0
            self._abandoned = True
            return self._overdue.change(1)
