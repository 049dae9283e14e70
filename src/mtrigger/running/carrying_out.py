"""Effects and the successes that tell of them, in one transaction: all that wait while the last one runs.

Promise: whoever hands over an effect is told what came of it, and nobody suffers from another's. What goes
together in a transaction has the same cause; when something speaks against one of it, it is tried in halves.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mtrigger.deliveries import Settlement
from mtrigger.effects import STATE, Cause, Effect
from mtrigger.stores.effects import CameOf, Effects
from mtrigger.supervision.outages import heed_cancellation

MOST_AT_ONCE = 500
"""Effects in one transaction: with their rows 1,000 documents, which MongoDB advises as the most."""

LARGEST_AT_ONCE = 8_000_000
"""Bytes of their events after which no more are taken into a transaction."""

Namespaces = Callable[[str], bool]


def nowhere(namespace: str) -> bool:
    """No rule watches any collection."""
    return False


@dataclass(frozen=True, slots=True)
class _Waiting:
    settlements: Sequence[Settlement]
    cause: Cause | None
    came_of: asyncio.Future[CameOf]

    @property
    def size(self) -> int:
        return sum(settlement.delivery.event.size for settlement in self.settlements)


class Carrier:
    """The effects of one partition that wait, and the loop that has them carried out."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._waiting: deque[_Waiting] = deque()
        self._work = asyncio.Event()
        self._is_watched: Namespaces = nowhere

    def use(self, is_watched: Namespaces) -> None:
        """From now on, these collections are watched by rules: a change there may cause others."""
        self._is_watched = is_watched

    async def carry_out(self, settlements: Sequence[Settlement]) -> CameOf:
        """Carry out the effects of successes that belong together. Raises what speaks against them."""
        cause = self._cause(settlements)
        if not all(self._effects.is_together(effect) for effect in _effects(settlements)):
            return await self._effects.carry_out(settlements, cause)
        waiting = _Waiting(settlements, cause, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._work.set()
        return await waiting.came_of

    async def run(self) -> None:
        """Have them carried out, for ever."""
        while True:
            heed_cancellation()
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                await self._try(self._next())

    def _cause(self, settlements: Sequence[Settlement]) -> Cause | None:
        """What the changes that come of it are caused by; None when nobody sees them."""
        written = (effect for effect in _effects(settlements) if effect.database != STATE)
        if not any(self._is_watched(effect.namespace) for effect in written):
            return None  # a message tells its cause itself
        delivery = settlements[0].delivery
        return Cause.of(delivery.rule, delivery.depth, delivery.through)

    def _next(self) -> list[_Waiting]:
        """The first one that waits, and those behind it that have the same cause."""
        taken: list[_Waiting] = []
        number = size = 0
        while self._waiting and number < MOST_AT_ONCE and size < LARGEST_AT_ONCE:
            if taken and self._waiting[0].cause != taken[0].cause:
                break
            one = self._waiting.popleft()
            if not one.came_of.done():  # whoever waited was cancelled
                taken.append(one)
                number, size = number + len(one.settlements), size + one.size
        return taken

    async def _try(self, some: Sequence[_Waiting]) -> None:
        if len(some) == 1:
            await self._alone(some[0])
        elif not await self._together(some):
            middle = len(some) // 2  # so that one of many costs few transactions
            await self._try(some[:middle])
            await self._try(some[middle:])

    async def _together(self, some: Sequence[_Waiting]) -> bool:
        """Whether it is known what came of all of them; else nothing was done."""
        settlements = [settlement for one in some for settlement in one.settlements]
        try:
            came_of = await self._effects.carry_out(settlements, some[0].cause)
        except Exception:  # noqa: BLE001 - what it means is found out for each alone
            return False
        if came_of == "settled before":
            return False
        for one in some:
            _tell(one, came_of)
        return True

    async def _alone(self, one: _Waiting) -> None:
        try:
            came_of = await self._effects.carry_out(one.settlements, one.cause)
        except Exception as error:  # noqa: BLE001 - raised again where the attempt waits
            if not one.came_of.done():
                one.came_of.set_exception(error)
        else:
            _tell(one, came_of)


def _effects(settlements: Iterable[Settlement]) -> Iterator[Effect]:
    return (settlement.effect for settlement in settlements if settlement.effect is not None)


def _tell(one: _Waiting, came_of: CameOf) -> None:
    if not one.came_of.done():
        one.came_of.set_result(came_of)
