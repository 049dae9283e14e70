"""Starting the server, making it a replica set of one, and stopping it, whatever happens to us."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mtrigger.embedded.binary import EXIT_ADDRESS_IN_USE, find_mongod, why_it_ended
from mtrigger.embedded.data_folder import DataFolder, is_free, running_port
from mtrigger.errors import DeploymentError

REPLICA_SET = "mtrigger"

START_SECONDS = 90.0
"""How long a server may take until it is primary: a journal to be replayed on a slow disk takes a while."""

STOP_SECONDS = 30.0
"""How long a server may take for a clean stop before it is killed."""

_POLL_SECONDS = 0.05
_PORT_ATTEMPTS = 5
_ALREADY_INITIALIZED = 23
_STILL_LOADING = (93, 94, 109)  # InvalidReplicaSetConfig, NotYetInitialized, ConfigurationInProgress

_SUPERVISOR = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -TERM "$server"; } &
listener=$!
exec 3<&-
wait "$server"
code=$?
kill "$listener" 2>/dev/null
exit "$code"
"""
"""Runs the server as its child and stops it when standard input ends.

Standard input is a pipe of which only the starting process holds the other end, and the kernel closes that
end however the process dies. Linux's PR_SET_PDEATHSIG would not do: it acts when the starting *thread* ends,
needs code between fork and exec in a process with threads, and does not exist on macOS.
"""


class EmbeddedServer:
    """A running one-member replica set at `uri`, made by `start`. Leaving its context stops it."""

    def __init__(self, supervisor: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self.uri = _uri(port)
        self._supervisor = supervisor

    @classmethod
    def start(cls, data: Path, *, port: int | None = None, arguments: Sequence[str] = ()) -> Self:
        """Start a server on the folder `data` and wait until it is primary. Blocks, for about a second.

        Without `port` the folder's last one is used again if it is free, else any free one. `arguments` go to
        `mongod` and replace the defaults of the same name.

        Raises DeploymentError when there is no mongod, the folder or the port is in use, or the server
        does not come up.
        """
        binary = find_mongod()
        if port is not None and not is_free(port):
            raise DeploymentError(
                f"port {port} on 127.0.0.1 is in use: choose another, or end the program that has it"
            )
        folder = DataFolder.claim(data)
        try:
            for _ in range(_PORT_ATTEMPTS):
                server = cls(*_launch(binary, folder, port or folder.choose_port(), arguments))
                try:
                    _become_primary(server)
                except BaseException:
                    server.stop()
                    if server.exit_code == EXIT_ADDRESS_IN_USE and port is None:
                        continue  # somebody took the port between our choice and the server's start
                    raise
                folder.note(server.port)
                return server
            raise DeploymentError(f"no free port was found on 127.0.0.1 in {_PORT_ATTEMPTS} attempts")
        finally:
            folder.hand_over()

    @property
    def exit_code(self) -> int | None:
        """What the server ended with, None while it runs."""
        return self._supervisor.poll()

    def stop(self) -> None:
        """Stop the server cleanly, or kill it if that takes too long. Harmless when it has ended already."""
        stdin = self._supervisor.stdin
        if stdin is not None:
            stdin.close()
        try:
            code = self._supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        if code < 0:  # too slow, or somebody killed the supervisor: the server may be there still
            _kill_group(self._supervisor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def running_uri(data: Path) -> str:
    """The address of the server that another process runs on the folder `data`, "" when there is none."""
    port = running_port(data)
    return _uri(port) if port is not None else ""


def _uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def _kill_group(supervisor: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(supervisor.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nobody is left
    supervisor.wait()


def _launch(
    binary: Path, folder: DataFolder, port: int, arguments: Sequence[str]
) -> tuple[subprocess.Popen[bytes], int, Path]:
    """Start the supervisor and, through it, the server. The log begins anew with every start."""
    defaults = {
        "--dbpath": str(folder.path),
        "--port": str(port),
        "--bind_ip": "127.0.0.1",
        "--replSet": REPLICA_SET,
        "--wiredTigerCacheSizeGB": "0.25",
        "--oplogSize": "1024",
    }
    given = {argument.partition("=")[0] for argument in arguments}
    options = [part for name, value in defaults.items() if name not in given for part in (name, value)]
    with folder.log.open("wb") as log:
        supervisor = subprocess.Popen(  # noqa: S603 - a fixed script and a binary we found ourselves, no shell text
            ["/bin/sh", "-c", _SUPERVISOR, "sh", str(binary), *options, "--nounixsocket", *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is not for the server
            pass_fds=(folder.descriptor,),
        )
    return supervisor, port, folder.log


def _become_primary(server: EmbeddedServer) -> None:
    """Wait for the server, make it a replica set of one if it is not yet, and wait until it takes writes."""
    deadline = time.monotonic() + START_SECONDS
    obstacle: str | None = "it does not listen yet"
    while time.monotonic() < deadline:
        if server.exit_code is not None:
            raise DeploymentError(why_it_ended(server.exit_code, server.log))
        # Until our own server says that it listens, whoever answers on this port is somebody else.
        if b"aiting for connections" in server.log.read_bytes():
            obstacle = _advance(server.port)
            if obstacle is None:
                return
        time.sleep(_POLL_SECONDS)
    raise DeploymentError(
        f"the embedded MongoDB was not ready after {START_SECONDS:g} s ({obstacle}): see {server.log}"
    )


def _advance(port: int) -> str | None:
    """Take one step towards a primary. Returns what is still in the way, None when it takes writes."""
    from pymongo import MongoClient
    from pymongo.errors import ConnectionFailure, OperationFailure

    host = f"127.0.0.1:{port}"
    # A new client each time: one that saw the server uninitialised goes on to refuse sessions.
    client: MongoClient[dict[str, Any]] = MongoClient(
        f"mongodb://{host}/?directConnection=true", serverSelectionTimeoutMS=2000
    )
    with client:
        try:
            return None if _is_primary(client.admin, host) else "it has not become primary"
        except ConnectionFailure as error:
            return str(error)
        except OperationFailure as error:
            if error.code in _STILL_LOADING:
                return str(error)
            raise DeploymentError(f"the embedded MongoDB cannot be made a replica set: {error}") from error


def _is_primary(admin: Any, host: str) -> bool:
    """Whether the server takes writes. A missing replica set, or one on another port, is mended first."""
    from pymongo.errors import OperationFailure

    hello = admin.command("hello")
    if not hello.get("isreplicaset"):  # it has a configuration that it is a member of
        return bool(hello.get("isWritablePrimary"))
    member = {"_id": 0, "host": host}
    try:
        admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise
        config = admin.command("replSetGetConfig")["config"]
        config |= {"version": config["version"] + 1, "members": [{**config["members"][0], "host": host}]}
        admin.command("replSetReconfig", config, force=True)
    return False
