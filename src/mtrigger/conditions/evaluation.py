"""Whether a condition holds for an event: the exact way, for every type BSON has.

Each node becomes a function of a `Scope`. These functions are what generated code falls back to when a value is not
of the plain types it handles itself, and what a trace is made with.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from bson.decimal128 import Decimal128

from mtrigger.conditions.arithmetic import NO_VALUE, calculate
from mtrigger.conditions.changes import has_changed
from mtrigger.conditions.paths import is_document, values_at, whole_values_at
from mtrigger.conditions.regexes import Pattern, compiled
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
    JsonPath,
    LetterCase,
    Matches,
    Node,
    Not,
    Now,
    OneOf,
    Or,
    Path,
    Place,
    Value,
    ValueOneOf,
    walk,
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
from mtrigger.events import ChangeEvent

MOST_CHOICES = 20_000
"""How many pairs of values a comparison or an operation looks at. Beyond it the comparison does not hold and the operation has
no value: two long arrays in one document must not keep the engine busy for minutes."""

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a condition is asked about. `element` is the array element inside `$elemMatch`."""

    event: ChangeEvent
    now: datetime
    document: Mapping[str, Any]
    element: Any = None

    def root(self, path: Path) -> Any:
        """The document that the path begins in."""
        match path.root:
            case "document":
                return self.document
            case "before":
                return self.event.before or _NOTHING
            case "element":
                return self.element
            case "event":
                return event_facts(self.event)


def scope(event: ChangeEvent, now: datetime) -> Scope:
    """The scope of a whole condition: the document after the change, or what is known of it."""
    return Scope(event, now, event.key if event.document is None else event.document)


def event_facts(event: ChangeEvent) -> dict[str, Any]:
    """What `event.…` leads to."""
    return {
        "operation": event.operation,
        "database": event.database,
        "collection": event.collection,
        "key": event.key,
        "time": event.time,
        "id": event.token,
    }


Test = Callable[[Scope], bool]
Choices = Callable[[Scope], list[Any]]


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
            return partial(_any_found, partial(_whole_at, place), value_test(node))
        case _:
            return partial(_any_found, found_at(node.place), value_test(node))


def value_test(node: Node) -> Callable[..., bool]:
    """For a node about one place: whether a single value found there satisfies it (called with value and scope)."""
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
    """Whether `$regex` matches the value: the pattern is found in a string, or is the regular expression itself."""
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


def found_at(place: Place) -> Callable[[Scope], Iterable[Any]]:
    """The values at a place, MISSING among them."""
    return partial(_at, place) if isinstance(place, Path) else partial(_searched, place)


def _at(path: Path, scope: Scope) -> Iterator[Any]:
    return values_at(scope.root(path), path.steps)


def _whole_at(path: Path, scope: Scope) -> Iterator[Any]:
    return whole_values_at(scope.root(path), path.steps)


def _searched(place: JsonPath, scope: Scope) -> Iterator[Any]:
    for found in place.search.found_in(scope.document):
        if isinstance(found, list | tuple):
            yield from found
        yield found


def value(node: Value) -> Choices:
    """The function that gives each value `node` stands for; one that means nothing gives none."""
    match node:
        case Constant(value=constant):
            return lambda _: [constant]
        case Now():
            return lambda scope: [scope.now]
        case Path() | JsonPath():
            return partial(_nullable, found_at(node))
        case Arithmetic(operator=operator, left=left, right=right):
            return partial(_calculated, operator, value(left), value(right))
        case LetterCase(case=case, argument=argument):
            return partial(_in_case, case, value(argument))
        case _ if isinstance(node.argument, Path):
            return partial(_lengths, partial(_whole_at, node.argument))
        case _ if isinstance(node.argument, JsonPath):
            return partial(_lengths, partial(_found, node.argument))
        case _:
            return partial(_lengths, value(node.argument))


def _found(place: JsonPath, scope: Scope) -> list[Any]:
    return place.search.found_in(scope.document)


def _nullable(found: Callable[[Scope], Iterable[Any]], scope: Scope) -> list[Any]:
    return [None if value is MISSING else value for value in found(scope)]


def _calculated(operator: str, left: Choices, right: Choices, scope: Scope) -> list[Any]:
    lefts, rights = left(scope), right(scope)
    if len(lefts) * len(rights) > MOST_CHOICES:
        return []
    results = [calculate(operator, one, other) for one in lefts for other in rights]
    return [result for result in results if result is not NO_VALUE]


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def _in_case(case: str, argument: Choices, scope: Scope) -> list[Any]:
    table = _LOWER if case == "lower" else _UPPER
    strings = (found for found in argument(scope) if type_class(found) == TypeClass.STRING)
    return [found.translate(table) for found in strings]


def _lengths(argument: Callable[[Scope], Iterable[Any]], scope: Scope) -> list[Any]:
    counted = (TypeClass.STRING, TypeClass.ARRAY)
    return [len(found) for found in argument(scope) if type_class(found) in counted]


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


def constant_value(node: Value, now: datetime) -> list[Any]:
    """What a value without paths comes to: one value, or none."""
    return value(node)(Scope(_NO_EVENT, now, _NOTHING))


_NO_EVENT = ChangeEvent.from_change({"_id": {"_data": ""}, "operationType": ""})
