"""Programs of the user's, run to their end, and nothing of them left behind.

Promises: a program is started with exactly the arguments it is given, in a process group of its own, and
however the wait for it ends (its own end, a time limit, mtrigger's), the whole group ends: asked first
(SIGTERM), killed after a moment. What it writes is read to the end and kept in part, so memory is bounded and
no program waits for a reader. One that does not read its standard input is nothing special.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

PROCESSES = 32
"""Programs at the same time, those of all rules together; further ones wait for a place."""

GRACE = 2.0
"""Seconds between asking a process group to end and killing it: less than mtrigger takes for its own end."""

_LAST_OUTPUT = 0.5  # seconds for output still under way when nobody of the group is left to write any
_POLL = 0.02
_KEPT = 4096
_STDIN, _STDOUT, _STDERR = range(3)


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run: the executable file, its arguments (with its own name first), its whole environment,
    the folder it runs in (None: the current one), and its standard input."""

    file: str
    arguments: Sequence[bytes]
    environment: Mapping[bytes, bytes]
    directory: str | None
    stdin: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code (negative: the signal that killed it; None: its time was up), the
    beginning of what it wrote to standard output, and the end of what it wrote to standard error."""

    code: int | None
    stdout: str
    stderr: str


class Processes:
    """Places for programs that run at the same time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(PROCESSES)

    async def run(self, program: Program, seconds: float) -> Ended:
        """Run `program` to its end, which comes after `seconds` at last; waiting for a place does not count.
        Raises OSError when it cannot be started."""
        async with self._places:
            transport, conversation = await _started(program)
            try:
                return await _conversed(transport, conversation, program.stdin, seconds)
            finally:
                transport.close()


async def _started(program: Program) -> "tuple[asyncio.SubprocessTransport, _Conversation]":
    """Start it. Who is cancelled meanwhile waits until it has started: it may run already, and there would be
    nothing to end it by."""
    start = asyncio.get_running_loop().subprocess_exec(
        _Conversation,
        *program.arguments,
        executable=program.file,
        env=program.environment,
        cwd=program.directory,
        start_new_session=True,
    )
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})
        if starting.exception() is None:
            transport, conversation = starting.result()
            await _end_group(transport.get_pid(), conversation)
            transport.close()
        raise


async def _conversed(
    transport: asyncio.SubprocessTransport, conversation: "_Conversation", stdin: bytes, seconds: float
) -> Ended:
    overdue = False
    try:
        async with asyncio.timeout(seconds):
            pipe = cast(asyncio.WriteTransport, transport.get_pipe_transport(_STDIN))
            if not pipe.is_closing():  # a program may have closed it already, or be gone
                pipe.write(stdin)
                pipe.close()  # once all of it is written
            await conversation.exited.wait()
    except TimeoutError:
        overdue = True
    finally:
        await _end_group(transport.get_pid(), conversation)
    with suppress(TimeoutError):  # somebody who left the group holds the pipes
        async with asyncio.timeout(_LAST_OUTPUT):
            await conversation.silent.wait()
    code = None if overdue else transport.get_returncode()
    return Ended(code, conversation.first_words(), conversation.last_words())


class _Conversation(asyncio.SubprocessProtocol):
    """Keeps the beginning of one pipe and the end of the other, and tells when both are closed."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self._beginning = bytearray()
        self._end = bytearray()
        self._open = {_STDOUT, _STDERR}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDOUT:
            self._beginning += data[: _KEPT - len(self._beginning)]
        else:
            self._end += data
            del self._end[:-_KEPT]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()

    def first_words(self) -> str:
        """The beginning of standard output."""
        return self._beginning.decode("utf-8", "replace")

    def last_words(self) -> str:
        """The end of standard error, from the beginning of a line where some of it is gone."""
        text = self._end.decode("utf-8", "replace")
        return text if len(self._end) < _KEPT else text.partition("\n")[2] or text


async def _end_group(group: int, conversation: _Conversation) -> None:
    """End every process of the group: ask, wait a moment, kill. The first of them is waited for in any case,
    and the rest is killed at once when this is cancelled."""
    try:
        if _tell(group, signal.SIGTERM):
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await _gone(group, conversation)
    finally:
        killed = _tell(group, signal.SIGKILL)
    await conversation.exited.wait()
    if killed:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_OUTPUT):
                await _gone(group, conversation)


async def _gone(group: int, conversation: _Conversation) -> None:
    """Until nobody of the group is left, as a zombie either."""
    while _tell(group, 0):
        if conversation.exited.is_set():  # what became of the first one, the loop has to be told first
            _bury(group)
        await asyncio.sleep(_POLL)


def _bury(group: int) -> None:
    """Take note of the ends of those whose parent was the first of the group. They are ours where mtrigger is
    the first process of a container; elsewhere somebody else does this."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG) != (0, 0):
            pass


def _tell(group: int, number: int) -> bool:
    """Send a signal to the group, 0 for none. Whether anybody is there."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return False
    return True
