"""One mail as the bytes that go over the wire (RFC 5322; MIME: RFC 2045 to 2047, 2183, 2231).

Keeps two promises. No header can be made or broken by a document: a control character in a header's value is
a permanent error that names the header. And no boundary can be forged: every boundary begins with `=_`, which
neither quoted-printable nor base64 can contain, and a text that does is never sent as it is.

Mails are 7-bit throughout unless an address itself is not ASCII. They are put together here because the
standard library's `EmailMessage` takes many times as long.
"""

import base64
import binascii
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2s
from urllib.parse import quote

from mtrigger.actions.addresses import MailAddress
from mtrigger.actions.mail_headers import address_header, checked, structured_header, text_header
from mtrigger.errors import PermanentError

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
_PLAIN_TEXT = re.compile(r"(?:[\t\x20-\x7e]{0,998}+\r\n)*+")  # RFC 5322, 2.1.1
_NOT_IN_FILE_NAMES = str.maketrans(dict.fromkeys('/\\"<>', "_"))
"""What leads into other folders, and what readers of mail take for quotation."""
_PLAIN_FILE_NAME = re.compile(r"[!-~](?:[ -~]{0,48}[!-~])?")
_PIECE = re.compile(r"(?:%..|[^%]){1,16}")  # at most 48 characters, and no octet in two pieces
_BOUNDARY_SIGN = "=_"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a mail. An empty `content_type` is guessed from the name."""

    name: str
    content: bytes
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """Everything a mail is made of. At least one of `html` and `text` is not None."""

    sender: MailAddress
    subject: str
    message_id: str
    date: datetime
    to: Sequence[MailAddress] = ()
    cc: Sequence[MailAddress] = ()
    bcc: Sequence[MailAddress] = ()
    reply_to: Sequence[MailAddress] = ()
    html: str | None = None
    text: str | None = None
    attachments: Sequence[Attachment] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def recipients(self) -> tuple[str, ...]:
        """The bare addresses of everybody who gets it, each once."""
        return tuple(dict.fromkeys(address.bare for address in (*self.to, *self.cc, *self.bcc)))


def mail_bytes(mail: Mail) -> bytes:
    """The mail with CRLF line ends. `bcc` is in no header. Raises PermanentError if it cannot be."""
    head = [address_header("From", [mail.sender])]
    for name, people in (("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        if people:
            head.append(address_header(name, people))
    head.append(text_header("Subject", mail.subject))
    head.append(structured_header("Date", _date(mail.date.replace(microsecond=0))))
    head.append(structured_header("Message-ID", mail.message_id))
    head.extend(text_header(name, value) for name, value in mail.headers.items())
    head.append(b"MIME-Version: 1.0\r\n")
    return b"".join(head) + _content(mail)


@lru_cache(64)
def _date(second: datetime) -> str:
    return format_datetime(second)


def _content(mail: Mail) -> bytes:
    """The body with its own headers: one text, alternatives, or either with attachments behind it."""
    mark = blake2s(mail.message_id.encode(), digest_size=12).hexdigest()
    bodies = []
    if mail.text is not None:
        bodies.append(_text("plain", mail.text))
    if mail.html is not None:
        bodies.append(_text("html", mail.html))
    body = bodies[0] if len(bodies) == 1 else _multipart("alternative", f"{_BOUNDARY_SIGN}a{mark}", bodies)
    if not mail.attachments:
        return body
    return _multipart("mixed", f"{_BOUNDARY_SIGN}m{mark}", [body, *map(_attachment, mail.attachments)])


def _multipart(kind: str, boundary: str, parts: Sequence[bytes]) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n'.encode()
    between = f"\r\n--{boundary}\r\n".encode()  # its first line end is no part of what stands before it
    return head + b"".join(between + part for part in parts) + f"\r\n--{boundary}--\r\n".encode()


def _text(kind: str, text: str) -> bytes:
    """A part of text: as it is if it may be, else in the encoding that suits it: most of it ASCII, or not."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    lines = lines if lines.endswith("\r\n") else lines + "\r\n"
    data = lines.encode("utf-8", "replace")  # half characters become `?`
    if _PLAIN_TEXT.fullmatch(lines) and _BOUNDARY_SIGN not in lines:
        encoding, content = "7bit", data
    elif len(data) - len(lines) < len(lines) // 6:
        encoding, content = "quoted-printable", binascii.b2a_qp(data, istext=True)
    else:
        encoding, content = "base64", _base64(data)
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + content


def _attachment(attachment: Attachment) -> bytes:
    name = checked("The name of an attachment", attachment.name).translate(_NOT_IN_FILE_NAMES)
    content_type = attachment.content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not _CONTENT_TYPE.fullmatch(content_type) or content_type.lower().startswith(
        ("multipart/", "message/")
    ):
        raise PermanentError(f"{content_type[:100]!r} is no content type an attachment can have")
    charset = '; charset="utf-8"' if content_type.lower().startswith("text/") else ""
    head = (
        f"Content-Type: {content_type}{charset}\r\n"
        f"Content-Disposition: attachment;\r\n {_file_name(name)}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + _base64(attachment.content)


def _file_name(name: str) -> str:
    """The parameter `filename`: in quotes, or beyond ASCII and where it is long as RFC 2231 has it."""
    if _PLAIN_FILE_NAME.fullmatch(name):
        return f'filename="{name}"'
    encoded = quote(name, safe="", errors="replace")
    pieces = _PIECE.findall(encoded)
    if len(pieces) == 1:
        return f"filename*=utf-8''{encoded}"
    pieces[0] = f"utf-8''{pieces[0]}"
    return ";\r\n ".join(f"filename*{number}*={piece}" for number, piece in enumerate(pieces))


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
