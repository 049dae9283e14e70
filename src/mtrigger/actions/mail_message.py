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
from email.headerregistry import Address
from email.message import EmailMessage

from mtrigger.actions.addresses import MailAddress
from mtrigger.errors import PermanentError

_LONGEST_HEADER = 2_000
_SEPARATORS = "\u2028\u2029"  # line breaks to Python's own splitlines
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
_SEVEN_BIT = email.policy.SMTP.clone(cte_type="7bit")
_UTF8 = email.policy.SMTPUTF8.clone(cte_type="7bit")


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
    addresses = (mail.sender, *mail.to, *mail.cc, *mail.reply_to)
    beyond_ascii = any(not address.local_part.isascii() for address in addresses)
    policy = _UTF8 if beyond_ascii else _SEVEN_BIT
    message = EmailMessage(policy)
    for name, people in (
        ("From", [mail.sender]),
        ("To", mail.to),
        ("Cc", mail.cc),
        ("Reply-To", mail.reply_to),
    ):
        if people:
            message[name] = [_address(name, person) for person in people]
    message["Subject"] = safe_header("Subject", mail.subject)
    message["Date"] = mail.date
    message["Message-ID"] = safe_header("Message-ID", mail.message_id)
    for name, value in mail.headers.items():
        message[name] = safe_header(name, value)
    _add_body(message, mail)
    for attachment in mail.attachments:
        _attach(message, attachment)
    return message.as_bytes(policy=policy)


def safe_header(name: str, value: str) -> str:
    """`value`, if it can stand in the header `name` as it is. Raises PermanentError otherwise."""
    for character in value:
        if not character.isprintable() and (ord(character) < 0xA0 or character in _SEPARATORS):
            what = "a line break" if character in "\r\n" else f"the control character U+{ord(character):04X}"
            raise PermanentError(f"{name} would contain {what}; a mail header cannot hold it")
        if "\ud800" <= character <= "\udfff":
            raise PermanentError(f"{name} would contain half a character (U+{ord(character):04X})")
    if len(value) > _LONGEST_HEADER:
        raise PermanentError(f"{name} would be longer than {_LONGEST_HEADER:,} characters")
    return value


def _address(header: str, address: MailAddress) -> Address:
    name = safe_header(header, address.name)
    return Address(display_name=name, username=address.local_part, domain=address.domain)


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
    name = safe_header("The name of an attachment", attachment.name).replace("/", "_").replace("\\", "_")
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
