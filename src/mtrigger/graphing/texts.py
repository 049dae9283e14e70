"""Texts in a picture: how wide they are, what is left of those that are too long, how they are escaped.

Widths are those of Helvetica and Arial, and a little more: readers have fonts of their own.
"""

import re
import unicodedata

_WIDTHS = {
    **dict.fromkeys("ijl'", 0.23),
    **dict.fromkeys("ftI.,:;|!/\\ []", 0.28),
    **dict.fromkeys('r()-`"*{}\u00a0', 0.34),
    **dict.fromkeys("ckszvxyJ", 0.5),
    **dict.fromkeys("mM", 0.83),
    **dict.fromkeys("W%…", 0.95),
    **dict.fromkeys("w", 0.72),
    **dict.fromkeys("@", 1.02),
}
"""Of a size of 1: the classes of Adobe's font metrics of Helvetica; other letters are as wide as digits."""

_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_GENEROUS = 1.06
CODE = 0.602
"""The width of every character of a fixed-width font, for a size of 1."""


def width(text: str, size: float, weight: float = 1.0) -> float:
    """How wide `text` is in a font of `size` pixels, in pixels; `weight` above 1 for bold."""
    return sum(map(_width, text)) * size * weight * _GENEROUS


def code_width(text: str, size: float) -> float:
    """The same in a fixed-width font."""
    return sum(_cells(character) for character in text) * CODE * size


def shortened(text: str, longest: int) -> str:
    """`text` in one line of at most `longest` characters; what is cut off becomes `…`."""
    line = " ".join(re.split(r"[ \t\r\n]+", text.strip()))
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def wrapped(text: str, longest: int, lines: int) -> tuple[str, ...]:
    """`text` in at most so many lines of at most `longest` characters, broken at spaces; what is left over
    becomes `…`. `{{ … }}` is not broken. Empty for an empty text."""
    whole = _TEMPLATE.sub(lambda found: re.sub(r"\s+", "\u00a0", found[0]), text)
    found: list[str] = []
    words = [word for word in re.split(r"[ \t\r\n]+", whole) if word]
    while words and len(found) < lines:
        line = words.pop(0)
        while words and (len(found) == lines - 1 or len(line) + 1 + len(words[0]) <= longest):
            line = f"{line} {words.pop(0)}"
        found.append(shortened(line, longest))
    return tuple(found)


def escaped(text: str) -> str:
    """`text` as XML, in an element or between double quotes. What XML cannot hold becomes `?`."""
    held = "".join(character if _is_xml(ord(character)) else "?" for character in text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        held = held.replace(character, entity)
    return held


def _is_xml(code: int) -> bool:
    """https://www.w3.org/TR/xml/#charsets, without the control characters of C1."""
    return (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0x7E
        or 0xA0 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _width(character: str) -> float:
    cells = _cells(character)
    if cells != 1:
        return cells * 0.5
    return _WIDTHS.get(character, 0.7 if character.isupper() else 0.556)
