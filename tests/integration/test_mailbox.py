"""The mailbox takes mails over SMTP and shows them over HTTP, and no mail can do anything to its reader."""

import json
from collections.abc import AsyncIterator
from email.message import EmailMessage
from importlib import resources
from typing import Any

import aiohttp
import aiosmtplib
import pytest

from mtrigger.errors import SettingsError
from mtrigger.web.mailbox import MailboxServer

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'"


@pytest.fixture
async def server() -> AsyncIterator[MailboxServer]:
    running = MailboxServer(("127.0.0.1", 0), ("127.0.0.1", 0))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def web(server: MailboxServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.http_url) as session:
        yield session


async def send(server: MailboxServer, subject: str = "hello", html: str = "<p>hello</p>") -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", subject
    mail.set_content("plain")
    mail.add_alternative(html, subtype="html")
    mail.add_attachment(b"<script>alert(1)</script>", maintype="text", subtype="html", filename="ü.html")
    await aiosmtplib.send(mail, hostname="127.0.0.1", port=server.smtp_port, start_tls=False, timeout=10)


async def get_json(web: aiohttp.ClientSession, path: str) -> Any:
    async with web.get(path) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_a_mail_can_be_read_in_every_form(server: MailboxServer, web: aiohttp.ClientSession) -> None:
    """List, details, HTML, source, attachment."""
    await send(server, "first")
    await send(server, "second")
    listed = await get_json(web, "/api/mails")
    assert [(mail["number"], mail["subject"], mail["attachment_count"]) for mail in listed] == [
        (2, "second", 1),
        (1, "first", 1),
    ]
    shown = await get_json(web, "/api/mails/1")
    assert (shown["from"], shown["envelope_to"], shown["text"]) == (
        "a@example.com",
        ["b@example.com"],
        "plain\n",
    )
    assert ["Subject", "first"] in shown["headers"]
    async with web.get("/mails/1/html") as answer:
        assert await answer.text() == "<p>hello</p>\n"
    async with web.get("/mails/1/source") as answer:
        assert answer.content_type == "text/plain"
        assert "Subject: first" in await answer.text()
    async with web.get("/mails/1/attachments/0") as answer:
        assert await answer.read() == b"<script>alert(1)</script>"
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%BC.html"
        assert answer.content_type == "application/octet-stream"


@pytest.mark.parametrize(
    "path", ["/api/mails/9", "/mails/9/html", "/mails/9/source", "/mails/1/attachments/5", "/nothing"]
)
async def test_what_is_not_there_is_not_found(
    server: MailboxServer, web: aiohttp.ClientSession, path: str
) -> None:
    """Another mail's number, another file's place."""
    await send(server)
    async with web.get(path) as answer:
        assert answer.status == 404


async def test_a_hostile_mail_cannot_run_anything(server: MailboxServer, web: aiohttp.ClientSession) -> None:
    """Its words travel as JSON, its HTML under a policy that allows no script, frame, form or fetch."""
    await send(server, HOSTILE, f"<body onload=alert(1)><iframe src='http://x.example'></iframe>{HOSTILE}")
    async with web.get("/api/mails") as answer:
        assert answer.content_type == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert json.loads(await answer.text())[0]["subject"] == HOSTILE
    async with web.get("/mails/1/html") as answer:
        policy = answer.headers["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert directives.pop("sandbox") == ""
    assert directives == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
    }


async def test_the_page_itself_holds_nothing_of_a_mail(
    server: MailboxServer, web: aiohttp.ClientSession
) -> None:
    """It is the same with and without mails, allows own scripts only, and sandboxes the frame."""
    async with web.get("/") as answer:
        before = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    await send(server, HOSTILE)
    async with web.get("/") as answer:
        assert await answer.text() == before
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert 'sandbox=""' in before
    assert "<script>" not in before
    for path in ("/mailbox.js", "/mailbox.css", "/mailbox.svg"):
        async with web.get(path) as answer:
            assert answer.status == 200


def test_the_script_of_the_page_never_writes_markup() -> None:
    """Texts of a mail become text nodes, because nothing else is ever used."""
    script = resources.files("mtrigger.web").joinpath("static", "mailbox.js").read_text(encoding="utf-8")
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"):
        assert dangerous not in script


async def test_other_host_names_are_refused(server: MailboxServer, web: aiohttp.ClientSession) -> None:
    """A foreign page that resolves its own name to this machine cannot read mails."""
    for name in ("evil.example", f"evil.example:{server.http_port}"):
        async with web.get("/api/mails", headers={"Host": name}) as answer:
            assert answer.status == 400
    async with web.get("/api/mails", headers={"Host": f"localhost:{server.http_port}"}) as answer:
        assert answer.status == 200


async def test_a_new_mail_is_told_at_once(server: MailboxServer, web: aiohttp.ClientSession) -> None:
    """Through server-sent events, and so is the removal of all mails."""
    async with web.get("/events") as stream:
        assert stream.content_type == "text/event-stream"
        assert await stream.content.readuntil(b"\n\n") == b"data: 0\n\n"
        await send(server)
        assert await stream.content.readuntil(b"\n\n") == b"data: 1\n\n"
        async with web.delete("/api/mails") as answer:
            assert answer.status == 204
        assert await stream.content.readuntil(b"\n\n") == b"data: 2\n\n"
    assert await get_json(web, "/api/mails") == []


async def test_it_ends_while_somebody_is_looking() -> None:
    """An open page and an open SMTP connection do not hold it up, and its ports are free again."""
    server = MailboxServer(("127.0.0.1", 0), ("127.0.0.1", 0))
    await server.start()
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.smtp_port, start_tls=False, timeout=10)
    await client.connect()
    async with aiohttp.ClientSession(server.http_url) as web, web.get("/events") as stream:
        await stream.content.readuntil(b"\n\n")
        await server.stop()
        await stream.content.read()
    client.close()
    again = MailboxServer(("127.0.0.1", server.smtp_port), ("127.0.0.1", server.http_port))
    await again.start()
    await again.stop()


async def test_an_address_that_is_taken_is_told(server: MailboxServer) -> None:
    """Which one, and what to do; the other address is let go again."""
    with pytest.raises(SettingsError, match=r"SMTP server cannot listen on .*Choose another address"):
        await MailboxServer(("127.0.0.1", server.smtp_port), ("127.0.0.1", 0)).start()
    with pytest.raises(SettingsError, match="web page cannot listen on"):
        await MailboxServer(("127.0.0.1", 0), ("127.0.0.1", server.http_port)).start()


async def test_a_name_beyond_ascii_arrives(server: MailboxServer, web: aiohttp.ClientSession) -> None:
    """In the envelope too: the server offers SMTPUTF8."""
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.smtp_port, start_tls=False, timeout=10)
    async with client:
        await client.sendmail(
            "jürgen@example.com",
            ["zoë@example.com"],
            "Subject: Grüße\r\n\r\nx\r\n".encode(),
            mail_options=["SMTPUTF8"],
        )
    shown = await get_json(web, "/api/mails/1")
    assert (shown["envelope_from"], shown["subject"]) == ("jürgen@example.com", "Grüße")
