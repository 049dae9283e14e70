"""How Python itself runs while the engine does: which event loop, and how often garbage is looked for.

Promise: nothing but speed depends on either. Where uvloop is installed (`mtrigger[fast]`) it is used.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

Result = TypeVar("Result")

_SELDOM = (20_000, 20, 20)
"""Thresholds of `gc`: events and deliveries are in no cycles, so there is little to find among them."""


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` like `asyncio.run`, on the fastest loop there is."""
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        return runner.run(main)


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Look for garbage seldom, and only among what is made from now on: rules and modules stay anyway."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
