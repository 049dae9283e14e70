r"""Reading regular expressions: the part of PCRE's syntax that RE2 can run and both read alike.

A regular expression is read into a small tree here and written out again for RE2 by `regexes`. What is not
known to mean the same to both engines is refused with a sentence; nothing is passed through unread. PCRE is
used by the server without Unicode properties, so \w, \d, \s and \b are about ASCII (pcrepattern(3)).
"""

from typing import NoReturn

from mtrigger.conditions.regex_tree import (
    CONTROLS,
    LAST_CHARACTER,
    POSIX,
    SHORTHANDS,
    AnyCharacter,
    Assertion,
    Character,
    Choice,
    Expression,
    RegexError,
    Repeat,
    Sequence,
    Set,
    merged,
)

MOST_REPEATS = 1000  # RE2's own limit
MOST_NESTING = 50


def read(source: str, options: str) -> tuple[Expression, str]:
    """The tree of `source`, and all options: `options` and those written at its start as `(?i)`.

    Raises RegexError.
    """
    reader = _Reader(source)
    letters = "".join(sorted({*options, *reader.leading_options()}))
    reader.folds = "i" in letters
    tree = reader.choice(0)
    if reader.place < len(source):
        raise RegexError("there is a `)` without its `(`")
    return tree, letters


class _Reader:
    """Recursive descent, bounded by MOST_NESTING."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.place = 0
        self.folds = False
        self.names: set[str] = set()

    def refuse(self, what: str) -> NoReturn:
        raise RegexError(f"regular expressions here run in linear time: {what} is not supported")

    def peek(self, length: int = 1) -> str:
        return self.source[self.place : self.place + length]

    def take(self) -> str:
        character = self.peek()
        if not character:
            raise RegexError("the regular expression ends too early")
        self.place += 1
        return character

    def skip(self, text: str) -> bool:
        found = self.source.startswith(text, self.place)
        if found:
            self.place += len(text)
        return found

    def leading_options(self) -> str:
        end = self.source.find(")")
        letters = self.source[2:end] if self.source.startswith("(?") and end > 2 else ""
        if not letters or set(letters) - set("imsx"):
            return ""
        if "x" in letters:
            raise RegexError("option x (spaces and comments inside) is not supported")
        self.place = end + 1
        return letters

    def choice(self, depth: int) -> Expression:
        if depth > MOST_NESTING:
            raise RegexError(f"groups are nested more than {MOST_NESTING} deep")
        branches = [self.sequence(depth)]
        while self.skip("|"):
            branches.append(self.sequence(depth))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def sequence(self, depth: int) -> Expression:
        parts: list[Expression] = []
        while self.peek() and self.peek() not in "|)":
            parts.append(self.repeated(depth))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def repeated(self, depth: int) -> Expression:
        part = self.single(depth)
        bounds = self.quantifier()
        if bounds is None:
            return part
        if isinstance(part, Assertion):
            self.refuse(f"a repeated `{part.kind}`")
        if self.skip("?"):
            pass  # lazy: it changes what a match spans, not whether there is one
        elif self.peek() == "+":
            self.refuse("a possessive quantifier such as `a++`")
        if self.peek() and self.peek() in "*+?":
            raise RegexError("there are two quantifiers in a row")
        least, most = bounds
        if max(least, most or 0) > MOST_REPEATS:
            raise RegexError(f"a quantifier goes up to {MOST_REPEATS}")
        if most is not None and least > most:
            raise RegexError(f"the quantifier {{{least},{most}}} is upside down")
        return Repeat(part, least, most)

    def quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.skip(sign):
                return bounds
        return self.counted()

    def counted(self) -> tuple[int, int | None] | None:
        end = self.source.find("}", self.place)
        if self.peek() != "{" or end < 0:
            return None
        low, comma, high = self.source[self.place + 1 : end].partition(",")
        if not (_is_count(low) and (not high or _is_count(high))):
            return None  # PCRE takes such a brace for itself
        self.place = end + 1
        if not comma:
            return int(low), int(low)
        return int(low), int(high) if high else None

    def single(self, depth: int) -> Expression:
        character = self.take()
        match character:
            case "(":
                return self.group(depth)
            case "[":
                return self.set()
            case "\\":
                return self.escape()
            case ".":
                return AnyCharacter()
            case "^" | "$":
                return Assertion(character)
            case "*" | "+" | "?":
                raise RegexError(f"there is nothing for `{character}` to repeat")
            case _:
                self.place -= 1
                if self.counted() is not None:
                    raise RegexError("there is nothing for the quantifier to repeat")
                self.place += 1
                return Character(ord(character))

    def group(self, depth: int) -> Expression:
        if self.peek() == "*":
            self.refuse("a verb such as `(*COMMIT)`")
        if self.skip("?") and not self.skip(":"):
            self.group_name()
        inner = self.choice(depth + 1)
        if not self.skip(")"):
            raise RegexError("there is a `(` without its `)`")
        return Sequence((inner,))

    def group_name(self) -> None:
        if self.peek() in ("=", "!") or self.peek(2) in ("<=", "<!"):
            self.refuse("look-around such as `(?=…)`")
        if not (self.skip("P<") or self.skip("<")):
            self.refuse(f"a group that begins with `(?{self.peek()}` (write options at the very start)")
        end = self.source.find(">", self.place)
        name = self.source[self.place : end] if end > 0 else ""
        if not (name.isascii() and name.isidentifier() and len(name) <= 32) or name in self.names:
            raise RegexError("a group's name has up to 32 letters, digits or `_`, and is used once")
        self.names.add(name)
        self.place = end + 1

    def escape(self) -> Expression:
        letter = self.take()
        if letter in SHORTHANDS:
            return Set((), SHORTHANDS[letter], negated=False)
        match letter:
            case "b" | "B" | "A" | "z" | "Z":
                return Assertion(f"\\{letter}")  # type: ignore[arg-type] # one of AssertionKind, by the pattern
            case "p" | "P":
                return self.refuse("a Unicode property (write the range, such as `[가-힣]`)")
            case "g" | "k" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9":
                return self.refuse("a back-reference")
            case _:
                return Character(self.escaped_code(letter))

    def escaped_code(self, letter: str) -> int:
        """The character meant by a backslash and `letter`, inside a set or outside."""
        if letter in CONTROLS:
            return CONTROLS[letter]
        if letter == "x":
            return self.hexadecimal()
        if letter.isascii() and letter.isalnum():
            raise RegexError(f"`\\{letter}` is not supported")
        return ord(letter)

    def hexadecimal(self) -> int:
        digits = self.source[self.place : self.place + 2]
        length = 2
        if self.peek() == "{":
            end = self.source.find("}", self.place)
            digits = self.source[self.place + 1 : end] if end > 0 else ""
            length = len(digits) + 2
        if not 2 <= len(digits) <= 6 or set(digits) - set("0123456789abcdefABCDEF"):
            raise RegexError("`\\x` needs two hexadecimal digits, or several in braces: `\\x{1F600}`")
        self.place += length
        code = int(digits, 16)
        if code > LAST_CHARACTER or 0xD800 <= code <= 0xDFFF:
            raise RegexError(f"there is no character {digits}")
        return code

    def set(self) -> Expression:
        if self.peek() in (":", ".", "="):
            raise RegexError(
                f"a set that begins with `{self.peek()}` is not supported (a class is `[[:alpha:]]`)"
            )
        negated = self.skip("^")
        written: list[tuple[int, int]] = []
        classes: list[tuple[int, int]] = []
        first = True
        while first or self.peek() != "]":
            first = False
            low = self.member(classes)
            if low is None:
                if self.peek() == "-" and self.peek(2) != "-]":
                    raise RegexError("a range cannot begin with a class such as `\\w`")
            elif self.peek() == "-" and self.peek(2) not in ("-", "-]"):
                self.take()
                high = self.member(classes)
                if high is None or high < low:
                    raise RegexError("a range in `[…]` goes from a lower to a higher character")
                written.append((low, high))
            else:
                written.append((low, low))
        self.take()
        return Set(merged(written), merged(classes), negated)

    def member(self, classes: list[tuple[int, int]]) -> int | None:
        """The next character of a set; None after a class, whose characters are added to `classes`."""
        character = self.take()
        if character == "[" and self.peek() in (":", ".", "="):
            end = self.source.find(":]", self.place)
            name = self.source[self.place + 1 : end] if end > 0 else ""
            if name not in POSIX:
                raise RegexError(f"`[{self.peek()}{name}` is not a class of characters")
            self.place = end + 2
            classes.extend(POSIX["alpha" if self.folds and name in ("upper", "lower") else name])
            return None
        if character != "\\":
            return ord(character)
        letter = self.take()
        if letter in SHORTHANDS:
            classes.extend(SHORTHANDS[letter])
            return None
        return 8 if letter == "b" else self.escaped_code(letter)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5
