"""How an action sends its requests: the answer becomes an account or an exception, and no secret is told.

Every action that posts to somebody (`webhook`, `slack`, `teams`) goes this way, so that an answer means the
same for all of them (`http_answers.py`).
"""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

from mtrigger.actions.base import Preview, Work
from mtrigger.actions.http import Answer, HttpPool, Request
from mtrigger.actions.http_answers import Accepted, Redirected, Refused, TryAgain, verdict
from mtrigger.actions.web_addresses import BAD_URL
from mtrigger.config_types import format_duration
from mtrigger.errors import NotBefore, PermanentError, RetryLater

_SECRET_HEADER = re.compile(r"(?i)auth|cookie|key|secret|token|signature|password")
_ADDRESS = re.compile(r"https?://[^\s\"'<>]+")
_SHOWN_OF_ANSWER = 200
_LONGEST_LOCATION = 300
_SHORTEST_SECRET = 4


class WebhookFailed(Exception):  # noqa: N818 - reads as what happened, like MailNotSent
    """The receiver did not take it this time; the retry policy decides what becomes of it."""


class Caller:
    """Sends the requests of one action, each within `timeout` seconds.

    `shown` is what may be told of an address; answers with one of `retry_on` are tried again as well.
    """

    def __init__(
        self, http: HttpPool, timeout: float, shown: Callable[[str], str], retry_on: Collection[int] = ()
    ) -> None:
        self._http = http
        self._timeout = timeout
        self._shown = shown
        self._retry_on = frozenset(retry_on)

    async def call(self, request: Request) -> str:
        """Send it, and return the answer's status. Raises PermanentError, RetryLater or WebhookFailed."""
        import aiohttp

        try:
            answer = await self._http.send(request, self._timeout)
        except aiohttp.InvalidURL:
            raise PermanentError(f"{self._name(request)}: {BAD_URL}") from None
        except TimeoutError:
            raise WebhookFailed(f"{self._name(request)}: no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError, EOFError) as error:
            reason = f"{type(error).__name__}: {self._without_secrets(request, str(error))}"
            raise WebhookFailed(f"{self._name(request)}: {reason}") from None
        judged = verdict(answer.status, answer.headers, datetime.now(UTC), self._retry_on)
        if isinstance(judged, Accepted):
            return str(answer)
        raise self._failure(request, answer, judged)

    def preview(self, kind: str, request: Request) -> Preview:
        """The request as it would be sent; values of headers that hold secrets are left out."""
        headers = "\n".join(
            f"{name}: {'***' if _SECRET_HEADER.search(name) else value}"
            for name, value in request.headers.items()
        )
        parts = {"Request": self._name(request), "Headers": headers, "Body": request.body.decode()}
        return Preview(f"{kind}: {self._name(request)}", parts)

    def _failure(
        self, request: Request, answer: Answer, judged: TryAgain | Redirected | Refused
    ) -> PermanentError | RetryLater | WebhookFailed:
        told = f"{self._name(request)} answered {answer}"
        said = self._without_secrets(request, " ".join(answer.beginning.decode("utf-8", "replace").split()))
        said = f": {said[:_SHOWN_OF_ANSWER]}" if said else ""
        match judged:
            case TryAgain(float(after)):
                return NotBefore(after, f"{told} (it asks to wait for {format_duration(after)}){said}")
            case TryAgain():
                return WebhookFailed(f"{told}{said}")
            case Redirected(location):
                return PermanentError(f"{told}{self._led_to(request, location)}{said}")
            case Refused(advice):
                return PermanentError(f"{told} ({advice}){said}" if advice else f"{told}{said}")

    def _led_to(self, request: Request, location: str) -> str:
        try:
            target = self._shown(urljoin(request.url, location)) if location else "it does not say where"
        except ValueError:
            target = "an address that cannot be read"
        return (
            f" (a redirect to {target[:_LONGEST_LOCATION]}, which is not followed: "
            "put the new address into `url`)"
        )

    def _name(self, request: Request) -> str:
        return f"{request.method} {self._shown(request.url)}"

    def _without_secrets(self, request: Request, text: str) -> str:
        """`text`, which may repeat the request's address in whole or in part, without what is not shown."""
        text = _ADDRESS.sub(lambda found: self._shown(found[0]), text)
        parts = urlsplit(request.url)
        shown = self._shown(request.url)
        for secret in (f"{parts.path}?{parts.query}", parts.path, parts.query, parts.password or ""):
            if len(secret) >= _SHORTEST_SECRET and secret not in shown:
                text = text.replace(secret, "***")
        return text


def headers_for(work: Work, content_type: str, timestamp: int) -> dict[str, str]:
    """What every request says of itself: what it holds, and which delivery it is, on every attempt."""
    return {
        "content-type": content_type,
        "user-agent": "mtrigger",
        "webhook-id": work.delivery_id,
        "webhook-timestamp": str(timestamp),
    }
