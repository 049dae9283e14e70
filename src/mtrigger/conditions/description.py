"""Conditions in plain English."""

from mtrigger.conditions.syntax import (
    Always,
    And,
    AnyElement,
    Arithmetic,
    Became,
    Changed,
    Compare,
    CompareValues,
    Constant,
    Exists,
    HasRemainder,
    HasSize,
    HasType,
    Length,
    LetterCase,
    Matches,
    Node,
    Not,
    Now,
    OneOf,
    Or,
    Value,
    ValueOneOf,
)
from mtrigger.conditions.tracing import shown_value

_COMPARES = {"==": "is", "<": "is less than", "<=": "is at most", ">": "is greater than", ">=": "is at least"}
_TEXT_TESTS = {
    "matches": "matches",
    "startswith": "starts with",
    "endswith": "ends with",
    "contains": "contains",
}
_OPERATORS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "modulo"}


def description(node: Node) -> str:
    """The condition as a phrase: "amount is greater than 10000 and status is one of 'new', 'paid'"."""
    match node:
        case Always(held=held):
            return "always" if held else "never"
        case And(parts=parts):
            return " and ".join(_inner(part, Or) for part in parts) if parts else "always"
        case Or(parts=parts):
            return " or ".join(_inner(part, And) for part in parts) if parts else "never"
        case Not(part=part):
            return _negation(part)
        case Became(part=part):
            return f"it has become true that {description(part)}"
        case Changed(place=place):
            return f"{place.text} was changed"
        case _:
            return _leaf(node)


def _inner(part: Node, other: type[And] | type[Or]) -> str:
    text = description(part)
    return f"({text})" if isinstance(part, other) else text


def _negation(part: Node) -> str:
    match part:
        case Compare(operator="==", place=place, operand=operand):
            return f"{place.text} is not {value_description(operand)}"
        case CompareValues(operator="==", left=left, right=right):
            return f"{value_description(left)} is not {value_description(right)}"
        case OneOf(place=place):
            return f"{place.text} is none of {_choices(part)}"
        case Exists(place=place):
            return f"{place.text} does not exist"
        case And() | Or():
            return f"it is not so that ({description(part)})"
        case _:
            return f"it is not so that {description(part)}"


def _choices(node: OneOf) -> str:
    shown = [shown_value(choice) for choice in node.choices]
    shown += [f"/{pattern.source}/{pattern.options}" for pattern in node.patterns]
    return ", ".join(shown) or "nothing"


def _leaf(node: Node) -> str:
    match node:
        case Compare(operator=operator, place=place, operand=operand):
            return f"{place.text} {_COMPARES[operator]} {value_description(operand)}"
        case CompareValues(operator=operator, left=left, right=right):
            return f"{value_description(left)} {_COMPARES[operator]} {value_description(right)}"
        case OneOf(place=place):
            return f"{place.text} is one of {_choices(node)}"
        case ValueOneOf(value=value, choices=choices):
            return f"{value_description(value)} is one of {', '.join(map(shown_value, choices))}"
        case Exists(place=place):
            return f"{place.text} exists"
        case Matches(place=place, words=words, wanted=wanted, pattern=pattern):
            options = f" (options {pattern.options})" if pattern.options else ""
            return f"{place.text} {_TEXT_TESTS[words]} {shown_value(wanted)}{options}"
        case HasType(place=place, names=names):
            return f"{place.text} is of type {' or '.join(names)}"
        case HasSize(place=place, size=size):
            return f"{place.text} has {size} elements"
        case HasRemainder(place=place, divisor=divisor, remainder=remainder):
            return f"{place.text} divided by {divisor} leaves {remainder}"
        case AnyElement(place=place, part=part):
            return f"{place.text} has an element for which {description(part)}"
        case _:
            return node.text


def value_description(value: Value) -> str:
    """A value as a phrase."""
    match value:
        case Constant(value=constant):
            return (
                value.text if value.text.startswith(("date(", "oid(", "duration(")) else shown_value(constant)
            )
        case Now():
            return "now"
        case Arithmetic(operator=operator, left=left, right=right):
            return f"({value_description(left)} {_OPERATORS[operator]} {value_description(right)})"
        case Length(argument=argument):
            return f"the length of {value_description(argument)}"
        case LetterCase(case=case, argument=argument):
            return f"{value_description(argument)} in {case} case"
        case _:
            return value.text
