"""The query operators that are about the values at one path: what each accepts and which node it becomes."""

from collections.abc import Callable
from typing import Any

from bson.regex import Regex

from mtrigger.conditions.mapping_values import MappingError, normalised
from mtrigger.conditions.regex_tree import RegexError
from mtrigger.conditions.regexes import Pattern, pattern
from mtrigger.conditions.syntax import (
    Compare,
    ComparisonOperator,
    Constant,
    Exists,
    HasRemainder,
    HasSize,
    HasType,
    Matches,
    Node,
    Not,
    OneOf,
    Path,
)
from mtrigger.conditions.values import regex_key

Read = Callable[[str, Path, Any, str], Node]
"""(text, place, operand, the key to name in a mistake) -> node"""

_TYPE_NUMBERS = {
    1: "double",
    2: "string",
    3: "object",
    4: "array",
    5: "binData",
    7: "objectId",
    8: "bool",
    9: "date",
    10: "null",
    11: "regex",
    13: "javascript",
    15: "javascriptWithScope",
    16: "int",
    17: "timestamp",
    18: "long",
    19: "decimal",
    -1: "minKey",
    127: "maxKey",
}


def read_pattern(operand: Any, options: Any, where: str) -> Pattern:
    """The pattern of `$regex` and `$options`, or of a regular expression as a value. Raises MappingError."""
    if not isinstance(options, str):
        raise MappingError(f"`{where}`: `$options` is a string such as i")
    source = operand
    if isinstance(operand, Regex):
        source, letters = regex_key(operand)
        options = options or letters
    if not isinstance(source, str):
        raise MappingError(f"`{where}`: `$regex` is a string")
    try:
        return pattern(source, options)
    except RegexError as mistake:
        raise MappingError(f"`{where}`: {mistake}") from mistake


def equal(text: str, place: Path, operand: Any, where: str) -> Node:
    """`$eq`."""
    return Compare(text, "==", place, Constant(text, normalised(operand, where)))


def _unequal(text: str, place: Path, operand: Any, where: str) -> Node:
    return Not(text, Compare(text, "==", place, _ordered(text, operand, where)))


def _ordered(text: str, operand: Any, where: str) -> Constant:
    value = normalised(operand, where)
    if isinstance(value, Regex):
        raise MappingError(f"`{where}` cannot be compared with a regular expression; use `$regex`")
    return Constant(text, value)


def _order(operator: ComparisonOperator) -> Read:
    return lambda text, place, operand, where: Compare(text, operator, place, _ordered(text, operand, where))


def _one_of(text: str, place: Path, operand: Any, where: str) -> Node:
    if not isinstance(operand, list | tuple):
        raise MappingError(f"`{where}` needs a list")
    values = [normalised(item, where) for item in operand]
    patterns = tuple(read_pattern(value, "", where) for value in values if isinstance(value, Regex))
    return OneOf(text, place, tuple(value for value in values if not isinstance(value, Regex)), patterns)


def _none_of(text: str, place: Path, operand: Any, where: str) -> Node:
    return Not(text, _one_of(text, place, operand, where))


def _exists(text: str, place: Path, operand: Any, where: str) -> Node:
    if not isinstance(operand, bool) and operand not in (0, 1):
        raise MappingError(f"`{where}` is true or false")
    return Exists(text, place) if operand else Not(text, Exists(text, place))


def _type(text: str, place: Path, operand: Any, where: str) -> Node:
    wanted = operand if isinstance(operand, list | tuple) else [operand]
    names: list[str] = []
    for name in wanted:
        known = _TYPE_NUMBERS.get(name) if isinstance(name, int) else name
        if known not in (*_TYPE_NUMBERS.values(), "number"):
            raise MappingError(
                f"`{where}`: {name!r} is not a type; there are number, {', '.join(_TYPE_NUMBERS.values())}"
            )
        names.append(str(known))
    if not names:
        raise MappingError(f"`{where}` needs a type")
    return HasType(text, place, tuple(names))


def _size(text: str, place: Path, operand: Any, where: str) -> Node:
    size = _whole(operand, where)
    if size < 0:
        raise MappingError(f"`{where}` is a number from 0 on")
    return HasSize(text, place, size)


def _remainder(text: str, place: Path, operand: Any, where: str) -> Node:
    if not isinstance(operand, list | tuple) or len(operand) != 2:
        raise MappingError(f"`{where}` is a list of divisor and remainder")
    divisor, remainder = (_whole(number, where) for number in operand)
    if divisor == 0:
        raise MappingError(f"`{where}`: nothing can be divided by 0")
    return HasRemainder(text, place, divisor, remainder)


def _whole(operand: Any, where: str) -> int:
    value = normalised(operand, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise MappingError(f"`{where}` needs a whole number")
    return int(value)


def regex(text: str, place: Path, found: Pattern) -> Node:
    """`$regex`."""
    return Matches(text, place, found, "matches", found.source)


OPERATORS: dict[str, Read] = {
    "$eq": equal,
    "$ne": _unequal,
    "$lt": _order("<"),
    "$lte": _order("<="),
    "$gt": _order(">"),
    "$gte": _order(">="),
    "$in": _one_of,
    "$nin": _none_of,
    "$exists": _exists,
    "$type": _type,
    "$size": _size,
    "$mod": _remainder,
}
