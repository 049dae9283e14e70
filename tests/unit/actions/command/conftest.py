"""Programs are started by the loop, so their tests run on both loops that mtrigger may have."""

import asyncio
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The standard loop, and the one of `mtrigger[fast]` where it is installed."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if find_spec("uvloop") is not None:
        factories["uvloop"] = import_module("uvloop").new_event_loop
    return factories
