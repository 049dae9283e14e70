"""Waiting out what passes: the decorator of every method of a store that must not give up.

Promise: before every try, also a repeated one, the owner's fence is passed, so that a process which was
stopped in the middle of an outage does not write what another one owns by now.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from pymongo.errors import PyMongoError

from mtrigger.faults import passes
from mtrigger.ownership.lease import Fence
from mtrigger.supervision.outages import Outage


class StateOutage(Outage):
    """The outages of the state database, and what else has to be waited for before it is written to."""

    def __init__(self, fence: Fence | None) -> None:
        super().__init__("The state database")
        self.fence = fence

    async def passable(self) -> None:
        """Return once this process may write: at once where no stream is owned."""
        if self.fence is not None:
            await self.fence.passed()


class Steady(Protocol):
    """Something in MongoDB, whose outages are told in the log."""

    @property
    def outage(self) -> StateOutage:
        """The outages of the database it lies in."""
        ...


S = TypeVar("S", bound=Steady)
P = ParamSpec("P")
T = TypeVar("T")


def steadily(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Wait out passing faults: call `method` again until it returns or fails for good."""

    @wraps(method)
    async def steady(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            await self.outage.passable()
            try:
                result = await method(self, *args, **kwargs)
            except PyMongoError as error:
                if not passes(error):
                    raise
                await self.outage.wait(error, method.__name__)
            else:
                self.outage.over(method.__name__)
                return result

    return steady
