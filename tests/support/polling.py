"""Waiting for something to become true, without sleeping blindly."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")

INTERVAL_SECONDS = 0.02
PATIENCE = 30.0


class NeverHappenedError(AssertionError):
    """What a test waited for did not come true in time."""


@overload
async def eventually(
    condition: Callable[[], Coroutine[Any, Any, T | None]], patience: float = PATIENCE
) -> T: ...
@overload
async def eventually(condition: Callable[[], T | None], patience: float = PATIENCE) -> T: ...
async def eventually(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first truthy value of `condition()`, asked again and again for up to `patience` seconds.

    `condition` may be a plain or an async function. Raises NeverHappenedError with the last value seen.
    """
    deadline = time.monotonic() + patience
    while True:
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > deadline:
            raise NeverHappenedError(_account(condition, value, patience))
        await asyncio.sleep(INTERVAL_SECONDS)


def eventually_sync(condition: Callable[[], T], patience: float = PATIENCE) -> T:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise NeverHappenedError(_account(condition, value, patience))
        time.sleep(INTERVAL_SECONDS)
    return value


def _account(condition: Callable[..., object], value: object, patience: float) -> str:
    return f"{getattr(condition, '__name__', condition)} was {value!r} for {patience:g} s"
