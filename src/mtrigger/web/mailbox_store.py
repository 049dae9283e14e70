"""The mails a mailbox has received, read so that a page can show them.

Keeps two bounds, so that it can be left running: the last 500 mails, and 64 MB of them. Mails are foreign
input: whatever is wrong with one, it is still listed with what could be read.
"""

import asyncio
import email.policy
import itertools
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message

MOST_MAILS = 500
MOST_BYTES = 64 * 1024 * 1024
_MOST_PARTS = 200


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file in a mail."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One mail: who sent it to whom in the SMTP envelope, when, and what is in it.

    `headers` are in the mail's order, decoded. `html` and `text` are None where the mail has no such part.
    """

    number: int
    envelope_from: str
    envelope_to: tuple[str, ...]
    received_at: datetime
    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[AttachedFile, ...]
    source: bytes

    def header(self, name: str) -> str:
        """The first header called `name`, or an empty text."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class Mailbox:
    """The mails received, in memory."""

    def __init__(self) -> None:
        self._mails: deque[ReceivedMail] = deque()
        self._bytes = 0
        self._numbers = itertools.count(1)
        self._version = 0
        self._changed = asyncio.Event()

    def receive(self, envelope_from: str, envelope_to: Sequence[str], source: bytes) -> ReceivedMail:
        """Keep a mail; the oldest ones go when there are too many."""
        mail = read_mail(next(self._numbers), envelope_from, envelope_to, source)
        self._mails.append(mail)
        self._bytes += len(source)
        while len(self._mails) > MOST_MAILS or (self._bytes > MOST_BYTES and len(self._mails) > 1):
            self._bytes -= len(self._mails.popleft().source)
        self._tell()
        return mail

    def clear(self) -> None:
        """Forget all mails."""
        self._mails.clear()
        self._bytes = 0
        self._tell()

    @property
    def newest_first(self) -> list[ReceivedMail]:
        """All mails kept."""
        return list(reversed(self._mails))

    def find(self, number: int) -> ReceivedMail | None:
        """The mail with this number, if it is still kept."""
        return next((mail for mail in self._mails if mail.number == number), None)

    async def changes(self) -> AsyncIterator[int]:
        """A number at once and after every change; changes that come together are told once."""
        while True:
            told, changed = self._version, self._changed
            yield told
            if self._version == told:
                await changed.wait()

    def _tell(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()


def read_mail(number: int, envelope_from: str, envelope_to: Sequence[str], source: bytes) -> ReceivedMail:
    """Read a mail from its bytes, however broken they are."""
    message = message_from_bytes(
        source, policy=email.policy.compat32
    )  # the tolerant one: it never interprets
    text: str | None = None
    html: str | None = None
    attachments: list[AttachedFile] = []
    for place, part in enumerate(itertools.islice(message.walk(), _MOST_PARTS)):
        if part.is_multipart():
            continue
        kind, name = part.get_content_type(), _decoded(part.get_filename() or "")
        inline = part.get_content_disposition() != "attachment" and not name
        if inline and kind == "text/plain" and text is None:
            text = _text(part)
        elif inline and kind == "text/html" and html is None:
            html = _text(part)
        else:
            attachments.append(AttachedFile(name or f"part-{place}", kind, _payload(part)))
    return ReceivedMail(
        number=number,
        envelope_from=envelope_from,
        envelope_to=tuple(envelope_to),
        received_at=datetime.now(UTC),
        headers=tuple((name, _decoded(value)) for name, value in message.raw_items()),
        text=text,
        html=html,
        attachments=tuple(attachments),
        source=source,
    )


def _decoded(value: str) -> str:
    """A header's value with its encoded words read, its folding undone, and its raw UTF-8 understood."""
    octets = value.encode("utf-8", "surrogateescape")
    unfolded = "".join(octets.decode("utf-8", "replace").splitlines()).strip()
    try:
        decoded = str(make_header(decode_header(unfolded)))
    except (ValueError, LookupError):  # a broken encoding or a character set nobody knows: show it as it is
        decoded = unfolded
    return decoded.encode("utf-8", "replace").decode("utf-8")


def _payload(part: "Message[str, str]") -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: "Message[str, str]") -> str:
    payload = _payload(part).replace(b"\r\n", b"\n")
    try:
        return payload.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:  # a character set nobody knows
        return payload.decode("utf-8", "replace")
