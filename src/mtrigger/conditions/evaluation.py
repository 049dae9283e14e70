"""Whether a condition holds for an event: the exact way, for every type BSON has.

Each node becomes a function of a `Scope`. These functions are what generated code falls back to when a value
is not of the plain types it handles itself, and what a trace is made with.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from bson.decimal128 import Decimal128

from mtrigger.conditions.changes import has_changed
from mtrigger.conditions.choices import MOST_CHOICES, Choices, found_at, value, whole_at
from mtrigger.conditions.paths import is_document
from mtrigger.conditions.regexes import Pattern, compiled
from mtrigger.conditions.scope import Scope
from mtrigger.conditions.syntax import (
    Always,
    And,
    AnyElement,
    Became,
    Changed,
    Compare,
    CompareValues,
    Exists,
    HasRemainder,
    HasSize,
    HasType,
    JsonPath,
    Matches,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    ValueOneOf,
)
from mtrigger.conditions.values import (
    MISSING,
    TypeClass,
    compares,
    is_nan,
    matches,
    regex_key,
    type_class,
    type_name,
)
from mtrigger.conditions.walking import walk

Test = Callable[[Scope], bool]


def predicate(node: Node) -> Test:
    """The function that tells whether `node` holds."""
    match node:
        case Always(held=held):
            return lambda _: held
        case And(parts=parts):
            return partial(_all_hold, tuple(map(predicate, parts)))
        case Or(parts=parts):
            return partial(_one_holds, tuple(map(predicate, parts)))
        case Not(part=part):
            return partial(_does_not_hold, predicate(part))
        case Compare(operator=operator, place=place, operand=operand):
            return partial(_compares, operator, found_at(place), value(operand))
        case Exists(place=Path(root="before", steps=())):
            return lambda scope: scope.event.before is not None
        case CompareValues(operator=operator, left=left, right=right):
            return partial(_values_compare, operator, value(left), value(right))
        case ValueOneOf(value=operand, choices=choices):
            return partial(_value_is_one_of, value(operand), choices)
        case Changed(place=place):
            return partial(_has_changed, place.names)
        case Became(part=part):
            return partial(_became, predicate(part), paths_read(part))
        case HasSize(place=place) | AnyElement(place=place):
            return partial(_any_found, partial(whole_at, place), value_test(node))
        case _:
            return partial(_any_found, found_at(node.place), value_test(node))


def value_test(node: Node) -> Callable[..., bool]:
    """For a node about one place: whether a single value found there satisfies it (called with value and
    scope)."""
    match node:
        case OneOf(choices=choices, patterns=patterns):
            return partial(_is_one_of, choices, patterns)
        case Exists():
            return lambda value, _: value is not MISSING
        case Matches(pattern=pattern):
            return partial(_is_one_of, (), (pattern,))
        case HasType(names=names):
            return partial(_has_type, names)
        case HasSize(size=size):
            return lambda value, _: isinstance(value, list | tuple) and len(value) == size
        case HasRemainder(divisor=divisor, remainder=remainder):
            return partial(_has_remainder, divisor, remainder)
        case AnyElement(part=part, only_documents=True):
            return partial(_any_document, predicate(part))
        case AnyElement(part=part):
            return partial(_any_element, predicate(part))
        case _:
            raise TypeError(f"{type(node).__name__} is not about one place")


def _all_hold(parts: tuple[Test, ...], scope: Scope) -> bool:
    return all(part(scope) for part in parts)


def _one_holds(parts: tuple[Test, ...], scope: Scope) -> bool:
    return any(part(scope) for part in parts)


def _does_not_hold(part: Test, scope: Scope) -> bool:
    return not part(scope)


def _any_found(found: Callable[[Scope], Iterable[Any]], holds: Callable[..., bool], scope: Scope) -> bool:
    return any(holds(value, scope) for value in found(scope))


def _compares(operator: str, found: Callable[[Scope], Iterable[Any]], operand: Choices, scope: Scope) -> bool:
    return any(matches(operator, value, literal) for literal in operand(scope) for value in found(scope))


def _is_one_of(choices: tuple[Any, ...], patterns: tuple[Pattern, ...], value: Any, _: Scope) -> bool:
    if any(matches("==", value, choice) for choice in choices):
        return True
    return any(is_found(pattern, value) for pattern in patterns)


def is_found(pattern: Pattern, value: Any) -> bool:
    """Whether `$regex` matches the value: the pattern is found in a string, or is the regular expression
    itself."""
    match type_class(value):
        case TypeClass.STRING:
            return compiled(pattern.re2)(value)
        case TypeClass.REGEX:
            return regex_key(value) == (pattern.source, pattern.options)
        case _:
            return False


def _has_type(names: tuple[str, ...], value: Any, _: Scope) -> bool:
    return type_name(value) in names or ("number" in names and type_class(value) == TypeClass.NUMBER)


def _has_remainder(divisor: int, remainder: int, value: Any, _: Scope) -> bool:
    if type_class(value) != TypeClass.NUMBER:
        return False
    number: Any = value.to_decimal() if isinstance(value, Decimal128) else value
    if isinstance(number, float | Decimal):
        if is_nan(number) or not -(2.0**63) <= number < 2.0**63:
            return False
        number = int(number)  # the whole part
    found = abs(number) % abs(divisor)
    return bool((-found if number < 0 else found) == remainder)


def _any_element(part: Test, value: Any, scope: Scope) -> bool:
    elements = value if isinstance(value, list | tuple) else ()
    return any(part(Scope(scope.event, scope.now, scope.document, element)) for element in elements)


def _any_document(part: Test, value: Any, scope: Scope) -> bool:
    elements = value if isinstance(value, list | tuple) else ()
    documents = [element for element in elements if is_document(element) or isinstance(element, list | tuple)]
    return _any_element(part, documents, scope)


def _values_compare(operator: str, left: Choices, right: Choices, scope: Scope) -> bool:
    lefts, rights = left(scope), right(scope)
    if len(lefts) * len(rights) > MOST_CHOICES:
        return False
    return any(compares(operator, one, other) for one in lefts for other in rights)


def _value_is_one_of(found: Choices, choices: tuple[Any, ...], scope: Scope) -> bool:
    return any(compares("==", value, choice) for value in found(scope) for choice in choices)


def _has_changed(names: tuple[str, ...], scope: Scope) -> bool:
    return has_changed(scope.event, names)


def paths_read(node: Node) -> tuple[tuple[str, ...], ...]:
    """The paths in the document that a condition looks at; a JSONPath search looks at all of it."""
    return tuple(
        found.names if isinstance(found, Path) else ()
        for found in walk(node)
        if isinstance(found, JsonPath) or (isinstance(found, Path) and found.root == "document")
    )


def _became(part: Test, read: tuple[tuple[str, ...], ...], scope: Scope) -> bool:
    event = scope.event
    if event.operation == "delete" or not part(scope):
        return False
    if event.operation == "insert":
        return True
    if event.before is None:
        return any(has_changed(event, names) for names in read)
    return not part(Scope(event, scope.now, event.before))
