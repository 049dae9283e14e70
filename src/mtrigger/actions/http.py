"""HTTP requests over kept connections: one session for the webhooks of all rules, also across a reload.

Three promises. Waiting costs no attempt: a request's time begins when it has its place, and places are given
out by host, so a slow receiver holds up no more than its own. And a kept connection that the receiver closed
in the meantime is no failure: a request whose connection breaks before the answer goes out once more, on
another one and with the same `webhook-id`. And a host that is down is left alone (`breakers.py`): its breaker
counts what does not get through to it, and answers of a gateway that finds nobody behind it; a `Retry-After`
in such an answer holds for its probes, too.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from mtrigger.actions.breakers import Breakers, Reaching
from mtrigger.actions.http_answers import wait_asked_for

REQUESTS_TO_A_HOST = 200
"""Requests to one host and port at the same time; further ones wait for a place."""
REQUESTS_AT_ALL = 500
KEPT_SECONDS = 15.0
"""A connection is closed after this long without a request."""
ADDRESS_SECONDS = 30
"""How long the address of a host is remembered."""

_NOBODY_BEHIND = frozenset({502, 503, 504})
"""Bad gateway, unavailable, gateway timeout (RFC 9110, 15.6.3 to 15.6.5). A 500 is one request's trouble."""

LONGEST_ASKED = 300.0
"""Seconds for which a `Retry-After` keeps a whole host from being probed. It is one endpoint that asks, and
the others must not wait with it for an hour."""

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
    """What came back: "200 OK", its headers (by name, whatever the case), and the beginning of the text."""

    status: int
    reason: str
    headers: Mapping[str, str]
    beginning: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".strip()


class HttpPool:
    """The session is made at the first request (aiohttp takes long to import), and closed by `close`."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers
        self._session: Any = None
        self._all = asyncio.Semaphore(REQUESTS_AT_ALL)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def send(self, request: Request, seconds: float) -> Answer:
        """Send `request`; its answer, which may take `seconds`, is read up to 64 KiB. Redirects are not
        followed. Raises DestinationDown, TimeoutError, OSError and what aiohttp raises.
        """
        if self._session is None:
            self._session = _session()
        parts = urlsplit(request.url)
        host = parts.netloc.rpartition("@")[2].lower()
        destination = f"{parts.scheme}://{host}"
        self._breakers.check(destination)
        async with self._places(host), self._all:
            with self._breakers.reaching(destination) as attempt:
                return await self._send(attempt, request, seconds)

    async def _send(self, attempt: Reaching, request: Request, seconds: float) -> Answer:
        import aiohttp

        try:
            try:
                answer = await self._exchange(request, seconds)
            except (aiohttp.ClientConnectorError, TimeoutError):
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                answer = await self._exchange(request, seconds)
        except TimeoutError:
            attempt.failed(f"no answer within {seconds:g} s")
            raise
        except (aiohttp.ClientConnectionError, OSError, EOFError) as error:
            attempt.failed(_reason(error))
            raise
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError):
            attempt.reached()  # what it says cannot be read, but it speaks
            raise
        if answer.status in _NOBODY_BEHIND:
            asked = wait_asked_for(answer.headers, datetime.now(UTC)) or 0.0
            attempt.failed(f"it answers {answer}", min(asked, LONGEST_ASKED))
        else:
            attempt.reached()
        return answer

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
            return Answer(answer.status, answer.reason or "", answer.headers, beginning)


def _reason(error: Exception) -> str:
    """Why a host could not be reached, without the address of the request: it may hold secrets."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return getattr(cause, "strerror", None) or type(error).__name__


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
