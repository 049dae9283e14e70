"""The mailbox's web page: a list of mails, and each mail as HTML, text, headers and source.

Keeps the promise that looking at a mail is harmless: the page builds itself from JSON with text nodes only,
the mail's HTML is shown in a frame without scripts, forms, links or remote content, files are only ever
downloaded, and requests for other host names (DNS rebinding) are refused.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mtrigger.web.mailbox_store import Mailbox, ReceivedMail

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
_NOTHING_POLICY = "sandbox; default-src 'none'"
_STATIC = {
    "/": ("mailbox.html", "text/html; charset=utf-8"),
    "/mailbox.css": ("mailbox.css", "text/css; charset=utf-8"),
    "/mailbox.js": ("mailbox.js", "text/javascript; charset=utf-8"),
    "/mailbox.svg": ("mailbox.svg", "image/svg+xml"),
}
_KEEP_ALIVE_SECONDS = 15.0


def mailbox_app(mailbox: Mailbox, hosts: Sequence[str], stopping: asyncio.Event) -> Starlette:
    """The pages over `mailbox` for requests to `hosts` only ("*": any); streams end on `stopping`."""
    pages = _Pages(mailbox, stopping)
    routes = [Route(path, _static(*file)) for path, file in _STATIC.items()]
    routes += [
        Route("/api/mails", pages.list_mails),
        Route("/api/mails", pages.clear, methods=["DELETE"]),
        Route("/api/mails/{number:int}", pages.show_mail),
        Route("/mails/{number:int}/html", pages.html),
        Route("/mails/{number:int}/source", pages.source),
        Route("/mails/{number:int}/attachments/{place:int}", pages.attachment),
        Route("/events", pages.events),
    ]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))])


class _Pages:
    def __init__(self, mailbox: Mailbox, stopping: asyncio.Event) -> None:
        self._mailbox = mailbox
        self._stopping = stopping

    async def list_mails(self, _: Request) -> Response:
        return _json([_summary(mail) for mail in self._mailbox.newest_first])

    async def clear(self, _: Request) -> Response:
        self._mailbox.clear()
        return _answer(b"", "text/plain", _NOTHING_POLICY, status=204)

    async def show_mail(self, request: Request) -> Response:
        mail = self._mail(request)
        details: dict[str, Any] = {
            **_summary(mail),
            "cc": mail.header("Cc"),
            "envelope_from": mail.envelope_from,
            "envelope_to": mail.envelope_to,
            "headers": mail.headers,
            "text": mail.text,
            "has_html": mail.html is not None,
            "attachments": [
                {"name": file.name, "type": file.content_type, "size": len(file.content)}
                for file in mail.attachments
            ],
        }
        return _json(details)

    async def html(self, request: Request) -> Response:
        mail = self._mail(request)
        if mail.html is None:
            raise HTTPException(404, "this mail has no HTML")
        return _answer(mail.html.encode("utf-8", "replace"), "text/html; charset=utf-8", _MAIL_POLICY)

    async def source(self, request: Request) -> Response:
        text = self._mail(request).source.decode("utf-8", "replace")
        return _answer(text.encode(), "text/plain; charset=utf-8", _NOTHING_POLICY)

    async def attachment(self, request: Request) -> Response:
        files, place = self._mail(request).attachments, request.path_params["place"]
        if place >= len(files):
            raise HTTPException(404, "this mail has no such attachment")
        answer = _answer(files[place].content, "application/octet-stream", _NOTHING_POLICY)
        answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(files[place].name, '')}"
        return answer

    async def events(self, _: Request) -> Response:
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        """Server-sent events: one for every change, and a comment now and then, to notice dead readers."""
        changes = aiter(self._mailbox.changes())
        stopped = asyncio.ensure_future(self._stopping.wait())
        change = asyncio.ensure_future(anext(changes))
        try:
            while not stopped.done():
                await asyncio.wait(
                    {change, stopped}, timeout=_KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if not change.done():
                    yield ": still here\n\n"
                    continue
                yield f"data: {change.result()}\n\n"
                change = asyncio.ensure_future(anext(changes))
        finally:
            stopped.cancel()
            change.cancel()
            await asyncio.gather(stopped, change, return_exceptions=True)

    def _mail(self, request: Request) -> ReceivedMail:
        mail = self._mailbox.find(request.path_params["number"])
        if mail is None:
            raise HTTPException(404, "this mail is not here any more")
        return mail


def _summary(mail: ReceivedMail) -> dict[str, Any]:
    return {
        "number": mail.number,
        "from": mail.header("From") or mail.envelope_from,
        "to": mail.header("To") or ", ".join(mail.envelope_to),
        "subject": mail.header("Subject"),
        "received_at": mail.received_at.isoformat(),
        "size": len(mail.source),
        "attachment_count": len(mail.attachments),
    }


def _static(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = resources.files("mtrigger.web").joinpath("static", name).read_bytes()

    async def serve(_: Request) -> Response:
        return _answer(content, media_type, _PAGE_POLICY)

    return serve


def _json(value: object) -> Response:
    answer = JSONResponse(json.loads(json.dumps(value)))
    _protect(answer, _NOTHING_POLICY)
    return answer


def _answer(content: bytes, media_type: str, policy: str, status: int = 200) -> Response:
    answer = Response(content, status_code=status, media_type=media_type)
    _protect(answer, policy)
    return answer


def _protect(answer: Response, policy: str) -> None:
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    answer.headers["Cache-Control"] = "no-store"
