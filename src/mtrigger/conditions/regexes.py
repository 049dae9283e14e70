r"""Regular expressions that cannot hang the engine and still agree with the server.

The server runs PCRE, we run RE2, whose time is linear in the text. Where the two differ in meaning (`$`
before a final newline, \s and the vertical tab, option i and \w, `^` after a last newline) the expression is
written anew for RE2; where that cannot be done it is refused. A few are too slow for PCRE on hostile texts:
`is_safe_on_server` says which may become part of a change stream.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtrigger.conditions.regex_syntax import read
from mtrigger.conditions.regex_tree import (
    LAST_CHARACTER,
    AnyCharacter,
    Assertion,
    Character,
    Choice,
    Expression,
    Ranges,
    RegexError,
    Repeat,
    Sequence,
    Set,
    complement,
    merged,
)

MOST_BYTES = 30_000  # the server takes 32,764
MOST_SIZE = 4_000  # characters when all repeats are written out; PCRE's compiled form is limited
_SETTLED = ((0, 0x24F), (0x370, 0x58F), (0x1E00, 0x1EFF))
"""Blocks (Latin, Greek, Cyrillic, Armenian) whose upper and lower case every Unicode version agrees about."""
MOST_PATHS = 64  # ways to go wrong that the server may try at each place of a text


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression as written, its option letters in order, and the same for RE2."""

    source: str
    options: str
    re2: str
    is_safe_on_server: bool


def pattern(source: str, options: str = "") -> Pattern:
    """Read a regular expression. Raises RegexError with a sentence."""
    for letter in options:
        if letter not in "ims":
            raise RegexError(f"there is no option {letter!r} here, only i, m and s")
    if "\0" in source or len(source.encode()) > MOST_BYTES:
        raise RegexError(f"a regular expression has at most {MOST_BYTES} bytes, and no zero among them")
    tree, letters = read(source, options)
    if _size(tree) > MOST_SIZE:
        raise RegexError(
            f"the regular expression is too large (more than {MOST_SIZE} characters written out)"
        )
    written = _Writer(letters).write(tree, _Follow(0, nothing=True))
    found = Pattern(source, "".join(sorted(set(options))), written, _is_safe(tree, letters))
    compiled(written)
    return found


def literal(text: str, before: str, after: str) -> Pattern:
    """The pattern that finds `text` itself; `before` and `after` are assertions such as `^` and `\\z`."""
    escaped = "".join(_escaped(character) for character in text)
    return pattern(before + escaped + after)


def _escaped(character: str) -> str:
    if character == "\0":
        return "\\x00"
    return character if character.isalnum() or not character.isascii() else "\\" + character


@functools.lru_cache(maxsize=4096)
def compiled(re2_text: str) -> Callable[[str], bool]:
    """Whether RE2 finds it in a text. Raises RegexError if RE2 does not take it (too large)."""
    import re2  # type: ignore[import-untyped] # it comes without types

    settings = re2.Options()
    settings.log_errors = False
    settings.never_capture = True
    try:
        search = re2.compile(re2_text.encode(), settings).search
    except re2.error as error:
        raise RegexError(f"the regular expression cannot be used ({_words(error)})") from error

    def is_found(text: str) -> bool:
        return search(text.encode("utf-8", "replace")) is not None

    return is_found


def _words(error: Exception) -> str:
    reason: Any = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


@dataclass(frozen=True, slots=True)
class _Follow:
    """What comes after a piece: at least so many characters; whether it is nothing at all."""

    least: int
    nothing: bool


class _Writer:
    """Writes the tree for RE2, piece by piece, knowing what follows."""

    def __init__(self, options: str) -> None:
        self.folds = "i" in options
        self.lines = "m" in options
        self.dot = "(?s:.)" if "s" in options else "[^\\n]"

    def write(self, node: Expression, follow: _Follow) -> str:
        match node:
            case Character(code=code):
                self.check_case(((code, code),))
                return f"(?i:{_code(code)})" if self.folds else _code(code)
            case AnyCharacter():
                return self.dot
            case Set():
                return self.set(node)
            case Assertion(kind=kind):
                return self.assertion(kind, follow)
            case Sequence(parts=parts):
                return self.sequence(parts, follow)
            case Choice(branches=branches):
                return "(?:" + "|".join(self.write(branch, follow) for branch in branches) + ")"
            case Repeat(part=part, least=least, most=most):
                once = most is not None and most <= 1
                inner = self.write(part, follow if once else _Follow(follow.least, nothing=False))
                return f"(?:{inner}){{{least},{'' if most is None else most}}}"

    def sequence(self, parts: tuple[Expression, ...], follow: _Follow) -> str:
        written: list[str] = []
        for part in reversed(parts):
            written.append(self.write(part, follow))
            follow = _Follow(follow.least + _least(part), nothing=False)
        return "(?:" + "".join(reversed(written)) + ")"

    def assertion(self, kind: str, follow: _Follow) -> str:
        if kind == "^" and self.lines:
            if follow.least == 0:
                raise RegexError("with option m at least one character has to follow `^`")
            return "(?m:^)"
        if kind == "\\B" and follow.least == 0:  # RE2 would find it between the bytes of one character
            raise RegexError("at least one character has to follow `\\B`")
        if kind == "$" and self.lines:
            return "(?m:$)"
        if kind in ("$", "\\Z"):  # PCRE: at the end, or before a newline that ends the text
            if not follow.nothing:
                raise RegexError(
                    f"`{kind}` is only supported at the end (use option m for the end of a line)"
                )
            return "(?:\\n?\\z)"
        return "\\A" if kind == "^" else kind

    def check_case(self, ranges: Ranges) -> None:
        """Raises RegexError for letters that engines of different age fold differently."""
        if not self.folds or all(any(a <= low and high <= b for a, b in _SETTLED) for low, high in ranges):
            return
        for low, high in ranges:
            for code in range(max(low, 128), high + 1):
                settled = any(first <= code <= last for first, last in _SETTLED)
                if not settled and chr(code).lower() != chr(code).upper():
                    raise RegexError(
                        f"with option i the letter {chr(code)!r} is not supported (write both cases)"
                    )

    def set(self, node: Set) -> str:
        self.check_case(node.written)
        sign = "^" if node.negated else ""
        if not self.folds:
            return f"[{sign}{_ranges(merged([*node.written, *node.classes]))}]"
        if not node.classes:
            return f"(?i:[{sign}{_ranges(node.written)}])"
        if node.negated:
            folded = merged([*node.classes, *_folded(node.written)])
            return f"[{_ranges(complement(folded))}]"
        classes = f"[{_ranges(node.classes)}]"
        return f"(?:{classes}|(?i:[{_ranges(node.written)}]))" if node.written else classes


def _code(code: int) -> str:
    return chr(code) if code < 128 and chr(code).isalnum() else f"\\x{{{code:X}}}"


def _ranges(ranges: Ranges) -> str:
    """RE2 text for the inside of a set; one that holds nothing is written as the complement of everything."""
    if not ranges:
        return f"^\\x{{0}}-\\x{{{LAST_CHARACTER:X}}}"
    return "".join(f"\\x{{{low:X}}}-\\x{{{high:X}}}" for low, high in ranges)


def _folded(ranges: Ranges) -> list[tuple[int, int]]:
    """The same characters in both cases. PCRE knows two letters beyond ASCII that fold into it: the long s
    and the Kelvin sign."""
    found = list(ranges)
    for low, high in ranges:
        for code in range(low, min(high, 127) + 1):
            other = ord(chr(code).swapcase())
            found.append((other, other))
            if chr(code) in "sS":
                found.append((0x17F, 0x17F))
            if chr(code) in "kK":
                found.append((0x212A, 0x212A))
        if any(chr(code).lower() != chr(code).upper() for code in range(max(low, 128), high + 1)):
            raise RegexError("with option i a `[^…]` with `\\w` or the like holds only letters of ASCII")
    return found


def _least(node: Expression) -> int:
    """The fewest characters it takes."""
    match node:
        case Character() | AnyCharacter() | Set():
            return 1
        case Assertion():
            return 0
        case Sequence(parts=parts):
            return sum(map(_least, parts))
        case Choice(branches=branches):
            return min(map(_least, branches))
        case Repeat(part=part, least=least):
            return least * _least(part)


def _size(node: Expression) -> int:
    """Characters when all counted repeats are written out."""
    match node:
        case Sequence(parts=parts) | Choice(branches=parts):
            return 1 + sum(map(_size, parts))
        case Repeat(part=part, least=least, most=most):
            return 1 + _size(part) * max(1, least, most or 0)
        case _:
            return 1


def _is_safe(tree: Expression, options: str) -> bool:
    """Whether a backtracking engine does little work on any text: no repeated groups, few choices, and one
    repeat without end at most, in an expression that is tied to the start of the text (else the work is
    quadratic)."""
    paths, endless, only_single = _work(tree)
    tied = "m" not in options and _is_tied(tree)
    return only_single and paths <= MOST_PATHS and endless <= (1 if tied else 0)


def _is_tied(node: Expression) -> bool:
    match node:
        case Assertion(kind=kind):
            return kind in ("^", "\\A")
        case Sequence(parts=parts):
            return bool(parts) and _is_tied(parts[0])
        case Choice(branches=branches):
            return all(map(_is_tied, branches))
        case _:
            return False


def _work(node: Expression) -> tuple[int, int, bool]:
    """(ways through it, repeats without end, whether only single characters are repeated)"""
    match node:
        case Sequence(parts=parts):
            paths, endless, single = 1, 0, True
            for part in map(_work, parts):
                paths, endless, single = min(paths * part[0], 10**6), endless + part[1], single and part[2]
            return paths, endless, single
        case Choice(branches=branches):
            works = [_work(branch) for branch in branches]
            return sum(w[0] for w in works), max(w[1] for w in works), all(w[2] for w in works)
        case Repeat(part=part, least=least, most=most):
            single = isinstance(part, Character | AnyCharacter | Set)
            inner = _work(part)
            if most is None:
                return inner[0], inner[1] + 1, single
            return inner[0] * (most - least + 1), inner[1], single or (most <= 1 and inner[2])
        case _:
            return 1, 0, True
