"""Processes of our own: started together, stopped together, and never left behind.

Promises: whoever is told to stop stops all of them; a child that dies ends the others in good order and is
named with its code; and a child notices that its parent is gone, however it went, because it reads a pipe of
which only the parent holds the other end. (Signals would not do: a supervisor or a terminal may send them to
all of a group at once, and nobody could tell the second request, for haste, from the first.)
"""

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from mtrigger.errors import MtriggerError
from mtrigger.supervision.stopping import LAST_WRITES, TIDYING_UP, Stop
from mtrigger.supervision.supervising import until_any

log = logging.getLogger(__name__)

STOP, HURRY = b"stop\n", b"hurry\n"
"""What a child is told through its standard input, whose end says that the parent is gone."""

MARGIN = 5.0
"""Seconds beyond what a child itself allows for its end, after which it is killed."""


class ChildError(MtriggerError):
    """A child has failed; `exit_code` is its own, or as a shell writes the signal that ended it."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class Children:
    """Child processes that do one job together. What runs in them may take `drain` seconds to end."""

    def __init__(self, stop: Stop, drain: float) -> None:
        self._stop = stop
        self._patience = drain + LAST_WRITES + TIDYING_UP + MARGIN
        self._processes: list[Process] = []
        self._one_ended = asyncio.Event()
        self._all_ended = asyncio.Event()

    async def run(self, commands: Sequence[Sequence[str]], environ: Mapping[str, str]) -> None:
        """Run every command until `stop`, which they are told of, or until the first of them ends.

        Raises ChildError when one of them has failed.
        """
        with ExitStack() as leftovers:
            for command in commands:
                process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, env=environ)
                self._processes.append(process)
                leftovers.callback(_kill, process)
            async with asyncio.TaskGroup() as tasks:
                for process in self._processes:
                    tasks.create_task(self._watch(process))
                await until_any(self._stop.requested, self._one_ended)
                first = next((process for process in self._processes if process.returncode), None)
                if not self._stop.requested.is_set():
                    log.warning("one of the processes has ended: the others stop, too")
                await self._end()
        failed = first or next((process for process in self._processes if process.returncode), None)
        if failed is not None:
            raise _error(failed, self._processes.index(failed) + 1, len(self._processes))

    async def _watch(self, process: Process) -> None:
        await process.wait()
        self._one_ended.set()
        if all(other.returncode is not None for other in self._processes):
            self._all_ended.set()

    async def _end(self) -> None:
        """Tell all to stop, to hurry if we are told so, and kill who takes longer than it may."""
        self._tell(STOP)
        try:
            async with asyncio.timeout(self._patience):
                await until_any(self._stop.hurried, self._all_ended)
                self._tell(HURRY)
                await self._all_ended.wait()
        except TimeoutError:
            log.error("some of the processes do not end: they are killed")
            for process in self._processes:
                _kill(process)

    def _tell(self, word: bytes) -> None:
        for process in self._processes:
            if process.returncode is None and process.stdin is not None:
                process.stdin.write(word)


async def heed_parent(stop: Stop) -> None:
    """In a child: hand on to `stop` what the parent says, until the parent is gone: a stop as well."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        stop.requested.set()
        if line == HURRY:
            stop.hurried.set()
    if not stop.requested.is_set():
        log.error("the process that started this one is gone: stopping")
        stop.requested.set()


def _kill(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it has ended, and nobody has been told yet
            process.kill()


def _error(process: Process, number: int, count: int) -> ChildError:
    code = process.returncode or 0
    name = f"process {number} of {count} (pid {process.pid})"
    if code < 0:
        with suppress(ValueError):  # a signal without a name
            ending = signal.Signals(-code).name
            return ChildError(f"{name} was ended by {ending}; the others have stopped", 128 - code)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return ChildError(f"{name} ended with {how}: see the lines above; the others have stopped", abs(code))
