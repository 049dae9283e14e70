"""Which process owns something, in a text that any other process can read, and whether it is gone.

Promise: a process is called gone only if that is certain: it ran on this very machine since its last boot, in
this process's own pid namespace, and no such process is there any more. So a watcher that was killed can be
started again at once, while one on another machine, or in another container, is waited for.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_ENDED = ("Z", "X", "x")  # zombie and dead: proc(5), /proc/[pid]/stat, field 3


@dataclass(frozen=True, slots=True)
class Process:
    """One run of one process.

    `started` is when it started, in clock ticks since boot; `machine` names the boot of the machine and the
    namespaces that pids and ticks belong to. Both are "" where there is no /proc. `run` tells apart whatever
    else is equal.
    """

    host: str
    pid: int
    started: str
    machine: str
    run: str

    def __str__(self) -> str:
        return "/".join((self.host, str(self.pid), self.started, self.machine, self.run))

    @classmethod
    def parse(cls, text: str) -> "Process | None":
        """Read what `str` wrote; None for anything else."""
        parts = text.split("/")
        if len(parts) != 5 or not parts[1].isdecimal():
            return None
        host, pid, started, machine, run = parts
        return cls(host, int(pid), started, machine, run)


def this_process() -> Process:
    """This process, as a new run of its own."""
    pid = os.getpid()
    _, started = _stat(pid) or ("", "")
    host = socket.gethostname().replace("/", "-")
    return Process(host, pid, started, _machine(), secrets.token_hex(4))


def is_gone(text: str) -> bool:
    """Whether the process with this text provably runs no longer; False if that cannot be told here."""
    owner = Process.parse(text)
    if owner is None or not owner.machine or owner.machine != _machine():
        return False
    try:
        os.kill(owner.pid, 0)  # a look, not a signal; unlike /proc it is not hidden from other users
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is there and belongs to somebody else
    seen = _stat(owner.pid)
    if seen is None:
        return False
    state, started = seen
    return state in _ENDED or started != owner.started


def shown(text: str) -> str:
    """The owner in a few words for people."""
    owner = Process.parse(text)
    if owner is None:
        return text or "nobody"
    return f"{owner.host} (process {owner.pid})"


def _machine() -> str:
    """The boot of this machine and our namespaces of pids and of time; "" where that cannot be known.

    The number of a namespace may be given out again, but only when no process is left in the old one.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        spaces = [(_PROC / "self/ns" / name).readlink().name for name in ("pid", "time")]
    except OSError:
        return ""
    return ":".join((boot, *(space.partition("[")[2].rstrip("]") for space in spaces)))


def _stat(pid: int) -> tuple[str, str] | None:
    """The state of a process and when it started (proc(5)); None if that cannot be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], fields[19]
