"""What runs while a stream is this process's own: it is read, what is owed is run, the lease is kept.

Promises: a part that dies ends all of them with its error; a stop in good order first stops reading, stores
what was read, lets attempts finish, and loses and repeats nothing.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mtrigger.dispatcher import Dispatcher
from mtrigger.ownership.standby import Owned
from mtrigger.supervision.stopping import Stop
from mtrigger.supervision.supervising import first_error, part, until


class Reader(Protocol):
    """What reads a stream and stores what it owes."""

    async def run(self) -> None:
        """Read until `stop`; return once everything that was read is stored."""
        ...

    def stop(self) -> None:
        """Read no further."""
        ...


@dataclass(frozen=True, slots=True)
class StreamWork:
    """The parts for one stream. What is cancelled at the end has `drain` seconds to finish."""

    stream: Owned
    dispatcher: Dispatcher
    drain: float

    async def run(self, reader: Reader, beside: Mapping[str, Coroutine[Any, Any, None]], stop: Stop) -> None:
        """Run until `stop`, with `beside`, by their names, what else is to run meanwhile. Raises what a part
        died of."""
        try:
            async with asyncio.TaskGroup() as parts:
                dispatching = parts.create_task(self.dispatcher.run(), name="dispatcher")
                watching = parts.create_task(reader.run(), name="watcher")
                others = [
                    parts.create_task(part(name, work), name=name)
                    for name, work in {"lease": self.stream.lasts(), **beside}.items()
                ]
                await until(stop.requested, (dispatching, watching, *others))
                reader.stop()
                draining = parts.create_task(part("drain", self._drain(stop)), name="drain")
                await asyncio.wait({watching, draining})
                await dispatching
                for task in others:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _drain(self, stop: Stop) -> None:
        hurry = asyncio.create_task(stop.hurried.wait())
        draining = asyncio.create_task(self.dispatcher.drain(self.drain))
        try:
            await asyncio.wait({hurry, draining}, return_when=asyncio.FIRST_COMPLETED)
            if draining.done():
                draining.result()
                return
        finally:
            hurry.cancel()
            draining.cancel()
        await self.dispatcher.drain(0)
