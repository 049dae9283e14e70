"""A database that is read in a thread of its own, while what was read before is written.

Promises: all calls of one database are made in one thread, one after the other, as drivers want it; at most
`AHEAD` pages wait in memory; a call that never returns keeps neither the loop nor the end of the process
waiting: the thread is a daemon, and is left behind.
"""

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

AHEAD = 4
"""Pages that are read ahead of those being written."""

_Call = tuple[Future[Any], Callable[[], Any]]


class ReadingThread:
    """One thread, until `close`."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"reading {name}", daemon=True).start()

    async def call(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises, made in the thread. Cancelling the wait does not stop it."""
        future: Future[T] = Future()
        self._calls.put((future, partial(contextvars.copy_context().run, call)))
        return await asyncio.wrap_future(future)

    def close(self, last: Callable[[], object]) -> None:
        """End the thread once what runs has returned, with `last` as its last call."""
        self._calls.put((Future(), last))
        self._calls.put(None)

    @asynccontextmanager
    async def ahead(self, begin: Callable[[], Iterator[T]]) -> AsyncIterator[AsyncIterator[list[T]]]:
        """What the iterator that `begin` makes yields, read ahead of whoever takes it: all that is there at a
        time."""
        waiting: asyncio.Queue[T | _End] = asyncio.Queue(AHEAD)
        reading = asyncio.create_task(self._read(begin, waiting))
        try:
            async with aclosing(_taken(waiting)) as items:
                yield items
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def _read(self, begin: Callable[[], Iterator[T]], waiting: "asyncio.Queue[T | _End]") -> None:
        """Fill the queue. The iterator ends in its thread, also when nobody takes what it yields any more."""
        error: Exception | None = None
        items: Iterator[T] | None = None
        try:
            items = await self.call(begin)
            while (item := await self.call(partial(next, items, _NO_MORE))) is not _NO_MORE:
                await waiting.put(item)
        except Exception as raised:  # noqa: BLE001 - whatever it is, it belongs to whoever takes
            error = raised
        finally:
            if (close := getattr(items, "close", None)) is not None:
                self._calls.put((Future(), close))
        await waiting.put(_End(error))

    def _work(self) -> None:
        while (entry := self._calls.get()) is not None:
            future, call = entry
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del entry, future, call  # what they hold is free while the thread waits


class _End:
    """Nothing follows in the queue; `error` is what it ended with."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


_NO_MORE = object()


async def _taken(waiting: "asyncio.Queue[T | _End]") -> AsyncGenerator[list[T], None]:
    while True:
        found, end = [], None
        item = await waiting.get()
        while not isinstance(item, _End):
            found.append(item)
            if waiting.empty():
                break
            item = waiting.get_nowait()
        else:
            end = item
        if found:
            yield found
        if end is not None:
            if end.error is not None:
                raise end.error
            return
