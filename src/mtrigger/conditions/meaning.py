"""What fits together in an expression: where a condition is needed and where a value, and what two of them
make."""

from dataclasses import dataclass
from typing import NoReturn

from mtrigger.conditions.arithmetic import NO_VALUE, calculate
from mtrigger.conditions.misuse import MisuseError
from mtrigger.conditions.syntax import (
    Always,
    And,
    Arithmetic,
    ArithmeticOperator,
    Changed,
    Compare,
    CompareValues,
    ComparisonOperator,
    Constant,
    JsonPath,
    Node,
    Not,
    OneOf,
    Path,
    Place,
    Value,
    ValueOneOf,
)
from mtrigger.conditions.values import TypeClass, compares, type_class
from mtrigger.conditions.walking import has_paths

_MIRRORED: dict[str, ComparisonOperator] = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Piece:
    """A node and where its text begins and ends."""

    node: Node | Value
    start: int
    end: int


def as_condition(piece: Piece) -> Node:
    """The piece where a condition is needed: a bare path means `path == true`."""
    node = piece.node
    if isinstance(node, Path) and node.root == "before" and not node.steps:
        _refuse_whole_image(piece.start)
    if isinstance(node, Place):
        return Compare(node.text, "==", node, Constant("true", True))
    if isinstance(node, Constant) and isinstance(node.value, bool):
        return Always(node.text, node.value)
    if isinstance(node, Value):
        raise MisuseError(f"`{node.text}` is a value, not a condition", piece.start, "a comparison")
    return node


def as_value(piece: Piece) -> Value:
    """The piece where a value is needed."""
    node = piece.node
    if isinstance(node, Path) and node.root == "before" and not node.steps:
        _refuse_whole_image(piece.start)
    if not isinstance(node, Value):
        raise MisuseError(
            f"`{node.text}` is a condition, not a value", piece.start, "a path, a literal or a calculation"
        )
    return node


def _refuse_whole_image(start: int) -> NoReturn:
    raise MisuseError(
        "`before` is a whole document", start, "before.field, exists(before), or $.before for a field"
    )


def _check_operand(sign: str, operand: Constant, start: int) -> None:
    kind = type_class(operand.value)
    if kind == TypeClass.STRING and sign == "+":
        raise MisuseError("strings cannot be added", start, "a number, a date or a duration")
    if kind not in (TypeClass.NUMBER, TypeClass.DATE):
        raise MisuseError(
            f"`{operand.text}` cannot be calculated with", start, "a number, a date or a duration"
        )


def comparison(text: str, sign: str, left: Value, right: Value) -> Node:
    """`left sign right`."""
    if sign == "!=":
        return Not(text, comparison(text, "==", left, right))
    operator: ComparisonOperator = sign  # type: ignore[assignment] # the grammar lets no other sign through
    if isinstance(left, Constant) and isinstance(right, Constant):
        return Always(text, compares(operator, left.value, right.value))
    if isinstance(left, Place) and not has_paths(right):
        return Compare(text, operator, left, right)
    if isinstance(right, Place) and not has_paths(left):
        return Compare(text, _MIRRORED[operator], right, left)
    return CompareValues(text, operator, left, right)


def membership(text: str, left: Piece, right: Piece) -> Node:
    """`left in right`."""
    choices = right.node
    if not isinstance(choices, Constant) or not isinstance(choices.value, list):
        hint = '`in` needs a list (to ask whether an array holds a value, write tags == "vip")'
        raise MisuseError(hint, right.start, 'a list such as ["new", "paid"]')
    values = tuple(choices.value)
    match as_value(left):
        case Path() | JsonPath() as place:
            return OneOf(text, place, values)
        case Constant(value=value):
            return Always(text, any(compares("==", value, choice) for choice in values))
        case worked_out:
            return ValueOneOf(text, worked_out, values)


def change(text: str, place: Piece, was: Piece | None, is_now: Piece | None) -> Node:
    """`place changed from was to is_now`: short for `changed(place) and before.place == was and place ==
    is_now`."""
    path = place.node
    if not isinstance(path, Path) or path.root != "document" or not path.is_plain:
        raise MisuseError("only a field of the document changes", place.start, "a path such as status")
    parts: list[Node] = [Changed(f"changed({path.text})", path)]
    if was is not None:
        value = as_value(was)
        earlier = Path(f"before.{'.'.join(path.names)}", "before", path.steps)
        parts.append(comparison(f"{earlier.text} == {value.text}", "==", earlier, value))
    if is_now is not None:
        value = as_value(is_now)
        parts.append(comparison(f"{path.text} == {value.text}", "==", path, value))
    return And(text, tuple(parts))


def operation(text: str, sign: str, left: Piece, right: Piece, place: int) -> Value:
    """`left sign right`, worked out if both are literals. `place` is named in a mistake."""
    one, other = as_value(left), as_value(right)
    for operand, piece in ((one, left), (other, right)):
        if isinstance(operand, Constant):
            _check_operand(sign, operand, piece.start)
    if isinstance(one, Constant) and isinstance(other, Constant):
        found = calculate(sign, one.value, other.value)
        if found is NO_VALUE:
            raise MisuseError(f"`{text}` has no value", place)
        return Constant(text, found)
    operator: ArithmeticOperator = sign  # type: ignore[assignment] # the grammar lets no other sign through
    return Arithmetic(text, operator, one, other)
