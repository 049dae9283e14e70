"""Waiting for something to become true, without sleeping blindly."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL_SECONDS = 0.02


class NeverHappenedError(AssertionError):
    """What a test waited for did not come true in time."""


async def eventually(condition: Callable[[], T | Awaitable[T]], timeout: float = 30.0) -> T:  # noqa: ASYNC109 - the budget of a loop, not of one call
    """The first truthy value of `condition()`, asked again and again for up to `timeout` seconds.

    `condition` may be a plain or an async function. Raises NeverHappenedError with the last value seen.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        value: T = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > deadline:
            raise NeverHappenedError(_account(condition, value, timeout))
        await asyncio.sleep(INTERVAL_SECONDS)


def eventually_sync(condition: Callable[[], T], timeout: float = 30.0) -> T:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise NeverHappenedError(_account(condition, value, timeout))
        time.sleep(INTERVAL_SECONDS)
    return value


def _account(condition: Callable[..., object], value: object, timeout: float) -> str:
    return f"{getattr(condition, '__name__', condition)} was {value!r} for {timeout:g} s"
