"""The servers the other tests rely on are real: clients of their own protocols get what the tests script."""

import asyncio
import ssl
from collections.abc import Callable
from email.message import EmailMessage

import aiohttp
import aiosmtplib
import pytest

from support.certificates import Authority
from support.http_sink import Answer, HttpSink
from support.polling import NeverHappenedError, eventually
from support.smtp_sink import SmtpSink


def a_mail(subject: str = "Grüße") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", subject
    mail.set_content("hello")
    return mail


async def send(sink: SmtpSink, **options: object) -> None:
    await aiosmtplib.send(a_mail(), hostname="localhost", port=sink.port, timeout=10, **options)  # type: ignore[arg-type]  # options differ by test


async def test_a_mail_is_kept_with_its_envelope(smtp_sink: SmtpSink) -> None:
    """What was said in the envelope and in the message can both be looked at."""
    await send(smtp_sink, start_tls=False)
    (mail,) = smtp_sink.mails
    assert (mail.sender, mail.recipients) == ("a@example.com", ("b@example.com",))
    assert mail.message["Subject"] == "Grüße"
    assert (mail.encrypted, mail.user, smtp_sink.connections) == (False, "", 1)


async def test_a_scripted_answer_is_given_as_often_as_asked(smtp_sink: SmtpSink) -> None:
    """One 451, then all is well again."""
    smtp_sink.answer_next("451 4.3.0 try again later")
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await send(smtp_sink, start_tls=False)
    assert refused.value.code == 451
    await send(smtp_sink, start_tls=False)
    assert len(smtp_sink.mails) == 1


async def test_a_recipient_is_refused(smtp_sink: SmtpSink) -> None:
    """The one recipient nobody knows."""
    smtp_sink.refuse("b@example.com")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await send(smtp_sink, start_tls=False)


async def test_a_stopped_mail_server_comes_back_on_its_port(smtp_sink: SmtpSink) -> None:
    """Refused while it is down, served afterwards; an open connection is cut."""
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=smtp_sink.port, start_tls=False)
    await client.connect()
    smtp_sink.stop()
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await client.noop()
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await send(smtp_sink, start_tls=False)
    smtp_sink.start()
    await send(smtp_sink, start_tls=False)
    assert len(smtp_sink.mails) == 1


@pytest.mark.parametrize("encryption", ["starttls", "implicit"])
async def test_tls_and_login_are_insisted_on(
    encryption: str, start_smtp_sink: Callable[..., SmtpSink], authority: Authority
) -> None:
    """A mail comes through with the right password over TLS, and in no other way."""
    sink = start_smtp_sink(encryption, users={"anna": "p@ss"})
    tls = {"start_tls": True} if encryption == "starttls" else {"use_tls": True}
    trusting = ssl.create_default_context(cafile=str(authority.file))
    await send(sink, **tls, tls_context=trusting, username="anna", password="p@ss")
    assert (sink.mails[0].encrypted, sink.mails[0].user) == (True, "anna")
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await send(sink, **tls, tls_context=trusting, username="anna", password="wrong")
    with pytest.raises(aiosmtplib.SMTPException):
        await send(sink, **tls, tls_context=trusting)
    with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)):
        await send(sink, **tls, username="anna", password="p@ss")
    assert len(sink.mails) == 1


async def test_idle_connections_are_dropped_on_demand(start_smtp_sink: Callable[..., SmtpSink]) -> None:
    """As a mail server does that has waited long enough; new connections are welcome."""
    sink = start_smtp_sink("none")
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
    await client.connect()
    sink.drop_connections()
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await client.noop()
    await client.connect()
    await client.quit()
    assert sink.connections == 2


async def test_a_request_is_kept_and_answered_as_scripted(http_sink: HttpSink) -> None:
    """Status, headers and body are the scripted ones; afterwards the usual answer is given."""
    http_sink.answer_next(Answer(503, {"Retry-After": "7"}, b"later"))
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{http_sink.url}/hook?a=1", json={"n": 1}, headers={"X-Name": "v"}) as first:
            assert (first.status, first.headers["retry-after"], await first.read()) == (503, "7", b"later")
        async with session.get(http_sink.url) as second:
            assert second.status == 200
    hook = http_sink.requests[0]
    assert (hook.method, hook.path, hook.query, hook.json()) == ("POST", "/hook", "a=1", {"n": 1})
    assert hook.headers["x-name"] == "v"


async def test_a_delayed_answer_is_late(http_sink: HttpSink) -> None:
    """A client with less patience gives up, and the request has been received all the same."""
    http_sink.answer_next(Answer(delay=30))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
        with pytest.raises(asyncio.TimeoutError):
            await session.get(http_sink.url)
    assert len(http_sink.requests) == 1


async def test_waiting_in_vain_tells_what_was_seen() -> None:
    """The message holds the last value."""

    def count() -> list[int]:
        return []

    with pytest.raises(NeverHappenedError, match=r"count was \[\]"):
        await eventually(count, patience=0.05)
