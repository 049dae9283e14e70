"""A real HTTP server that keeps what it is sent and answers as it was told."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from support.loop_thread import LoopThread


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it came in, and the status it was answered with. Header names are looked up without regard
    to case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer, `delay` seconds after the request has come in."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0


class HttpSink:
    """Listens on a free loopback port from the start.

    `requests` are those received, in order; `connections` counts the connections they came over, and
    `most_at_once` how many were being answered at the same time.
    """

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.most_at_once = 0
        self.port = 0
        self._peers: set[tuple[str, int]] = set()
        self._at_once = 0
        self._usual = Answer()
        self._next: deque[Answer] = deque()
        self._by_path: dict[str, Answer] = {}
        self._thread = LoopThread("http-sink")
        self._runner: web.ServerRunner | None = None
        self.start()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections requests came over."""
        return len(self._peers)

    def answer_next(self, answer: Answer, times: int = 1) -> None:
        """Give this answer to the next `times` requests."""
        self._next.extend([answer] * times)

    def answer_always(self, answer: Answer) -> None:
        """Give this answer whenever no other one is scripted."""
        self._usual = answer

    def answer_path(self, path: str, answer: Answer) -> None:
        """Give this answer to requests for `path` when no other one is scripted."""
        self._by_path[path] = answer

    def start(self) -> None:
        """Listen (again), on the same port as before."""
        self._thread.run(self._open())

    def stop(self) -> None:
        """Close the port and every connection. What was received is kept."""
        self._thread.run(self._close())

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._thread.close()

    async def _open(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._receive), shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        self._at_once += 1
        try:
            return await self._answered(request)
        finally:
            self._at_once -= 1

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        self.most_at_once = max(self.most_at_once, self._at_once)
        assert request.transport is not None
        self._peers.add(request.transport.get_extra_info("peername"))
        body = await request.read()
        usual = self._by_path.get(request.path, self._usual)
        answer = self._next.popleft() if self._next else usual
        self.requests.append(
            ReceivedRequest(
                request.method,
                request.path,
                request.query_string,
                request.headers.copy(),
                body,
                answer.status,
            )
        )
        await asyncio.sleep(answer.delay)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
