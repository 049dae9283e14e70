"""A wire to a server that can be cut, frozen, slowed down and refused: a TCP proxy in a thread of its own."""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass

from support.loop_thread import LoopThread

CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bytes travel: each piece of at most `segment` bytes after `delay` seconds, at most
    `bytes_per_second` of them on one connection and in one direction. `requests` and `replies` say which ways
    are open at all."""

    requests: bool = True
    replies: bool = True
    delay: float = 0.0
    bytes_per_second: float = float("inf")
    segment: int = CHUNK


class FaultyWire:
    """Forwards a loopback port to `target_port`. Every fault lasts until `heal`.

    What a fault has swallowed never arrives: the connections it has hit stay silent until somebody closes
    them, as those behind a firewall that has forgotten them do.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._conditions = Conditions()
        self._thread = LoopThread("faulty-wire")
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.opened = 0
        self._thread.run(self._listen())

    @property
    def uri(self) -> str:
        """Its address, for a client that must not look for other members."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def cut(self) -> None:
        """Close every connection; new ones are welcome."""
        self._thread.run(self._cut())

    def refuse(self) -> None:
        """Close every connection, and the port."""
        self._thread.run(self._close())

    def black_hole(self) -> None:
        """Let nothing through in either direction, and close nothing."""
        self._conditions = Conditions(requests=False, replies=False)

    def drop_replies(self) -> None:
        """Half-open: let requests reach the server, and no reply come back."""
        self._conditions = Conditions(replies=False)

    def slow(
        self, *, delay: float = 0.0, bytes_per_second: float = float("inf"), segment: int = CHUNK
    ) -> None:
        """Let everything through, but slowly."""
        self._conditions = Conditions(delay=delay, bytes_per_second=bytes_per_second, segment=segment)

    def heal(self) -> None:
        """New connections are as they should be."""
        self._conditions = Conditions()
        if self._server is None:
            self._thread.run(self._listen())

    def close(self) -> None:
        """Stop for good."""
        self._thread.run(self._close())
        self._thread.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._cut()

    async def _cut(self) -> None:
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        self.opened += 1
        with suppress(OSError, asyncio.CancelledError):  # either side may go at any time, and we may cut
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._target_port)
            ways = [
                asyncio.ensure_future(self._forward(reader, ours, "requests")),
                asyncio.ensure_future(self._forward(theirs, writer, "replies")),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                ours.close()
        writer.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        silent = False
        while data := await reader.read(CHUNK):
            silent = silent or not getattr(self._conditions, direction)
            if silent:
                continue
            await asyncio.sleep(self._conditions.delay)
            while data:
                now = self._conditions
                piece, data = data[: now.segment], data[now.segment :]
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(len(piece) / now.bytes_per_second)
