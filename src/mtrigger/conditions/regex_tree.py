r"""What a regular expression is made of, once read: a small tree, and sets of characters as ranges.

PCRE is used by the server without Unicode properties, so \w, \d and \s are about ASCII (pcrepattern(3));
unlike in RE2, \s includes the vertical tab.
"""

from dataclasses import dataclass
from typing import Literal

AssertionKind = Literal["^", "$", "\\A", "\\z", "\\Z", "\\b", "\\B"]
LAST_CHARACTER = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]

_SPACES: Ranges = ((9, 13), (32, 32))
_DIGITS: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
POSIX: dict[str, Ranges] = {
    "alpha": ((65, 90), (97, 122)),
    "digit": _DIGITS,
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "upper": ((65, 90),),
    "lower": ((97, 122),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": _SPACES,
    "blank": ((9, 9), (32, 32)),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
    "word": _WORD,
}
CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "a": 7, "e": 27}


def merged(ranges: list[tuple[int, int]]) -> Ranges:
    """The same characters, sorted and in as few ranges as can be."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def complement(ranges: Ranges) -> Ranges:
    """All characters that are in none of `ranges` (which are sorted and apart)."""
    found, start = [], 0
    for low, high in ranges:
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    if start <= LAST_CHARACTER:
        found.append((start, LAST_CHARACTER))
    return tuple(found)


SHORTHANDS: dict[str, Ranges] = {
    "d": _DIGITS,
    "s": _SPACES,
    "w": _WORD,
    "D": complement(_DIGITS),
    "S": complement(_SPACES),
    "W": complement(_WORD),
}


class RegexError(Exception):
    """A regular expression that cannot be used here; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Character:
    """One literal character."""

    code: int


@dataclass(frozen=True, slots=True)
class AnyCharacter:
    """The dot."""


@dataclass(frozen=True, slots=True)
class Set:
    """`[…]`: `written` folds with option i, `classes` (from \\w, [:alpha:] and the like) do not."""

    written: Ranges
    classes: Ranges
    negated: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place, not a character."""

    kind: AssertionKind


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    branches: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`part` from `least` to `most` times (None: without end)."""

    part: "Expression"
    least: int
    most: int | None


Expression = Character | AnyCharacter | Set | Assertion | Sequence | Choice | Repeat
