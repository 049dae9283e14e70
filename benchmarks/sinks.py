"""Receivers of webhooks and mails: processes of their own that answer at once and cost next to nothing.

They know just enough HTTP and SMTP for well-behaved clients on the loopback interface, and count. A sink ends
when its standard input does, that is, with whoever started it.

    python -m benchmarks.sinks http|http-500|smtp

It prints its port, then a line of JSON for each line it reads.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

Kind = Literal["http", "http-500", "smtp"]

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_SENT = re.compile(rb'"sent": ?"(\d+)"')
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Report:
    """What came in since the last report: messages, connections made, and the last message. For webhooks
    whose document has a field `sent` (nanoseconds of the monotonic clock, as a text), `latencies` are how
    many seconds ago that was."""

    messages: int = 0
    connections: int = 0
    last: str = ""
    latencies: list[float] = field(default_factory=list)

    def taken(self) -> "Report":
        """This report; the next one begins here."""
        taken = replace(self)
        self.messages, self.connections, self.last, self.latencies = 0, 0, "", []
        return taken


class _Connection(asyncio.Protocol):
    """What both protocols share: bytes that wait, and a report."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._report.connections += 1

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _took(self, message: bytes) -> None:
        self._report.messages += 1
        self._report.last = message.decode("latin-1")


class _Http(_Connection):
    """Answers every request with 200."""

    answer = _ANSWER

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._waiting, 0, end + 2)
            behind = end + 4 + (int(found[1]) if found else 0)
            if len(self._waiting) < behind:
                return
            body, self._waiting = self._waiting[end + 4 : behind], self._waiting[behind:]
            self._write(self.answer)
            self._took(body)
            if sent := _SENT.search(body):
                self._report.latencies.append((time.monotonic_ns() - int(sent[1])) / 1e9)


class _FailingHttp(_Http):
    """Answers every request with 500."""

    answer = _FAILURE


class _Smtp(_Connection):
    """Takes every mail."""

    _in_mail = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while True:
            mark = b"\r\n.\r\n" if self._in_mail else b"\r\n"
            end = self._waiting.find(mark)
            if end < 0:
                return
            text, self._waiting = self._waiting[:end], self._waiting[end + len(mark) :]
            if self._in_mail:
                self._in_mail = False
                self._took(text)
                self._write(b"250 2.0.0 OK\r\n")
            else:
                self._answer(text[:4].upper())

    def _answer(self, command: bytes) -> None:
        if command == b"EHLO":
            self._write(b"250-sink.example\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n")
        elif command == b"DATA":
            self._in_mail = True
            self._write(b"354 go on\r\n")
        elif command == b"QUIT":
            self._write(b"221 bye\r\n")
        else:
            self._write(b"250 OK\r\n")


_PROTOCOLS: Mapping[str, Callable[[Report], _Connection]] = {
    "http": _Http,
    "http-500": _FailingHttp,
    "smtp": _Smtp,
}


class Sink:
    """A sink that runs in a process of its own and listens on `port` of 127.0.0.1."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line())

    def report(self) -> Report:
        """What came in since the last report."""
        assert self._process.stdin is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        return Report(**json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def sink(kind: Kind) -> Iterator[Sink]:
    """Start a sink and end it."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sinks", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:  # leaving it closes the sink's standard input and waits for its end
        yield Sink(process)


async def serve(kind: str) -> None:
    """Be a sink, until standard input ends."""
    report = Report()

    def connect() -> _Connection:
        return _PROTOCOLS[kind](report)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connect, "127.0.0.1", backlog=1_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(report.taken())), flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
