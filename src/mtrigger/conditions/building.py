"""From what the parser found to the syntax tree: what names mean, what fits together, what can be worked out now.

The parser calls one method of `Builder` for each rule of grammar.lark, innermost first, so nothing here recurses. A
misuse is raised as `Misuse` with its place in the text.
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, NoReturn

from mtrigger.conditions.arithmetic import NO_VALUE, calculate
from mtrigger.conditions.functions import FUNCTIONS, Argument, call
from mtrigger.conditions.jsonpaths import JsonPathMistake, Search, read
from mtrigger.conditions.misuse import Misuse
from mtrigger.conditions.syntax import (
    Always,
    And,
    Arithmetic,
    ArithmeticOperator,
    Compare,
    CompareValues,
    ComparisonOperator,
    Constant,
    Each,
    JsonPath,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Place,
    Value,
    ValueOneOf,
    has_paths,
)
from mtrigger.conditions.texts import unquoted
from mtrigger.conditions.values import TypeClass, compares, type_class

EVENT_FACTS = ("operation", "database", "collection", "key", "time", "id")
MOST_STEPS = 100
_FOREIGN_WORDS = {
    **{word.upper(): word for word in ("and", "or", "not", "in", "true", "false", "null")},
    "True": "true",
    "False": "false",
    "None": "null",
}
_MIRRORED: dict[str, ComparisonOperator] = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Piece:
    """A node and where its text begins and ends."""

    node: Node | Value
    start: int
    end: int


class Builder:
    """The callbacks of the parser for one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def slice(self, children: list[Any]) -> tuple[str, int, int]:
        start, end = _start(children[0]), _end(children[-1])
        return self.text[start:end], start, end

    # -- values ------------------------------------------------------------------------------------------------

    def number(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        value: int | float = int(text) if text.isdigit() else float(text)
        if isinstance(value, int) and value >= 2**63:
            raise Misuse(
                "a whole number has at most 64 bits; write it as 1e19 to compare with a double", start
            )
        if value == float("inf"):
            raise Misuse("this number is too large for a double", start)
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
                raise Misuse(
                    "a list holds literals only", piece.start, "a string, a number, date(…) or oid(…)"
                )
            values.append(piece.node.value)
        return Piece(Constant(text, values), start, end)

    def path(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        first, *rest = text.split(".")
        if len(rest) >= MOST_STEPS:
            raise Misuse(f"a path has at most {MOST_STEPS} steps", start)
        if text in FUNCTIONS:
            raise Misuse(
                f"`{text}` is a function; write `{text}(…)`, or $['{text}'] for a field of that name", start
            )
        if text in _FOREIGN_WORDS:
            raise Misuse(
                f"write `{_FOREIGN_WORDS[text]}` instead of `{text}` ($.{text} for a field of that name)",
                start,
            )
        if first == "before":
            return Piece(Path(text, "before", tuple(rest)), start, end)
        if first == "event":
            return Piece(Path(text, "event", _event_steps(rest, start)), start, end)
        if first == "document":
            meant = ".".join(rest) or "amount"
            raise Misuse(
                f"names are paths in the document already: write `{meant}` ($.{text} for a field called document)",
                start,
            )
        return Piece(Path(text, "document", (first, *rest)), start, end)

    def jsonpath(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        try:
            found = read(text)
        except JsonPathMistake as mistake:
            raise Misuse(str(mistake), start, "a JSONPath such as $.items[*].price") from mistake
        if isinstance(found, Search):
            return Piece(JsonPath(text, found), start, end)
        if not found or not isinstance(found[0], str):
            raise Misuse(
                "a JSONPath begins with a field of the document", start, "a path such as $.items[*].price"
            )
        if len(found) > MOST_STEPS:
            raise Misuse(f"a path has at most {MOST_STEPS} steps", start)
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
            raise Misuse(f"there is no function `{name}`; {hint}", start)
        return Piece(call(name, text, arguments, end), start, end)

    def minus(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        zero = Piece(Constant("0", 0), start, start)
        return Piece(self.operation(text, "-", zero, children[1], start), start, end)

    def calculated(self, children: list[Any]) -> Piece:
        total: Piece = children[0]
        for sign, right in zip(children[1::2], children[2::2], strict=True):
            text, start, end = self.slice([total, right])
            total = Piece(self.operation(text, str(sign), total, right, sign.start_pos), start, end)
        return total

    def operation(self, text: str, sign: str, left: Piece, right: Piece, place: int) -> Value:
        one, other = _value(left), _value(right)
        for operand, piece in ((one, left), (other, right)):
            if isinstance(operand, Constant):
                _check_operand(sign, operand, piece.start)
        if isinstance(one, Constant) and isinstance(other, Constant):
            found = calculate(sign, one.value, other.value)
            if found is NO_VALUE:
                raise Misuse(f"`{text}` has no value", place)
            return Constant(text, found)
        operator: ArithmeticOperator = sign  # type: ignore[assignment] # the grammar lets no other sign through
        return Arithmetic(text, operator, one, other)

    # -- conditions --------------------------------------------------------------------------------------------

    def compared(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        parts: list[Node] = []
        for left, sign, right in zip(children[0::2], children[1::2], children[2::2], strict=False):
            parts.append(_comparison(self.slice([left, right])[0], str(sign), _value(left), _value(right)))
        return Piece(parts[0] if len(parts) == 1 else And(text, tuple(parts)), start, end)

    def one_of(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(_membership(text, children[0], children[-1]), start, end)

    def none_of(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Not(text, _membership(text, children[0], children[-1])), start, end)

    def negated(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Not(text, condition(children[1])), start, end)

    def both(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(And(text, tuple(map(condition, children[0::2]))), start, end)

    def either(self, children: list[Any]) -> Piece:
        text, start, end = self.slice(children)
        return Piece(Or(text, tuple(map(condition, children[0::2]))), start, end)

    def start(self, children: list[Any]) -> Node:
        return condition(children[0])


def _start(child: Any) -> int:
    return int(child.start if isinstance(child, Piece) else child.start_pos)


def _end(child: Any) -> int:
    return int(child.end if isinstance(child, Piece) else child.end_pos)


def _pieces(children: list[Any]) -> list[Piece]:
    return [child for child in children if isinstance(child, Piece)]


def _event_steps(names: list[str], start: int) -> tuple[str, ...]:
    facts = ", ".join(f"event.{fact}" for fact in EVENT_FACTS)
    if not names:
        raise Misuse(
            "`event` is more than one value", start, f"one of {facts}; $.event for a field of that name"
        )
    if names[0] not in EVENT_FACTS:
        close = get_close_matches(names[0], EVENT_FACTS, 1)
        hint = f"did you mean `event.{close[0]}`?" if close else f"there is {facts}"
        raise Misuse(f"an event has no `{names[0]}`; {hint}", start)
    if len(names) > 1 and names[0] != "key":
        raise Misuse(f"`event.{names[0]}` has nothing below it", start)
    return tuple(names)


def condition(piece: Piece) -> Node:
    """The piece where a condition is needed: a bare path means `path == true`."""
    node = piece.node
    if isinstance(node, Path) and node.root == "before" and not node.steps:
        _refuse_whole_image(piece.start)
    if isinstance(node, Place):
        return Compare(node.text, "==", node, Constant("true", True))
    if isinstance(node, Constant) and isinstance(node.value, bool):
        return Always(node.text, node.value)
    if isinstance(node, Value):
        raise Misuse(f"`{node.text}` is a value, not a condition", piece.start, "a comparison")
    return node


def _value(piece: Piece) -> Value:
    """The piece where a value is needed."""
    node = piece.node
    if isinstance(node, Path) and node.root == "before" and not node.steps:
        _refuse_whole_image(piece.start)
    if not isinstance(node, Value):
        raise Misuse(
            f"`{node.text}` is a condition, not a value", piece.start, "a path, a literal or a calculation"
        )
    return node


def _refuse_whole_image(start: int) -> NoReturn:
    raise Misuse(
        "`before` is a whole document", start, "before.field, exists(before), or $.before for a field"
    )


def _check_operand(sign: str, operand: Constant, start: int) -> None:
    kind = type_class(operand.value)
    if kind == TypeClass.STRING and sign == "+":
        raise Misuse("strings cannot be added", start, "a number, a date or a duration")
    if kind not in (TypeClass.NUMBER, TypeClass.DATE):
        raise Misuse(f"`{operand.text}` cannot be calculated with", start, "a number, a date or a duration")


def _comparison(text: str, sign: str, left: Value, right: Value) -> Node:
    if sign == "!=":
        return Not(text, _comparison(text, "==", left, right))
    operator: ComparisonOperator = sign  # type: ignore[assignment] # the grammar lets no other sign through
    if isinstance(left, Constant) and isinstance(right, Constant):
        return Always(text, compares(operator, left.value, right.value))
    if isinstance(left, Place) and not has_paths(right):
        return Compare(text, operator, left, right)
    if isinstance(right, Place) and not has_paths(left):
        return Compare(text, _MIRRORED[operator], right, left)
    return CompareValues(text, operator, left, right)


def _membership(text: str, left: Piece, right: Piece) -> Node:
    choices = right.node
    if not isinstance(choices, Constant) or not isinstance(choices.value, list):
        hint = '`in` needs a list (to ask whether an array holds a value, write tags == "vip")'
        raise Misuse(hint, right.start, 'a list such as ["new", "paid"]')
    values = tuple(choices.value)
    match _value(left):
        case Path() | JsonPath() as place:
            return OneOf(text, place, values)
        case Constant(value=value):
            return Always(text, any(compares("==", value, choice) for choice in values))
        case worked_out:
            return ValueOneOf(text, worked_out, values)
