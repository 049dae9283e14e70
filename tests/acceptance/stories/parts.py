"""The parts of an example as processes of their own: MongoDB, mtrigger, consumers. Any can be killed."""

import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger.embedded import EmbeddedServer
from support.command import MtriggerCommand, Running
from support.mongo_servers import TEST_ARGUMENTS
from support.polling import eventually_sync

EXAMPLES = Path(__file__).parents[3] / "examples"
MONGODB = "MongoDB"

Client = AsyncMongoClient[dict[str, Any]]
Command = tuple[str, ...]


class Parts:
    """The processes of an example, of which `folder` holds a copy. Those of `commands` begin with `start`.
    Programs in Python are named by their files; what they write goes into the file `seen.txt`, in order."""

    def __init__(self, command: MtriggerCommand, example: str, commands: Mapping[str, Command]) -> None:
        self.folder = command.folder
        self.kills = 0
        self._command = command
        self._commands = commands
        self._running: dict[str, Running] = {}
        self._environment: dict[str, str] = {}
        shutil.copytree(EXAMPLES / example, self.folder, dirs_exist_ok=True)
        self.mongodb = EmbeddedServer.start(self._data, arguments=TEST_ARGUMENTS)

    @property
    def names(self) -> tuple[str, ...]:
        """Whom one may kill."""
        return (*self._commands, MONGODB)

    def start(self, environment: Mapping[str, str]) -> None:
        """Start them all, and wait until the rules are watched."""
        self._environment = {"MTRIGGER_URI": self.mongodb.uri, **environment}
        for name in self._commands:
            self._begin(name)
        self._running["watch"].wait_for_line("watching .* from")

    def kill(self, name: str) -> None:
        """kill -9, and start it again."""
        self.kills += 1
        if name == MONGODB:
            os.kill(int((self._data / "mongod.lock").read_text()), signal.SIGKILL)
            eventually_sync(lambda: self.mongodb.exit_code is not None)
            self.mongodb.stop()
            port = self.mongodb.port
            self.mongodb = EmbeddedServer.start(self._data, port=port, arguments=TEST_ARGUMENTS)
            return
        running = self._running[name]
        assert running.code is None, f"{name} ended by itself with {running.code}:\n{running.output}"
        running.kill()
        self._begin(name)

    def end(self) -> None:
        """End them in good order."""
        for name, running in self._running.items():
            assert running.interrupt() == 0, f"{name}:\n{running.output}"

    def close(self) -> None:
        """End whatever is left."""
        self._command.end_all()
        self.mongodb.stop()

    def seen(self) -> list[str]:
        """What the programs have written, all of them, in order."""
        path = self.folder / "seen.txt"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def _data(self) -> Path:
        return self.folder / "mongodb"

    def _begin(self, name: str) -> None:
        first, *rest = self._commands[name]
        if first.endswith(".py"):
            # Lines of several programs must not run into each other: each is one write.
            line = f"exec {sys.executable} {first} >> seen.txt"
            self._running[name] = self._command.start(
                "-c", line, env={**self._environment, "PYTHONUNBUFFERED": ""}, program="/bin/sh"
            )
        else:
            self._running[name] = self._command.start(first, *rest, env=self._environment)


@asynccontextmanager
async def playing(
    command: MtriggerCommand, example: str, commands: Mapping[str, Command]
) -> AsyncIterator[tuple[Parts, Client]]:
    """The parts of an example, of which only MongoDB runs yet, and a client of that; all gone in the end."""
    parts = Parts(command, example, commands)
    try:
        async with AsyncMongoClient[dict[str, Any]](parts.mongodb.uri, tz_aware=True) as client:
            yield parts, client
    finally:
        parts.close()
