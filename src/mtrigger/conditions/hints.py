"""Words for what the parser did not understand: what stands there, what to write instead, what could have
stood there."""

import re

_WORDS = re.compile(r"[^\W\d]\w*")
_INSTEAD: tuple[tuple[str, str], ...] = (
    (r"&&?", "write `and` instead of `{0}`"),
    (r"\|\|?", "write `or` instead of `{0}`"),
    (r"!(?!=)", "write `not` instead of `!`"),
    (r"===", "write `==` instead of `===`"),
    (r"!==", "write `!=` instead of `!==`"),
    (r"<>", "write `!=` instead of `<>`"),
    (r"=<", "write `<=` instead of `=<`"),
    (r"=>", "write `>=` instead of `=>`"),
    (r"=(?!=)", "write `==` to compare"),
    (r"(?:AND|OR|NOT|IN)\b", "write `{lower}` in small letters"),
    (r"(?:TRUE|FALSE|NULL|True|False|Null)\b", "write `{lower}` in small letters"),
    (r"(?:None|nil|undefined)\b", "write `null` instead of `{0}`"),
    (r"[0-9][0-9.]*_[0-9_]*", "a number is written without `_`"),
    (r"[0-9]+\.(?![0-9])", "a number needs a digit after its point"),
    (
        r"[0-9][0-9.]*[^\W\d]\w*",
        'a number cannot be followed by letters (a duration is written duration("5m"))',
    ),
    (r"\.[0-9]", "a number begins with a digit: 0.5"),
    (r"\.", "a path goes on after its dot, without a space"),
    (r"[\"']", "the string that begins here is not closed"),
    (r"\$", "this JSONPath cannot be read"),
    ("[\u201c\u201d\u2018\u2019\u201e]", "use straight quotation marks: \" or '"),
    (r"\?", "there is no `?` in this language"),
    (r";", "a condition is one expression, without `;`"),
)
_PATTERNS = tuple((re.compile(written), words) for written, words in _INSTEAD)

_OPERATORS = ("==", "!=", "<=", ">=")
_VALUE_SIGNS = {"NUMBER", "STRING", "PATH", "JSONPATH", "TRUE"}
_COMPARISON_SIGNS = {"EQUAL", "LESS"}
_SIGNS = {
    "FROM": "`from`",
    "TO": "`to`",
    "IN": "`in`",
    "AND": "`and`",
    "OR": "`or`",
    "COMMA": "`,`",
    "CLOSE": "`)`",
    "LIST_CLOSE": "`]`",
}


def hint(text: str, place: int) -> str:
    """A sentence about what stands at `place`, where reading stopped."""
    rest = text[place:]
    before = text[:place].rstrip()
    if not rest.strip():
        return "the condition ends too early"
    last_word = before.rsplit(maxsplit=1)[-1] if before else ""
    if before[-1:] + rest[0] in _OPERATORS:
        return f"an operator has no space inside: write `{before[-1]}{rest[0]}`"
    if last_word in ("AND", "OR", "NOT", "IN"):
        return f"write `{last_word.lower()}` in small letters"
    if rest[0] == "[" and last_word:
        return "an element of an array is written items.0.price, each of them $.items[*].price"
    found = _instead(rest)
    if found:
        return found
    word = _WORDS.match(rest)
    shown = word[0] if word else rest[0]
    return f"`{shown[:40]}` does not fit here"


def _instead(rest: str) -> str:
    for pattern, words in _PATTERNS:
        match = pattern.match(rest)
        if match:
            return words.format(match[0], lower=match[0].lower())
    return ""


def expectation(terminals: set[str]) -> str:
    """What could have stood there, in words, from the names of the grammar's terminals."""
    wanted: list[str] = []
    if terminals & _VALUE_SIGNS:
        wanted.append("a value or a condition" if "NOT" in terminals else "a value")
    if terminals & _COMPARISON_SIGNS:
        wanted.append("a comparison such as `==`")
    wanted.extend(_SIGNS[name] for name in _SIGNS if name in terminals)
    if "$END" in terminals:
        wanted.append("the end")
    return wanted[0] if len(wanted) == 1 else ", ".join(wanted[:-1]) + " or " + wanted[-1] if wanted else ""
