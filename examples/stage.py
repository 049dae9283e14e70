"""What the examples run on: a MongoDB, a mailbox, and processes whose lines are shown as they come.

All of it listens on this machine alone and is gone at the end. A process that is killed is started again, so
that anybody may try what becomes of it.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import click
from pymongo import AsyncMongoClient

from mtrigger.embedded import EmbeddedServer
from mtrigger.web.mailbox import MailboxServer

MTRIGGER = str(Path(sys.executable).with_name("mtrigger"))

_LABEL = 14
_END_SECONDS = 15.0
_OF_LOGS = re.compile(r"^\S+Z info +|\b(group|delivery)=\S+ ")
"""What would make the lines of logs too long for a terminal."""


@dataclass(frozen=True, slots=True)
class Check:
    """What has to be somewhere, and what is there. `repeats`: some of it may be there more than once."""

    place: str
    wanted: frozenset[Any]
    found: Counter[Any]
    repeats: bool = False

    @property
    def wrong(self) -> str:
        """What is missing, too much or there twice; "" when all is well."""
        missing, strange = self.wanted - self.found.keys(), self.found.keys() - self.wanted
        twice = [one for one, count in self.found.items() if count > 1]
        told = {"missing": missing, "too much": strange, "twice": () if self.repeats else twice}
        return ", ".join(f"{name}: {sorted(some, key=str)[:5]}" for name, some in told.items() if some)


class Story(Protocol):
    """An example: its parts, what happens in it, and what must have come of it."""

    @property
    def parts(self) -> Mapping[str, Sequence[str]]:
        """The names of the processes, with their command lines."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What they need besides the addresses of MongoDB and of the mailbox."""
        ...

    async def happen(self) -> str:
        """Let the next thing happen; returns it in a line."""
        ...

    async def checks(self) -> list[Check]:
        """What must be where by now."""
        ...


class Stage:
    """The servers, and the processes that play on them; `said` is what these have written, by their names."""

    def __init__(self, mongodb: EmbeddedServer, mailbox: MailboxServer, folder: Path) -> None:
        self.uri = mongodb.uri
        self.client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb.uri, tz_aware=True)
        self.mailbox = mailbox
        self.folder = folder
        self.said: dict[str, list[str]] = {}
        self._ready = asyncio.Event()
        self._environment = {
            **os.environ,
            "MTRIGGER_URI": mongodb.uri,
            "MTRIGGER_SMTP_URL": mailbox.smtp_url,
            "MTRIGGER_MAIL_FROM": "shop@example.com",
            "PYTHONUNBUFFERED": "1",
        }

    @asynccontextmanager
    async def playing(self, story: Story) -> AsyncIterator[None]:
        """All parts of `story` run meanwhile; it begins when the rules are being watched."""
        async with asyncio.TaskGroup() as tasks:
            playing = [
                tasks.create_task(self._keep_up(name, command, {**self._environment, **story.environment}))
                for name, command in story.parts.items()
            ]
            telling = tasks.create_task(self._tell_of_mails())
            await self._ready.wait()
            try:
                yield
            finally:
                for task in (*playing, telling):
                    task.cancel()

    def say(self, who: str, line: str) -> None:
        """Show a line of one of the parts."""
        click.echo(click.style(f"{who:>{_LABEL}} ", fg="cyan") + _OF_LOGS.sub("", line))

    async def _keep_up(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a part until this is cancelled; one that a signal has ended is started again."""
        while True:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us alone
            )
            self.say(name, f"started as process {process.pid}")
            try:
                code = await self._read(name, process)
            finally:
                await _ended(process)
            if code >= 0:
                raise RuntimeError(f"{name} has ended with exit code {code}: see its lines above")
            self.say(name, f"was ended by {signal.Signals(-code).name}: it is started again")

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.said.setdefault(name, []).append(line)
            self.say(name, line)
            if "watching" in line:
                self._ready.set()
        return await process.wait()

    async def _tell_of_mails(self) -> None:
        told = 0
        async for _ in self.mailbox.mailbox.changes():
            for mail in reversed(self.mailbox.mailbox.newest_first):
                if mail.number > told:
                    told = mail.number
                    self.say("mail", f"to {', '.join(mail.envelope_to)}: {mail.header('Subject')}")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, as Ctrl-C does, and wait for it; not for ever."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.communicate(), _END_SECONDS)
    if process.returncode is None:
        process.kill()
        await process.wait()


@asynccontextmanager
async def stage(folder: Path, port: int) -> AsyncIterator[Stage]:
    """The servers for the example in `folder`, with a mailbox whose page is at `port` (0: any)."""
    with TemporaryDirectory(prefix="mtrigger-example-") as data:
        server = await asyncio.to_thread(EmbeddedServer.start, Path(data) / "mongodb")
        mailbox = MailboxServer(("127.0.0.1", 0), ("127.0.0.1", port))
        try:
            await mailbox.start()
            try:
                found = Stage(server, mailbox, folder)
                async with found.client:
                    yield found
            finally:
                await mailbox.stop()
        finally:
            await asyncio.to_thread(server.stop)
