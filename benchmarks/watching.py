"""The installed command `mtrigger watch` as a process, for what cannot be measured within our own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo.database import Database

State = Database[dict[str, Any]]

LONGEST = 240.0
"""Seconds that anything waited for may take."""

_STOP_SECONDS = 60.0
_LOOK_EVERY = 0.1


@contextmanager
def watching(uri: str, rules: Path, state: State, *options: str) -> Iterator[int]:
    """The command at work on the stream, from when it owns it; its process id. It is stopped in good order.

    It logs errors only, and finds the functions of this package because it runs in the current folder.
    """
    command = [str(Path(sys.executable).with_name("mtrigger")), "watch", "--rules", str(rules), "--uri", uri]
    command += ["--state-db", state.name, "--log-level", "error", *options]
    nowhere = {"MTRIGGER_SMTP_URL": "smtp://127.0.0.1:9?tls=none"}  # rules that mail need a server to start
    with subprocess.Popen(command, env={**os.environ, **nowhere}) as process:
        try:
            wait_until(lambda: _is_owned(state, process), "the command owns the stream")
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            finally:
                process.kill()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Look until it holds. Raises TimeoutError, which says `what` has not come about."""
    deadline = time.monotonic() + LONGEST
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {LONGEST:g} s it was still not so that {what}")
        time.sleep(_LOOK_EVERY)


def _is_owned(state: State, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, f"the command has ended with {process.poll()}"
    return state["checkpoints"].find_one({"lease.owner": {"$gt": ""}}) is not None
