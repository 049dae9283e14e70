"""The installed `mtrigger` command as a process: run to its end, or started and spoken to by signals."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from support.polling import NeverHappenedError, eventually_sync
from support.prepared import Prepared

_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
"""PYTHONPATH is kept so that the command can be run from another source tree than the installed one."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams, one after the other."""
        return self.stdout + self.stderr


class Running:
    """A command that runs. What it writes is read as it comes, so that it never waits for us."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.name = name
        self._process = process
        self._lines: list[tuple[str, str]] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, label), daemon=True)
            for stream, label in ((process.stdout, "stdout"), (process.stderr, "stderr"))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs, negative if a signal ended it."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """Everything written so far, both streams in the order it was read."""
        return "".join(line for _, line in list(self._lines))

    @property
    def stdout(self) -> str:
        """What was written to standard output so far."""
        return "".join(line for label, line in list(self._lines) if label == "stdout")

    @property
    def stderr(self) -> str:
        """What was written to standard error so far."""
        return "".join(line for label, line in list(self._lines) if label == "stderr")

    def wait_for_line(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """The first line so far that holds the regular expression `pattern`, waited for."""
        matcher = re.compile(pattern)

        def found() -> re.Match[str] | None:
            ended = self.code is not None
            if ended:
                self._finish_reading()
            for line in self.output.splitlines():
                if match := matcher.search(line):
                    return match
            if ended:
                raise NeverHappenedError(
                    f"`{self.name}` ended with {self.code} before a line with {pattern!r}:\n{self.output}"
                )
            return None

        try:
            match = eventually_sync(found, timeout)
        except NeverHappenedError as error:
            raise NeverHappenedError(
                f"no line with {pattern!r} from `{self.name}`:\n{self.output}"
            ) from error
        assert match is not None
        return match

    def wait(self, timeout: float = 60.0) -> int:
        """The exit code, once it has ended by itself."""
        code = self._process.wait(timeout)
        self._finish_reading()
        return code

    def terminate(self, timeout: float = 60.0) -> int:
        """Ask it to stop (SIGTERM) and return its exit code."""
        return self._signal(signal.SIGTERM, timeout)

    def interrupt(self, timeout: float = 60.0) -> int:
        """Ctrl-C (SIGINT); returns the exit code."""
        return self._signal(signal.SIGINT, timeout)

    def kill(self) -> int:
        """End it at once (SIGKILL), in the middle of whatever it does."""
        return self._signal(signal.SIGKILL, 60)

    def send(self, number: signal.Signals) -> None:
        """Send a signal and return at once: SIGSTOP, SIGCONT, SIGHUP."""
        self._process.send_signal(number)

    def end_group(self) -> None:
        """Kill it and every process of its session that is left."""
        with suppress(ProcessLookupError):  # all gone, as it should be
            os.killpg(self._process.pid, signal.SIGKILL)
        self.wait()

    def _signal(self, number: signal.Signals, timeout: float) -> int:
        self._process.send_signal(number)
        return self.wait(timeout)

    def _finish_reading(self) -> None:
        for reader in self._readers:
            reader.join(10)  # a child that inherited our pipes may keep them open

    def _read(self, stream: IO[str] | None, label: str) -> None:
        assert stream is not None
        with stream:
            for line in stream:
                self._lines.append((label, line))


@cache
def _prepared() -> Prepared:
    """One for all tests of a worker."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return Prepared({**kept, "HOME": "/nonexistent", "PYTHONUNBUFFERED": "1"})


class MtriggerCommand:
    """Runs `mtrigger` in `folder`, with only the environment variables given and the few a process needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.executable = Path(sys.executable).with_name("mtrigger")
        self.accounts: list[tuple[str, Finished | Running]] = []

    def run(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 120.0,
    ) -> Finished:
        """Run the command to its end."""
        environment = self._environment(env)
        command = [str(self.executable), *map(str, arguments)]
        prepared = _prepared()
        if prepared.suits(environment):
            finished = Finished(*prepared.run(command, self.folder, environment, stdin, timeout))
        else:
            finished = self._run_anew(command, environment, stdin, timeout)
        self.accounts.append((self._name(arguments), finished))
        return finished

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, program: str = ""
    ) -> Running:
        """Start the command, or another `program`, and return at once."""
        process = subprocess.Popen(
            [program or self.executable, *arguments],
            cwd=self.folder,
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running = Running(process, self._name(arguments, program))
        self.accounts.append((running.name, running))
        return running

    def end_all(self) -> None:
        """Kill whatever still runs."""
        for _, account in self.accounts:
            if isinstance(account, Running):
                account.end_group()

    def report(self) -> str:
        """What every command wrote and ended with, for a test that failed."""
        return "\n".join(
            f"$ {name}\n{account.output}[exit code {account.code}]" for name, account in self.accounts
        )

    def _run_anew(
        self, command: list[str], environment: dict[str, str], stdin: str, timeout: float
    ) -> Finished:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def _environment(self, given: Mapping[str, str] | None) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1", **(given or {})}

    def _name(self, arguments: tuple[str | Path, ...], program: str = "") -> str:
        return " ".join([program or "mtrigger", *map(str, arguments)])
