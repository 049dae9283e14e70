"""Header lines of a mail: folded and, beyond ASCII, as encoded words (RFC 5322, section 2.2.3; RFC 2047).

The standard library's own folding loses spaces where it breaks long values (seen in Python 3.11), so it is
not used here. What is written reads back as exactly the same text.
"""

import base64
import re
from collections.abc import Iterator, Sequence

from mtrigger.actions.addresses import MailAddress
from mtrigger.errors import PermanentError

_LINE = 76
_LONGEST_VALUE = 2_000
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, what Python's own splitlines takes for line breaks, and halves of surrogate pairs."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/?^_`{|}~-]+)*")
_PLAIN_TEXT = re.compile(r"[!-~]+( [!-~]+)*")
_WORD_PREFIX, _WORD_SUFFIX = "=?utf-8?b?", "?="
_LONGEST_WORD = 75


def checked(name: str, value: str) -> str:
    """`value`, if the header `name` can hold it. Raises PermanentError naming the header otherwise."""
    if (found := _FORBIDDEN.search(value)) is not None:
        character = found[0]
        if "\ud800" <= character <= "\udfff":
            raise PermanentError(f"{name} would contain half a character (U+{ord(character):04X})")
        what = "a line break" if character in "\r\n" else f"the control character U+{ord(character):04X}"
        raise PermanentError(f"{name} would contain {what}, which a mail header cannot hold")
    if len(value) > _LONGEST_VALUE:
        raise PermanentError(f"{name} would be longer than {_LONGEST_VALUE:,} characters")
    return value


def text_header(name: str, value: str) -> bytes:
    """A header of free text, such as Subject. Raises PermanentError for a value that no header can hold."""
    checked(name, value)
    words = value.split(" ")
    plain = (
        _PLAIN_TEXT.fullmatch(value) and "=?" not in value and max(map(len, words)) < _LINE - len(name) - 2
    )
    return _line(name, words if plain else _encoded_words(value, len(name) + 2))


def structured_header(name: str, value: str) -> bytes:
    """A header whose value must be ASCII and stay in one piece, such as Message-ID."""
    checked(name, value)
    if not value.isascii():
        raise PermanentError(f"{name} would contain characters beyond ASCII")
    return f"{name}: {value}\r\n".encode("ascii")


def address_header(name: str, addresses: Sequence[MailAddress]) -> bytes:
    """A header of addresses. Raises PermanentError for a display name that no header can hold."""
    pieces: list[str] = []
    for place, address in enumerate(addresses):
        comma = "," if place < len(addresses) - 1 else ""
        checked(name, address.name)
        if address.name:
            pieces += [*_phrase(address.name, len(name) + 2), f"<{address.bare}>{comma}"]
        else:
            pieces.append(address.bare + comma)
    return _line(name, pieces)


def _phrase(name: str, used: int) -> list[str]:
    """A display name as words that may be put on different lines, with one space between them."""
    if _PLAIN_NAME.fullmatch(name) and len(name) <= _LINE - used:
        return name.split(" ")
    if name.isascii() and "=?" not in name and name == name.strip() and len(name) <= _LINE // 2:
        return ['"' + re.sub(r'(["\\])', r"\\\1", name) + '"']
    return list(_encoded_words(name, used))


def _encoded_words(text: str, used: int) -> Iterator[str]:
    """`text` as encoded words of whole characters; `used` is what the first line holds already."""
    room = _octets_in(_LINE - used)
    chunk = b""
    for character in text:
        octets = character.encode("utf-8")
        if len(chunk) + len(octets) > room:
            yield _WORD_PREFIX + base64.b64encode(chunk).decode("ascii") + _WORD_SUFFIX
            chunk, room = b"", _octets_in(_LONGEST_WORD)
        chunk += octets
    if chunk:
        yield _WORD_PREFIX + base64.b64encode(chunk).decode("ascii") + _WORD_SUFFIX


def _octets_in(width: int) -> int:
    """How many octets fit into one encoded word of `width` characters."""
    return max(width - len(_WORD_PREFIX) - len(_WORD_SUFFIX), 8) // 4 * 3


def _line(name: str, pieces: Sequence[str] | Iterator[str]) -> bytes:
    """`name: pieces`, parted by single spaces, with line breaks before those spaces where lines get long."""
    lines = [f"{name}:"]
    for piece in pieces:
        if len(lines[-1]) + 1 + len(piece) > _LINE and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {piece}"
    return "\r\n".join(lines).encode("utf-8") + b"\r\n"
