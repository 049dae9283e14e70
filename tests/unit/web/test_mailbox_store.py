"""What the mailbox keeps of a mail, however the mail looks."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.addresses import MailAddress
from mtrigger.actions.mail_message import Attachment, Mail, mail_bytes
from mtrigger.web import mailbox_store
from mtrigger.web.mailbox_store import MOST_MAILS, Mailbox, read_mail

SENT = Mail(
    sender=MailAddress("Grüße", "alerts", "shop.example"),
    subject="Größe 語 " * 10,
    message_id="<1@shop.example>",
    date=datetime(2026, 11, 22, tzinfo=UTC),
    to=[MailAddress("", "reader", "example.com")],
    html="<p>Grüße</p>",
    text="Grüße\n",
    attachments=[Attachment("Größe.csv", b"a,b\n"), Attachment("page.html", b"<p>")],
)


def test_a_mail_reads_as_it_was_written() -> None:
    """Headers decoded, bodies as text, files as bytes."""
    mail = read_mail(1, "alerts@shop.example", ["reader@example.com"], mail_bytes(SENT))
    assert mail.header("subject") == SENT.subject
    assert mail.header("From") == "Grüße <alerts@shop.example>"
    assert (mail.html, mail.text) == ("<p>Grüße</p>\n", "Grüße\n")
    assert [(file.name, file.content) for file in mail.attachments] == [
        ("Größe.csv", b"a,b\n"),
        ("page.html", b"<p>"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\r\n\r\n",
        b"no header at all",
        b"Subject: =?nonsense?q?x?=\r\n\r\nx",
        b"Subject: =?utf-8?b?!!!?=\r\n\r\nx",
        b"Subject: \xff\xfe\r\n\r\n\xff",
        b"Content-Type: text/html; charset=nonsense\r\n\r\n\xff<p>",
        b"Content-Type: multipart/mixed\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n--a",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!",
        b"Content-Disposition: attachment; filename*=nonsense''%ff\r\n\r\nx",
        b"Content-Disposition: attachment; filename*0=a; filename*2=b\r\n\r\nx",
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx",
    ],
)
def test_a_broken_mail_is_kept_all_the_same(source: bytes) -> None:
    """It is listed, and its source can be read."""
    box = Mailbox()
    kept = box.receive("", [], source)
    assert box.find(kept.number) == kept
    assert kept.source == source


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Whatever a client sends: a mail, whose texts can be written in UTF-8."""
    for head in (b"", b"Subject: ", b"Content-Type: ", b"Content-Disposition: ", b"=?utf-8?q?"):
        mail = read_mail(1, "", [], head + body)
        shown = [mail.text or "", mail.html or "", *(text for header in mail.headers for text in header)]
        "".join(shown).encode("utf-8")


def test_only_the_last_mails_are_kept() -> None:
    """By number; their numbers go on counting."""
    box = Mailbox()
    for _ in range(MOST_MAILS + 3):
        box.receive("a@example.com", ["b@example.com"], b"Subject: x\r\n\r\n")
    numbers = [mail.number for mail in box.newest_first]
    assert numbers == list(range(MOST_MAILS + 3, 3, -1))
    assert box.find(3) is None


def test_the_memory_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large mails push out older ones sooner; the newest is always kept."""
    monkeypatch.setattr(mailbox_store, "MOST_BYTES", 1000)
    box = Mailbox()
    for _ in range(5):
        box.receive("", [], b"x" * 400)
    assert [mail.number for mail in box.newest_first] == [5, 4]
    box.receive("", [], b"x" * 5000)
    assert [mail.number for mail in box.newest_first] == [6]


async def test_changes_are_told_to_everybody_who_listens() -> None:
    """At once, and after every change; what happened meanwhile is told once."""
    box = Mailbox()
    first, second = aiter(box.changes()), aiter(box.changes())
    assert (await anext(first), await anext(second)) == (0, 0)
    waiting = asyncio.ensure_future(anext(first))
    box.receive("", [], b"")
    assert await waiting == 1
    box.receive("", [], b"")
    box.clear()
    assert (await anext(first), await anext(second)) == (3, 3)
