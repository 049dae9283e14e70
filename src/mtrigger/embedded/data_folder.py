"""The folder an embedded server keeps its data in: whose it is at the moment, and the port it was on last."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from mtrigger.errors import DeploymentError

_RELEASE_SECONDS = 30.0
_POLL_SECONDS = 0.05
_FIRST_DESCRIPTOR = 10  # beyond the single digits, which the supervisor's shell uses for itself


def default_data_folder(environ: Mapping[str, str]) -> Path:
    """Where the embedded server keeps its data unless told otherwise: `mtrigger/mongodb` in the user's data
    folder (`XDG_DATA_HOME` if that is an absolute path, else `~/.local/share`).

    Source: XDG Base Directory Specification 0.8.
    """
    configured = environ.get("XDG_DATA_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".local" / "share"
    return base / "mtrigger" / "mongodb"


def running_port(path: Path) -> int | None:
    """The port of the server that runs on the data folder `path` at this moment, None when there is none."""
    try:
        with (path / "mtrigger.json").open("rb") as note:
            try:
                fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                noted = json.load(note)
                return noted["port"] if isinstance(noted, dict) and noted.get("port") else None
    except (OSError, ValueError):
        return None  # no such folder, or its owner is writing the note just now
    return None  # nobody holds the folder


class DataFolder:
    """A data folder that this process has claimed, and the note kept in it: who uses it, on which port.

    The claim is an flock on the note. The server inherits it, so it ends with the server and not before, and
    a crash leaves nothing behind.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.log = path / "mongod.log"
        self.descriptor = descriptor

    @classmethod
    def claim(cls, path: Path) -> Self:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path / "mtrigger.json", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DeploymentError(f"the data folder {path} cannot be used: {error.strerror}") from error
        folder = cls(path, fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR))
        os.close(descriptor)
        deadline = time.monotonic() + _RELEASE_SECONDS
        while not folder._lock():
            owner = folder._noted("owner")
            # A server whose owner has died is about to stop: worth waiting for.
            if (owner is not None and _is_alive(owner)) or time.monotonic() > deadline:
                folder.hand_over()
                raise DeploymentError(
                    f"the data folder {path} is in use by process {owner}: end that one, choose another"
                    " folder, or name a running deployment with --uri"
                )
            time.sleep(_POLL_SECONDS)
        folder.note(folder._noted("port"))
        return folder

    def _lock(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _noted(self, name: str) -> int | None:
        try:
            note = json.loads(os.pread(self.descriptor, 1000, 0))
        except ValueError:
            return None  # a new folder, or the other process is writing it just now
        value = note.get(name) if isinstance(note, dict) else None
        return value if isinstance(value, int) else None

    def note(self, port: int | None) -> None:
        """Write down that this process uses the folder, with a server on `port`."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps({"owner": os.getpid(), "port": port}).encode(), 0)

    def choose_port(self) -> int:
        """The port of last time if it is free, so that addresses people noted stay true; else a free one."""
        last = self._noted("port")
        if last is not None and is_free(last):
            return last
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    def hand_over(self) -> None:
        """Leave the claim to the server alone, or give it up if there is none."""
        os.close(self.descriptor)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as mongod does: connections that linger do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
