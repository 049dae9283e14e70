"""One mail as the bytes that go over the wire (RFC 5322, MIME).

Keeps the promise that no header can be made or broken by a document: a control character in a header's value
is a permanent error that names the header. Mails are 7-bit throughout unless an address itself is not ASCII.
"""

import email.policy
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from mtrigger.actions.addresses import MailAddress
from mtrigger.actions.mail_headers import address_header, checked, structured_header, text_header
from mtrigger.errors import PermanentError

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
_SEVEN_BIT = email.policy.SMTP.clone(cte_type="7bit")


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
    head.append(structured_header("Date", format_datetime(mail.date)))
    head.append(structured_header("Message-ID", mail.message_id))
    head.extend(text_header(name, value) for name, value in mail.headers.items())
    body = EmailMessage(_SEVEN_BIT)
    _add_body(body, mail)
    for attachment in mail.attachments:
        _attach(body, attachment)
    return b"".join(head) + body.as_bytes()


def _add_body(message: EmailMessage, mail: Mail) -> None:
    if mail.text is not None:
        message.set_content(_clean(mail.text))
    if mail.html is None:
        return
    if mail.text is None:
        message.set_content(_clean(mail.html), subtype="html")
    else:
        message.add_alternative(_clean(mail.html), subtype="html")


def _clean(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines.encode("utf-8", "replace").decode("utf-8")  # half characters become `?`


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    name = checked("The name of an attachment", attachment.name).replace("/", "_").replace("\\", "_")
    content_type = attachment.content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not _CONTENT_TYPE.fullmatch(content_type) or content_type.lower().startswith(
        ("multipart/", "message/")
    ):
        raise PermanentError(f"{content_type[:100]!r} is no content type an attachment can have")
    kind, _, subtype = content_type.partition("/")
    parameters = {"charset": "utf-8"} if kind == "text" else {}
    message.add_attachment(
        attachment.content, maintype=kind, subtype=subtype, filename=name, params=parameters
    )
