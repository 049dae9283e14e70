"""A mail's bytes: every header reads back as what was meant, and nothing can be smuggled into one."""

import email
import email.policy
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtrigger.actions.addresses import MailAddress
from mtrigger.actions.mail_message import Attachment, Mail, mail_bytes
from mtrigger.errors import PermanentError

SENDER = MailAddress("Shop", "alerts", "shop.example")
READER = MailAddress("", "reader", "example.com")
DATE = datetime(2026, 11, 22, 9, 41, tzinfo=UTC)


def a_mail(**changes: Any) -> Mail:
    settings: dict[str, Any] = {
        "sender": SENDER,
        "subject": "Big order",
        "message_id": "<1@shop.example>",
        "date": DATE,
        "to": [READER],
        "text": "hello\n",
    }
    return Mail(**{**settings, **changes})


def read(mail: Mail) -> EmailMessage:
    return email.message_from_bytes(mail_bytes(mail), policy=email.policy.default)


def header(mail: Mail, name: str) -> str:
    """A header as the older, RFC 2047 reader of the standard library reads it."""
    value = email.message_from_bytes(mail_bytes(mail))[name]
    return str(make_header(decode_header("".join(value.splitlines()))))


def people(mail: Mail, name: str) -> list[tuple[str, str]]:
    value = email.message_from_bytes(mail_bytes(mail))[name]
    pairs = getaddresses(["".join(value.splitlines())])
    return [(str(make_header(decode_header(display))), bare) for display, bare in pairs]


UNPRINTABLE = [chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029)]


@pytest.mark.parametrize("character", UNPRINTABLE)
def test_no_control_character_gets_into_a_header(character: str) -> None:
    """Neither through the subject nor through a name, a rule, or the name of an attachment."""
    hostile = f"x{character}Bcc: spy@example.com"
    for mail, where in (
        (a_mail(subject=hostile), "Subject"),
        (a_mail(to=[MailAddress(hostile, "a", "x.example")]), "To"),
        (a_mail(cc=[MailAddress(hostile, "a", "x.example")]), "Cc"),
        (a_mail(reply_to=[MailAddress(hostile, "a", "x.example")]), "Reply-To"),
        (a_mail(sender=MailAddress(hostile, "a", "x.example")), "From"),
        (a_mail(headers={"X-Mtrigger-Rule": hostile}), "X-Mtrigger-Rule"),
        (a_mail(message_id=hostile), "Message-ID"),
        (a_mail(attachments=[Attachment(hostile, b"")]), "attachment"),
    ):
        with pytest.raises(PermanentError, match=where):
            mail_bytes(mail)


@given(st.text(max_size=300), st.text(max_size=200))
@example("a =?utf-8?q?b?=", "=?utf-8?q?b?= c")
@example("  two  spaces ", " x ")
@example("語 " * 60, 'a "quoted\\" name, with (all) of <it>')
@example("x" * 300, "y" * 150)
def test_headers_read_back_or_are_refused(subject: str, name: str) -> None:
    """Whatever the text: either an error, or exactly that text and no header more."""
    mail = a_mail(subject=subject, to=[MailAddress(name, "a", "x.example"), READER])
    try:
        raw = mail_bytes(mail)
    except PermanentError:
        assert set(subject + name) & {*UNPRINTABLE, *map(chr, range(0xD800, 0xE000))}
        return
    assert header(mail, "Subject") == subject
    assert people(mail, "To") == [(name, "a@x.example"), ("", "reader@example.com")]
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert names[:5] == [b"From", b"To", b"Subject", b"Date", b"Message-ID"]
    assert len(names) == 8
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert head.isascii()
    assert b"\n" not in head.replace(b"\r\n", b"")


def test_the_headers_of_a_mail() -> None:
    """Everybody but the hidden recipients; the date in RFC 5322's form."""
    hidden = MailAddress("", "hidden", "example.com")
    mail = a_mail(cc=[READER], bcc=[hidden], reply_to=[SENDER], headers={"Auto-Submitted": "auto-generated"})
    message = read(mail)
    assert message["From"] == "Shop <alerts@shop.example>"
    assert message["Reply-To"] == "Shop <alerts@shop.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Bcc"] is None
    assert b"hidden" not in mail_bytes(mail)
    assert mail.recipients == ("reader@example.com", "hidden@example.com")
    assert parsedate_to_datetime(message["Date"]) == DATE


@given(st.text(max_size=500), st.text(max_size=500))
def test_bodies_read_back(text: str, html: str) -> None:
    """Any text survives, but for line ends and half characters; the mail stays 7-bit with short lines."""
    mail = a_mail(text=text, html=html)
    message = read(mail)
    plain, markup = message.get_body(["plain"]), message.get_body(["html"])
    assert isinstance(plain, EmailMessage)
    assert isinstance(markup, EmailMessage)
    for part, source in ((plain, text), (markup, html)):
        expected = source.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
        assert part.get_content().replace("\r\n", "\n").removesuffix("\n") == expected.removesuffix("\n")
    raw = mail_bytes(mail)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize("kind", ["text", "html"])
def test_no_text_can_forge_a_boundary(kind: str) -> None:
    """Not even one that knows how boundaries are made: it is encoded, and reads back as text."""
    settings = {"text": "a", "html": "b", "attachments": [Attachment("c.txt", b"c")]}
    boundaries = re.findall(rb'boundary="([^"]+)"', mail_bytes(a_mail(**settings)))
    assert len(boundaries) == 2
    forged = "".join(f"--{boundary.decode()}\nX: y\n\nforged\n" for boundary in boundaries)
    message = read(a_mail(**{**settings, kind: forged}))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/plain",
    ]
    part = message.get_body(["plain" if kind == "text" else "html"])
    assert isinstance(part, EmailMessage)
    assert part.get_content().replace("\r\n", "\n") == forged


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=200))
@example('"')
@example('""')
@example("<x>")
@example("x" * 200 + ".csv")
@example("Größe; a*0=b.txt")
def test_the_name_of_a_file_reads_back(name: str) -> None:
    """Whatever its length and its letters; lines stay short."""
    raw = mail_bytes(a_mail(attachments=[Attachment(name, b"x")]))
    (part,) = email.message_from_bytes(raw, policy=email.policy.default).iter_attachments()
    assert part.get_filename() == re.sub(r'[/\\"<>]', "_", name).strip()
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_html_only_and_text_only() -> None:
    """A mail with one body is no multipart."""
    assert read(a_mail()).get_content_type() == "text/plain"
    assert read(a_mail(text=None, html="<p>x</p>")).get_content_type() == "text/html"


def test_attachments_keep_bytes_names_and_types() -> None:
    """The type is guessed from the name; slashes cannot lead out of a folder, nor quotes out of a name."""
    files = [
        Attachment("orders.csv", b"a,b\r\n1,2\r\n"),
        Attachment("Größe.bin", bytes(range(256))),
        Attachment("../../etc/passwd", b"x", "application/x-thing"),
        Attachment('a"b;c.json', b"{}"),
    ]
    found = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in read(a_mail(attachments=files)).iter_attachments()
    ]
    assert found == [
        ("orders.csv", "text/csv", b"a,b\r\n1,2\r\n"),
        ("Größe.bin", "application/octet-stream", bytes(range(256))),
        (".._.._etc_passwd", "application/x-thing", b"x"),
        ("a_b;c.json", "application/json", b"{}"),
    ]


@pytest.mark.parametrize(
    "kind", ["nonsense", "text/", "a/b; c=d", "multipart/mixed", "message/rfc822", "a/b\r\nX: y"]
)
def test_a_content_type_is_one_or_is_refused(kind: str) -> None:
    """Parameters, containers and line breaks are none."""
    with pytest.raises(PermanentError, match="no content type"):
        mail_bytes(a_mail(attachments=[Attachment("x", b"", kind)]))


def test_an_address_beyond_ascii_is_written_in_utf8() -> None:
    """RFC 6532; the transport then asks for SMTPUTF8. Names alone never need it."""
    raw = mail_bytes(a_mail(to=[MailAddress("Jürgen", "jürgen", "example.com")]))
    assert "<jürgen@example.com>".encode() in raw
    assert mail_bytes(a_mail(to=[MailAddress("Jürgen", "j", "example.com")])).isascii()


def test_a_header_without_end_is_refused() -> None:
    """Two thousand characters are enough for a subject."""
    with pytest.raises(PermanentError, match="Subject would be longer than"):
        mail_bytes(a_mail(subject="x" * 2001))
