"""Blocking calls in daemon threads: results, errors, a bound, and nobody waits for one that never returns."""

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from mtrigger.supervision.threads import DaemonThreads, in_thread
from support.polling import eventually

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME")

NEVER_RETURNS = """
import asyncio, threading
from mtrigger.supervision.threads import in_thread

async def main():
    waiting = asyncio.ensure_future(in_thread(threading.Event().wait))
    await asyncio.sleep(0.05)
    waiting.cancel()

asyncio.run(main())
print("ended")
"""


async def test_what_it_returns_or_raises_comes_back() -> None:
    """From a thread of its own, with the caller's context."""
    NAME.set("mine")
    assert await in_thread(NAME.get) == "mine"
    assert await in_thread(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_no_more_threads_than_allowed_and_all_are_used() -> None:
    """What comes beyond waits for a free one; nothing is forgotten."""
    threads, going = DaemonThreads(2), threading.Event()
    names: list[str] = []

    def call() -> None:
        names.append(threading.current_thread().name)
        going.wait()

    futures = [threads.submit(call) for _ in range(6)]
    await eventually(lambda: len(names) == 2)
    going.set()
    for future in futures:
        await asyncio.wrap_future(future)
    assert len(names) == 6
    assert len(set(names)) == 2


async def test_a_call_that_was_cancelled_before_it_began_is_not_made() -> None:
    """Its place in the queue is given up."""
    threads, going = DaemonThreads(1), threading.Event()
    first = threads.submit(going.wait)
    await eventually(first.running)
    second = threads.submit(lambda: pytest.fail("it was made"))
    assert second.cancel()
    going.set()
    assert await asyncio.wrap_future(threads.submit(lambda: "third")) == "third"


def test_a_call_that_never_returns_does_not_keep_the_process() -> None:
    """`asyncio.to_thread` would, for ever."""
    done = subprocess.run(
        [sys.executable, "-c", NEVER_RETURNS], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
