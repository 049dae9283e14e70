"""A wire to `mongod` that can be cut after a command was carried out and before its reply comes back."""

import asyncio
from contextlib import suppress


class MongoProxy:
    """Forwards a loopback port to `mongod`; `lose_reply("insert")` lets the next insert happen in vain, and
    `refuse_next()` cuts the next connection before a word is said."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._losing = b""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self.lost = 0
        self.refused = 0

    @property
    def uri(self) -> str:
        """Its address, for a client that must not look for other members."""
        assert self._server is not None, "opened first"
        port = self._server.sockets[0].getsockname()[1]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        assert self._server is not None, "opened first"
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose_reply(self, command: str) -> None:
        """Cut the connection over which the next `command` goes, once its reply is there."""
        self._losing = b"\x02" + command.encode() + b"\x00"  # a BSON string field of that name

    def refuse_next(self) -> None:
        """Cut the next connection that is made, at once."""
        self._refusing = True

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            self._refusing = False
            self.refused += 1
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        sides = [writer]
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._target_port)
            sides.append(ours)
            doomed = asyncio.Event()
            ways = (self._requests(reader, ours, doomed), self._replies(theirs, writer, doomed))
            both = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in both:
                    way.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass  # the server may be gone
        finally:
            for side in sides:
                side.close()
            for side in sides:
                with suppress(OSError):  # either side may go at any time
                    await side.wait_closed()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while message := await _message(reader):
            if self._losing and self._losing in message:
                self._losing = b""
                doomed.set()
            writer.write(message)
            await writer.drain()

    async def _replies(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while message := await _message(reader):
            if doomed.is_set():
                self.lost += 1
                return
            writer.write(message)
            await writer.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One message of the wire protocol: its length comes first."""
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "little") - 4)
