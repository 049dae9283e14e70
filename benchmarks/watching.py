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


class Watch:
    """The command while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Look until it holds. Raises TimeoutError, which says that `what` has not come about, and
        RuntimeError when the command ends before that."""
        deadline = time.monotonic() + LONGEST
        while not holds():
            if (code := self._process.poll()) is not None:
                raise RuntimeError(f"`mtrigger watch` has ended with {code}, before {what}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {LONGEST:g} s it was still not so that {what}")
            time.sleep(_LOOK_EVERY)


@contextmanager
def watching(uri: str, rules: Path, state: State, *options: str) -> Iterator[Watch]:
    """The command at work on the stream, from when it owns it. It is stopped in good order.

    It logs errors only, and finds the functions of this package because it runs in the current folder.
    """
    command = [str(Path(sys.executable).with_name("mtrigger")), "watch", "--rules", str(rules), "--uri", uri]
    command += ["--state-db", state.name, "--log-level", "error", *options]
    nowhere = {"MTRIGGER_SMTP_URL": "smtp://127.0.0.1:9?tls=none"}  # rules that mail need a server to start
    with subprocess.Popen(command, env={**os.environ, **nowhere}) as process:
        watch = Watch(process)
        try:
            watch.until(lambda: _is_owned(state), "the command owns the stream")
            yield watch
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            finally:
                process.kill()


def _is_owned(state: State) -> bool:
    return state["checkpoints"].find_one({"lease.owner": {"$gt": ""}}) is not None
