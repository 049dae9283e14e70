"""A process that has imported `mtrigger` already and becomes one command after the other, each in a fork.

Hundreds of tests run a command that ends at once, and importing it is most of what they would wait for. What
is told about a command stays true: it is a process of its own with its own folder, environment, streams and
exit code, and it ends as an interpreter does. What only a new interpreter shows is shown by commands that are
started, and by the tests of the installed command.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path

MODULES = (
    *("mtrigger.cli.check", "mtrigger.cli.deliveries", "mtrigger.cli.explain", "mtrigger.cli.replay"),
    *("mtrigger.cli.schema", "mtrigger.cli.status", "mtrigger.cli.test", "mtrigger.deployment.connecting"),
    *("mtrigger.stores.mongo", "mtrigger.loading", "lark", "pymongo"),
)
"""What the commands that tests run most often have in common; a command imports what else it needs."""

_OF_THE_INTERPRETER = ("PYTHON", "LD_", "LANG", "LC_", "FAKETIME")
"""Variables that begin so are read when a process starts, and never again."""


class Prepared:
    """The process, from the first command on until ours ends."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._start = _at_the_start(environment)
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._answers = self._line.makefile("r", encoding="utf-8")
        atexit.register(self.close)

    def close(self) -> None:
        """Let the process end: it does when nobody can ask it any more, also when we are killed."""
        self._answers.close()
        self._line.close()
        self._process.wait()

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a new interpreter would read the same of `environment` as this one did."""
        return _at_the_start(environment) == self._start and self._process.poll() is None

    def run(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: str, timeout: float
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of `command`, run in `folder` to its end."""
        with _file() as given, _file() as out, _file() as err:
            given.write(stdin)
            given.flush()
            request = {
                "command": [*command],
                "folder": str(folder),
                "environment": {**environment},
                "streams": [given.name, out.name, err.name],
            }
            self._line.settimeout(timeout)
            try:
                self._line.sendall(json.dumps(request).encode() + b"\n")
                answer = self._answers.readline()
            except TimeoutError:
                self._end()
                raise subprocess.TimeoutExpired([*command], timeout, out.read(), err.read()) from None
            assert answer, "the prepared process has ended"
            return int(answer), out.read(), err.read()

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_OF_THE_INTERPRETER)}


_file = partial(tempfile.NamedTemporaryFile, "w+", encoding="utf-8")


def _serve(line: socket.socket) -> None:
    """Fork for each request and answer with its exit code. Returns in the fork, which is the command then."""
    line.set_inheritable(False)
    requests = line.makefile("r", encoding="utf-8")
    while request := requests.readline():
        fork = os.fork()
        if fork == 0:
            requests.close()
            line.close()
            _become(**json.loads(request))
            return
        _, status = os.waitpid(fork, 0)
        line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)  # whoever asked is gone


def _become(
    command: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[str]
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for number, path in enumerate(streams):
        descriptor = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = [*command]
    sys.path[0] = str(Path(command[0]).parent)


def _main() -> None:
    from mtrigger.cli import main

    for name in MODULES:
        import_module(name)
    _serve(socket.socket(fileno=int(sys.argv[1])))
    main()


if __name__ == "__main__":
    del sys.path[0]  # this folder: its modules are nobody's to import
    sys.path.insert(0, "")
    _main()
