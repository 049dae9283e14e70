"""A port where something listens that is no server: it takes every connection and closes it at once."""

import asyncio

from support.loop_thread import LoopThread


class ClosingPort:
    """Listens on `port` (0: a free one) from the start; `connections` counts those that were made."""

    def __init__(self, port: int = 0) -> None:
        self.connections = 0
        self._thread = LoopThread("closing-port")
        self._thread.run(self._open(port))

    @property
    def port(self) -> int:
        """Where it listens."""
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    def close(self) -> None:
        """Stop listening, so that somebody else may."""
        self._thread.run(self._close())
        self._thread.close()

    async def _open(self, port: int) -> None:
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", port)

    async def _close(self) -> None:
        self._server.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()
