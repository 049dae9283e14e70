"""Servers that a test starts for itself, with arguments of its own; all gone when the test is over."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure

from mtrigger.embedded import EmbeddedServer, find_mongod
from mtrigger.errors import DeploymentError
from support.polling import eventually_sync

TEST_ARGUMENTS = (
    "--setParameter",
    "enableTestCommands=1",
    "--setParameter",
    "diagnosticDataCollectionEnabled=false",
    "--setParameter",
    "ttlMonitorEnabled=false",  # samples are dated in the past: what is done of them would expire meanwhile
)


class RunningServer(Protocol):
    """What a test needs to know of a server."""

    uri: str

    @property
    def exit_code(self) -> int | None: ...

    def stop(self) -> None: ...


class StandaloneServer:
    """A `mongod` that is no replica set: what a user has who installed MongoDB and changed nothing. It keeps
    its port and its data when it is started again."""

    def __init__(self, data: Path, arguments: Sequence[str] = ()) -> None:
        port = free_port()
        self.uri = f"mongodb://127.0.0.1:{port}/"
        data.mkdir(parents=True, exist_ok=True)
        options = ("--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket")
        self._command = [str(find_mongod()), *options, *TEST_ARGUMENTS, *arguments]
        self.start()

    def start(self) -> None:
        """Start it (again) and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        eventually_sync(self._answers, patience=60)

    @property
    def exit_code(self) -> int | None:
        """What it ended with, None while it runs."""
        return self._process.poll()

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"mongod ended with {self._process.returncode}"
        client: MongoClient[dict[str, Any]] = MongoClient(self.uri, serverSelectionTimeoutMS=1000)
        with client:
            try:
                return bool(client.admin.command("ping")["ok"])
            except ConnectionFailure:
                return False  # not yet

    def stop(self) -> None:
        """Stop the server and wait for its end. Harmless when it has ended already."""
        self._process.terminate()
        self._process.wait(60)


class MongoServers:
    """Starts servers on folders below `folder`; `stop_all` ends and removes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[tuple[RunningServer, Path]] = []

    def replica_set(self, *arguments: str) -> EmbeddedServer:
        """A one-member replica set; `arguments` go to `mongod`, such as `--oplogSize 990`."""
        data = self._data()
        server = EmbeddedServer.start(data, arguments=(*TEST_ARGUMENTS, *arguments))
        self._servers.append((server, data))
        return server

    def standalone(self, *arguments: str) -> StandaloneServer:
        """A server that is no replica set."""
        data = self._data()
        server = StandaloneServer(data, arguments)
        self._servers.append((server, data))
        return server

    def with_users(self, *arguments: str) -> EmbeddedServer:
        """A replica set with access control on and no user yet: make the first one through its `uri`.

        The localhost exception allows that once, for a client without credentials.
        """
        key = self._folder / "keyfile"
        if not key.exists():
            key.touch(0o600)
            key.write_text("forTestsOnly0123456789")
        return self.replica_set("--auth", "--keyFile", str(key), *arguments)

    def stop_all(self) -> None:
        """End every server at once and delete its data. A clean stop would take a second each, for data that
        nobody will read."""
        for server, data in self._servers:
            if server.exit_code is None:
                _kill(data)
            server.stop()
        shutil.rmtree(self._folder, ignore_errors=False)

    def _data(self) -> Path:
        return self._folder / f"server-{len(self._servers)}"


def _kill(data: Path) -> None:
    """Kill the server on the folder `data`: it has written its process id into its lock file."""
    with suppress(ValueError, ProcessLookupError):  # it ends by itself just now
        os.kill(int((data / "mongod.lock").read_text()), signal.SIGKILL)


def mongod_or_skip() -> None:
    """Skip the test when there is no `mongod`; in CI that is an error."""
    try:
        find_mongod()
    except DeploymentError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
