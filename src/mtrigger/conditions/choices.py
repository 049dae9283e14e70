"""The values that places and calculations stand for: the Python side of `server_values`.

Each place and each value of the tree becomes a function of a `Scope` that gives every value it stands for.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from mtrigger.conditions.arithmetic import NO_VALUE, calculate
from mtrigger.conditions.paths import values_at, whole_values_at
from mtrigger.conditions.scope import Scope
from mtrigger.conditions.syntax import Arithmetic, Constant, JsonPath, LetterCase, Now, Path, Place, Value
from mtrigger.conditions.values import (
    MISSING,
    TypeClass,
    type_class,
)
from mtrigger.events import ChangeEvent

Choices = Callable[[Scope], list[Any]]

MOST_CHOICES = 20_000
"""How many pairs of values a comparison or an operation looks at. Beyond it the comparison does not hold and
the operation has no value: two long arrays in one document must not keep the engine busy for minutes."""


def found_at(place: Place) -> Callable[[Scope], Iterable[Any]]:
    """The values at a place, MISSING among them."""
    return partial(_at, place) if isinstance(place, Path) else partial(_searched, place)


def _at(path: Path, scope: Scope) -> Iterator[Any]:
    return values_at(scope.root(path), path.steps)


def whole_at(path: Path, scope: Scope) -> Iterator[Any]:
    """The values at a path; an array at its end stands for itself alone."""
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
            return partial(_lengths, partial(whole_at, node.argument))
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


def constant_value(node: Value, now: datetime) -> list[Any]:
    """What a value without paths comes to: one value, or none."""
    return value(node)(Scope(_NO_EVENT, now, {}))


_NO_EVENT = ChangeEvent.from_change({"_id": {"_data": ""}, "operationType": ""})
