"""Mail addresses out of rendered text: strict, because the text may come from a document.

Accepted are `user@host`, `Name <user@host>` and `"Name, with comma" <user@host>`, several of them parted by
commas. Domains are turned into their ASCII form (IDNA 2008); anything that could leave its place in an SMTP
command is refused.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_LONGEST_LOCAL_PART = 64  # octets; RFC 5321, 4.5.3.1.1
_LONGEST_DOMAIN = 253
_LONGEST_NAME = 500
_MOST_ADDRESSES = 200
_REMEMBERED = 1_000  # texts: those of rules are the same for every mail

_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")


@dataclass(frozen=True, slots=True)
class MailAddress:
    """One address: a display name (may be empty), the part before the @, and the domain in ASCII."""

    name: str
    local_part: str
    domain: str

    @property
    def bare(self) -> str:
        """`user@host`, as SMTP wants it."""
        return f"{self.local_part}@{self.domain}"


@lru_cache(_REMEMBERED)
def parse_addresses(text: str) -> tuple[MailAddress, ...]:
    """All addresses in `text`, in order. Raises ValueError with a sentence naming the one that is none."""
    found = [parse_address(part) for part in _split(text) if part.strip()]
    if len(found) > _MOST_ADDRESSES:
        raise ValueError(f"more than {_MOST_ADDRESSES} addresses")
    return tuple(found)


@lru_cache(_REMEMBERED)
def parse_address(text: str) -> MailAddress:
    """The one address in `text`. Raises ValueError with a sentence."""
    named = _NAMED.fullmatch(text.strip())
    name = _unquoted(named["name"].strip()) if named else ""
    address = (named["address"] if named else text).strip()
    local_part, at, domain = address.rpartition("@")
    if len(name) > _LONGEST_NAME or _CONTROL.search(text.strip()):
        raise _not_an_address(text)
    if not at or not _LOCAL_PART.fullmatch(local_part) or len(local_part.encode()) > _LONGEST_LOCAL_PART:
        raise _not_an_address(text)
    return MailAddress(name, local_part, _ascii_domain(domain, text))


def _ascii_domain(domain: str, text: str) -> str:
    if not domain.isascii():
        import idna

        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise _not_an_address(text) from None
    if len(domain) > _LONGEST_DOMAIN or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        raise _not_an_address(text)
    return domain


def _not_an_address(text: str) -> ValueError:
    shown = text.strip()[:100]
    return ValueError(f"{shown!r} is not a mail address" if shown else "an address is empty")


def _split(text: str) -> list[str]:
    """`text` at its commas, but for those within double quotes."""
    parts, quoted, escaped = [""], False, False
    for character in text:
        if character == "," and not quoted:
            parts.append("")
            continue
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = character == "\\" and quoted and not escaped
        parts[-1] += character
    return parts


def _unquoted(name: str) -> str:
    if len(name) >= 2 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name
