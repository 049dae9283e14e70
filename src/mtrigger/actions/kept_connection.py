"""One connection that all attempts share, for servers that take many messages at once over one.

Promises: it is opened when somebody first needs it, once for all who wait, who share a failure too; one that
broke or was given up is replaced by the next who asks, and closed when its last user has left it; one that
nobody uses is closed after `IDLE_SECONDS`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

IDLE_SECONDS = 60.0


class Connection(Protocol):
    """What can be kept."""

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as is known."""
        ...

    async def close(self) -> None:
        """End it, within seconds; raises nothing, also when it is broken."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Connection)


class KeptConnection(Generic[ConnectionT]):
    """Made by `connect` when it is needed."""

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, ConnectionT]]) -> None:
        self._connect = connect
        self._opening: asyncio.Task[ConnectionT] | None = None
        self._current: ConnectionT | None = None
        self._users: dict[ConnectionT, int] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[ConnectionT]:
        """A block that uses it, beside others. Raises what `connect` raises."""
        connection = await self._ready()
        self._users[connection] = self._users.get(connection, 0) + 1
        try:
            yield connection
        finally:
            self._users[connection] -= 1
            self._look_after(connection)

    def give_up(self, connection: ConnectionT) -> None:
        """Let others have a new one: whoever uses it does not trust it any more."""
        if self._current is connection:
            self._current = None

    async def close(self) -> None:
        """End it. Nobody may use it any more."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        if self._idle is not None:
            self._idle.cancel()
        current, self._current = self._current, None
        if current is not None:
            self._look_after(current)
        await asyncio.gather(*self._ending)

    async def _ready(self) -> ConnectionT:
        if self._current is not None and self._current.is_open:
            return self._current
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_noted)
        return await asyncio.shield(self._opening)  # whoever is cancelled leaves it to the others

    async def _open(self) -> ConnectionT:
        try:
            connection = await self._connect()
        finally:
            self._opening = None
        broken, self._current = self._current, connection
        if broken is not None:
            self._look_after(broken)
        self._look_after(connection)  # all who waited may be gone
        return connection

    def _look_after(self, connection: ConnectionT) -> None:
        """A connection that may have no user: keep it for a while, or end it."""
        if self._users.get(connection):
            return
        self._users.pop(connection, None)
        if connection is self._current and connection.is_open:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire, connection)
            return
        self.give_up(connection)
        ending = asyncio.create_task(connection.close())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _retire(self, connection: ConnectionT) -> None:
        if connection is self._current and not self._users.get(connection):
            self._current = None
            self._look_after(connection)


def _noted(opening: "asyncio.Task[Any]") -> None:
    """A failure that nobody waits for any more is no news."""
    if not opening.cancelled():
        opening.exception()
