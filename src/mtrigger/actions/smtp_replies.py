"""What a mail server said, and what went wrong on the way to it, in one line for people."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiosmtplib

_SHOWN_REPLY = 300
_TOO_MANY_RECIPIENTS = 552  # to RCPT it means 452: RFC 5321, 4.5.3.1.10
_MEANT_FOR_ALL = frozenset({
    421,  # service not available, closing the connection
    454,  # TLS or the login is not available for now (RFC 3207, RFC 4954)
    530,  # authentication required: without a login, or with one that was taken away
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient that the server does not take, and its words."""

    recipient: str
    code: int
    reply: str

    @property
    def temporary(self) -> bool:
        """Whether a later attempt may fare better."""
        return self.code < 500 or self.code == _TOO_MANY_RECIPIENTS

    def __str__(self) -> str:
        return f"{self.recipient} ({self.reply})"


def means_down(code: int) -> bool:
    """Whether an answer to one mail says that none is taken: the next one would fare no better."""
    return code in _MEANT_FOR_ALL


def listed(refusals: Sequence[Refusal]) -> str:
    """All of them, with what was said to each."""
    return ", ".join(str(refusal) for refusal in refusals)


def reply_of(error: aiosmtplib.SMTPResponseException) -> str:
    """The code and the words of a refusal."""
    return f"{error.code} {in_one_line(error.message)}"


def reason_of(error: BaseException, given_as: str) -> str:
    """What went wrong, with the way out where there is one: an option of the address that stands in
    `given_as`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted: {cause.verify_message}; give the authority that signed it "
                f"with ?ca=/path/ca.pem in {given_as}"
            )
        cause = cause.__cause__ or cause.__context__
    text = in_one_line(str(error)) or type(error).__name__
    if "STARTTLS" in text and "not supported" in text:
        return "the server offers no STARTTLS; write tls=implicit or tls=none if that is meant"
    return text


def in_one_line(text: str) -> str:
    """One printable line: a server's answer is foreign text."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _SHOWN_REPLY else line[:_SHOWN_REPLY] + "…"
