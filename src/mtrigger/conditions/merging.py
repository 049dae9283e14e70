"""The atoms of many conditions as one filter.

A thousand equalities on one field are one `$in`, a thousand lower bounds are the least of them. Promise: the
filter holds wherever one of the atoms does. What has no order of its own (null, booleans, documents, NaN) is
never made into a bound, and bounds of different types are never merged: a comparison stays within its type.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bson import json_util
from bson.objectid import ObjectId

from mtrigger.conditions.atoms import Alternative, Atom
from mtrigger.conditions.server_fields import Prefixes, asked_at
from mtrigger.conditions.server_values import NotTranslatable
from mtrigger.conditions.syntax import ComparisonOperator, Root, Step
from mtrigger.conditions.values import TypeClass, is_nan, order_within, type_class

Place = tuple[Root, tuple[Step, ...]]
Form = tuple[Place, str]
"""A place and the kind of test asked there. Atoms of one form merge into one test."""
Forms = frozenset[Form]

_ORDERED = (TypeClass.NUMBER, TypeClass.STRING, TypeClass.DATE, TypeClass.OBJECT_ID)
_KEYS = (*_ORDERED, TypeClass.NULL, TypeClass.BOOL, TypeClass.BINARY, TypeClass.TIMESTAMP)
_OPERATORS = {"==": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "in": "$in"}
_CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL)


def forms(alternative: Alternative) -> Forms:
    """The forms of its atoms. Alternatives with the same forms cost as much together as one of them."""
    return frozenset(_form(atom) for atom in alternative)


def bounded(alternative: Alternative) -> Iterator[Alternative]:
    """Wider alternatives: keys of one ordered type lie above their least and below their greatest, so that
    they can be merged with the bounds of other conditions."""
    if len({(atom.root, atom.path) for atom in alternative}) != 1:
        return
    keys = [value for atom in alternative for value in atom.values]
    first = alternative[0]
    kind = type_class(keys[0]) if keys else None
    if kind not in _ORDERED or any(type_class(key) != kind or _is_nan(key) for key in keys):
        return
    operators = {atom.operator for atom in alternative}
    directions: tuple[tuple[ComparisonOperator, str], ...] = ((">=", ">"), ("<=", "<"))
    for inclusive, strict in directions:
        if operators & {"==", "in"} and operators <= {"==", "in", inclusive, strict}:
            yield tuple(Atom(first.root, first.path, inclusive, (key,)) for key in keys)


def can_be_asked(alternative: Alternative, prefixes: Prefixes) -> bool:
    """Whether a filter can ask about each place that the alternative is about."""
    try:
        for atom in alternative:
            asked_at(atom.root, atom.path, {}, prefixes)
    except NotTranslatable:
        return False
    return True


def merged_filter(atoms: Iterable[Atom], prefixes: Prefixes) -> dict[str, Any]:
    """A filter that holds wherever one of `atoms` does. Raises NotTranslatable for a place that cannot be
    asked about."""
    tests: dict[Form, _Merged] = {}
    for atom in atoms:
        tests.setdefault(_form(atom), _Merged()).add(atom)
    parts = [
        asked_at(root, path, test, prefixes)
        for ((root, path), _), merged in sorted(tests.items(), key=lambda found: repr(found[0]))
        for test in merged.tests()
    ]
    return parts[0] if len(parts) == 1 else {"$or": parts}


def _form(atom: Atom) -> Form:
    place = (atom.root, atom.path)
    if atom.operator in ("==", "in"):
        is_key = all(type_class(value) in _KEYS for value in atom.values)
        return place, "keys" if is_key else "others"
    (value,) = atom.values
    kind = type_class(value)
    if kind not in _ORDERED or _is_nan(value):
        return place, "others"
    return place, f"{'above' if atom.operator[0] == '>' else 'below'} {kind.name}"


def _is_nan(value: Any) -> bool:
    return type_class(value) == TypeClass.NUMBER and is_nan(value)


@dataclass(slots=True)
class _Merged:
    """The atoms of one form."""

    keys: dict[str, Any] = field(default_factory=dict)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    bound: Atom | None = None

    def add(self, atom: Atom) -> None:
        kind = _form(atom)[1]
        if kind == "keys":
            self.keys.update((_text(value), value) for value in atom.values)
        elif kind == "others":
            value = list(atom.values) if atom.operator == "in" else atom.values[0]
            test = {_OPERATORS[atom.operator]: value}
            self.others[_text(test)] = test
        elif self.bound is None or _is_wider(atom, self.bound):
            self.bound = atom

    def tests(self) -> Iterator[dict[str, Any]]:
        if len(self.keys) == 1:
            yield {"$eq": next(iter(self.keys.values()))}
        elif self.keys:
            yield {"$in": [value for _, value in sorted(self.keys.items())]}
        if self.bound is not None:
            yield {_OPERATORS[self.bound.operator]: self.bound.values[0]}
        yield from self.others.values()


def _is_wider(one: Atom, other: Atom) -> bool:
    (value,), (bound,) = one.values, other.values
    found = order_within(type_class(value), value, bound)
    if found == 0:
        return len(one.operator) > len(other.operator)  # >= is wider than >
    return found < 0 if one.operator[0] == ">" else found > 0


def _text(value: Any) -> str:
    """Text that tells values apart. The common kinds without the slow way round."""
    if isinstance(value, str):
        return f"'{value}"
    if type(value) in (int, ObjectId):
        return str(value)
    return json_util.dumps({"": value}, json_options=_CANONICAL)
