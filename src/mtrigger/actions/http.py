"""HTTP requests over kept connections: one session for the webhooks of all rules, also across a reload.

Two promises. Waiting costs no attempt: a request's time begins when it has its place, and places are given
out by host, so a slow receiver holds up no more than its own. And a kept connection that the receiver closed
in the meantime is no failure: a request whose connection breaks before the answer goes out once more, on
another one and with the same `webhook-id`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

REQUESTS_TO_A_HOST = 200
"""Requests to one host and port at the same time; further ones wait for a place."""
REQUESTS_AT_ALL = 500
KEPT_SECONDS = 15.0
"""A connection is closed after this long without a request."""
ADDRESS_SECONDS = 30
"""How long the address of a host is remembered."""

_LONGEST_CONNECT = 10.0
_LONGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: "200 OK", and the beginning of the text."""

    status: int
    reason: str
    beginning: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".strip()


class HttpPool:
    """The session is made at the first request (aiohttp takes long to import), and closed by `close`."""

    def __init__(self) -> None:
        self._session: Any = None
        self._all = asyncio.Semaphore(REQUESTS_AT_ALL)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def send(self, request: Request, seconds: float) -> Answer:
        """Send `request`; its answer, which may take `seconds`, is read up to 64 KiB. Redirects are not
        followed. Raises TimeoutError, OSError and what aiohttp raises.
        """
        import aiohttp

        if self._session is None:
            self._session = _session()
        async with self._places(urlsplit(request.url).netloc.rpartition("@")[2]), self._all:
            try:
                return await self._exchange(request, seconds)
            except (aiohttp.ClientConnectorError, TimeoutError):
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                return await self._exchange(request, seconds)

    async def close(self) -> None:
        """Close all connections. No request may be under way any more."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _places(self, host: str) -> asyncio.Semaphore:
        places = self._hosts.get(host)  # kept as long as anybody waits or sends
        if places is None:
            places = self._hosts[host] = asyncio.Semaphore(REQUESTS_TO_A_HOST)
        return places

    async def _exchange(self, request: Request, seconds: float) -> Answer:
        async with self._session.request(
            request.method,
            request.url,
            data=request.body,
            headers=request.headers,
            timeout=_within(seconds),
            allow_redirects=False,
        ) as answer:
            beginning = await answer.content.read(_LONGEST_ANSWER)
            return Answer(answer.status, answer.reason or "", beginning)


@lru_cache
def _within(seconds: float) -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(total=seconds, connect=min(_LONGEST_CONNECT, seconds))


def _session() -> Any:
    import aiohttp

    return aiohttp.ClientSession(
        # The places bound the connections; a limit here would count waiting as part of a request's time.
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEPT_SECONDS, ttl_dns_cache=ADDRESS_SECONDS
        ),
        cookie_jar=aiohttp.DummyCookieJar(),  # one receiver's cookies are never sent to another
    )
