"""Going through a syntax tree without recursion."""

from collections.abc import Iterator

from mtrigger.conditions.syntax import (
    And,
    AnyElement,
    Arithmetic,
    Became,
    Changed,
    Compare,
    CompareValues,
    Exists,
    HasRemainder,
    HasSize,
    HasType,
    JsonPath,
    Length,
    LetterCase,
    Matches,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Value,
    ValueOneOf,
)


def children(node: Node | Value) -> tuple[Node | Value, ...]:
    """The nodes directly below."""
    match node:
        case And(parts=parts) | Or(parts=parts):
            return parts
        case Not(part=part) | Became(part=part):
            return (part,)
        case AnyElement(place=place, part=part):
            return (place, part)
        case Compare(place=place, operand=operand):
            return (place, operand)
        case CompareValues(left=left, right=right) | Arithmetic(left=left, right=right):
            return (left, right)
        case Length(argument=argument) | LetterCase(argument=argument):
            return (argument,)
        case ValueOneOf(value=value):
            return (value,)
        case OneOf() | Exists() | Matches() | HasType() | HasSize() | HasRemainder() | Changed():
            return (node.place,)
        case _:
            return ()


def walk(node: Node | Value) -> Iterator[Node | Value]:
    """The node and all nodes below it, without recursion."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(children(current))


def has_paths(value: Value) -> bool:
    """Whether the value depends on the event (and not only on literals and the clock)."""
    return any(isinstance(node, Path | JsonPath) for node in walk(value))
