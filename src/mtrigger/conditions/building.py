"""From what the parser found to the syntax tree: what names mean, what fits together, what can be worked out
now.

The parser calls one method of `Builder` for each rule of grammar.lark, innermost first, so nothing here
recurses. A misuse is raised as `MisuseError` with its place in the text.
"""

from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from mtrigger.conditions.about import About, jsonpath_of, steps_of
from mtrigger.conditions.functions import FUNCTIONS, Argument, call
from mtrigger.conditions.jsonpaths import JsonPathError, Search, read
from mtrigger.conditions.meaning import (
    Piece,
    as_condition,
    as_value,
    change,
    comparison,
    membership,
    operation,
)
from mtrigger.conditions.misuse import MisuseError
from mtrigger.conditions.syntax import And, Constant, Each, JsonPath, Node, Not, Or, Path
from mtrigger.conditions.texts import unquoted

EVENT_FACTS = ("operation", "database", "collection", "key", "time", "id")
MOST_STEPS = 100
MOST_EACH = 10
_FOREIGN_WORDS = {
    **{word.upper(): word for word in ("and", "or", "not", "in", "true", "false", "null")},
    "True": "true",
    "False": "false",
    "None": "null",
}


class Builder:
    """The callbacks of the parser for one text, whose names are `about` something."""

    def __init__(self, text: str, about: About) -> None:
        self.text = text
        self._about = about

    def slice(self, children: list[Any]) -> tuple[str, int, int]:
        start, end = _start(children[0]), _end(children[-1])
        return self.text[start:end], start, end

    # values

    def number(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        value: int | float = int(text) if text.isdigit() else float(text)
        if isinstance(value, int) and value >= 2**63:
            raise MisuseError(
                "a whole number has at most 64 bits; write it as 1e19 to compare with a double", start
            )
        if value == float("inf"):
            raise MisuseError("this number is too large for a double", start)
        return Piece(Constant(text, value), start, end)

    def string(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Constant(text, unquoted(text, start)), start, end)

    def word(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Constant(text, {"true": True, "false": False, "null": None}[text]), start, end)

    def items(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        values: list[Any] = []
        for piece in _pieces(children):
            if not isinstance(piece.node, Constant):
                raise MisuseError(
                    "a list holds literals only", piece.start, "a string, a number, date(…) or oid(…)"
                )
            values.append(piece.node.value)
        return Piece(Constant(text, values), start, end)

    def path(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        first, *rest = text.split(".")
        if len(rest) >= MOST_STEPS:
            raise MisuseError(f"a path has at most {MOST_STEPS} steps", start)
        if text in FUNCTIONS:
            raise MisuseError(
                f"`{text}` is a function; write `{text}(…)`, or $['{text}'] for a field of that name", start
            )
        if text in _FOREIGN_WORDS:
            raise MisuseError(
                f"write `{_FOREIGN_WORDS[text]}` instead of `{text}` ($.{text} for a field of that name)",
                start,
            )
        if first == "before":
            return Piece(Path(text, "before", tuple(rest)), start, end)
        if first == "event":
            return Piece(Path(text, "event", _event_steps(rest, start)), start, end)
        if first == "document":
            meant = ".".join(rest) or "amount"
            raise MisuseError(
                f"names are paths in the document: write `{meant}` ($.{text} for a field called document)",
                start,
            )
        try:
            return Piece(Path(text, "document", steps_of((first, *rest), self._about)), start, end)
        except ValueError as mistake:
            raise MisuseError(str(mistake), start) from mistake

    def jsonpath(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        try:
            found = read(jsonpath_of(text, self._about))
        except JsonPathError as mistake:
            raise MisuseError(str(mistake), start, "a JSONPath such as $.items[*].price") from mistake
        if isinstance(found, Search):
            return Piece(JsonPath(text, found), start, end)
        if not found or not isinstance(found[0], str):
            raise MisuseError(
                "a JSONPath begins with a field of the document", start, "a path such as $.items[*].price"
            )
        if len(found) > MOST_STEPS:
            raise MisuseError(f"a path has at most {MOST_STEPS} steps", start)
        if sum(not isinstance(step, str) for step in found) > MOST_EACH:
            raise MisuseError(f"a path has at most {MOST_EACH} times `[*]`", start)
        steps = tuple(step if isinstance(step, str) else Each.ELEMENT for step in found)
        return Piece(Path(text, "document", steps), start, end)

    def group(self, children: list[Any]) -> Piece:
        inner: Piece = children[1]
        return replace(inner, start=_start(children[0]), end=_end(children[-1]))

    def call(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        name = str(children[0])
        arguments = [
            Argument(piece.node, piece.start, self.text[piece.start : piece.end])
            for piece in _pieces(children)
        ]
        if name not in FUNCTIONS:
            close = get_close_matches(name, FUNCTIONS, 1)
            hint = f"did you mean `{close[0]}`?" if close else "the functions are " + ", ".join(FUNCTIONS)
            raise MisuseError(f"there is no function `{name}`; {hint}", start)
        return Piece(call(name, text, arguments, end), start, end)

    def minus(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        zero = Piece(Constant("0", 0), start, start)
        return Piece(operation(text, "-", zero, children[1], start), start, end)

    def calculated(self, children: list[Any]) -> Piece:
        total: Piece = children[0]
        for sign, right in zip(children[1::2], children[2::2], strict=True):
            text, start, end = self.slice([total, right])
            total = Piece(operation(text, str(sign), total, right, sign.start_pos), start, end)
        return total

    # conditions

    def compared(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        parts: list[Node] = []
        for left, sign, right in zip(children[0::2], children[1::2], children[2::2], strict=False):
            parts.append(comparison(self.slice([left, right])[0], str(sign), as_value(left), as_value(right)))
        return Piece(parts[0] if len(parts) == 1 else And(text, tuple(parts)), start, end)

    def one_of(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(membership(text, children[0], children[-1]), start, end)

    def none_of(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Not(text, membership(text, children[0], children[-1])), start, end)

    def changed_from(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(change(text, children[0], children[3], None), start, end)

    def changed_to(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(change(text, children[0], None, children[3]), start, end)

    def changed_between(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(change(text, children[0], children[3], children[5]), start, end)

    def negated(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Not(text, as_condition(children[1])), start, end)

    def both(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(And(text, tuple(map(as_condition, children[0::2]))), start, end)

    def either(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Or(text, tuple(map(as_condition, children[0::2]))), start, end)

    def start(self, children: list[Any]) -> Node:
        return as_condition(children[0])


def _start(child: Any) -> int:
    return int(child.start if isinstance(child, Piece) else child.start_pos)


def _end(child: Any) -> int:
    return int(child.end if isinstance(child, Piece) else child.end_pos)


def _pieces(children: list[Any]) -> list[Piece]:
    return [child for child in children if isinstance(child, Piece)]


def _event_steps(names: list[str], start: int) -> tuple[str, ...]:
    facts = ", ".join(f"event.{fact}" for fact in EVENT_FACTS)
    if not names:
        raise MisuseError(
            "`event` is more than one value", start, f"one of {facts}; $.event for a field of that name"
        )
    if names[0] not in EVENT_FACTS:
        close = get_close_matches(names[0], EVENT_FACTS, 1)
        hint = f"did you mean `event.{close[0]}`?" if close else f"there is {facts}"
        raise MisuseError(f"an event has no `{names[0]}`; {hint}", start)
    if len(names) > 1 and names[0] != "key":
        raise MisuseError(f"`event.{names[0]}` has nothing below it", start)
    return tuple(names)
