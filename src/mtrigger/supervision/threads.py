"""Calls that block, in threads of our own.

Promise: a call that never returns keeps neither the loop nor the end of the process waiting. The standard
executor would: Python joins its threads when it ends. These are daemons, and are left behind.
"""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

MOST_THREADS = 32
"""Calls at the same time; further ones wait for a thread."""


class DaemonThreads:
    """At most `most` daemon threads, each made when it is needed first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._count = 0

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have `call` run in a thread, as soon as one is free."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        with self._lock:
            if not self._idle.acquire(blocking=False) and self._count < self._most:
                self._count += 1
                threading.Thread(target=self._work, name=f"mtrigger-{self._count}", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del future, call  # what they hold is free while the thread waits
            self._idle.release()


_threads = DaemonThreads(MOST_THREADS)


async def in_thread(call: Callable[[], T]) -> T:
    """What `call` returns or raises, run in a thread with the context of the caller.

    Cancelling the wait does not stop a call that runs: its thread goes on until it returns.
    """
    return await asyncio.wrap_future(_threads.submit(partial(contextvars.copy_context().run, call)))
