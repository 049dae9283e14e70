"""What must be so for a condition to hold: comparisons of one place with constants.

The predicate index finds rules by them and the pushdown asks the server for them, so both rely on one
promise: whenever a condition holds, at least one atom of each of its alternatives does. What cannot be
analysed (a calculation, `now()`, a regular expression, a JSONPath search, most of what stands below a `not`)
gives no alternative, which promises nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Literal

from mtrigger.conditions.paths import values_at
from mtrigger.conditions.syntax import (
    Always,
    And,
    AnyElement,
    Became,
    Compare,
    ComparisonOperator,
    Constant,
    Each,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Root,
    Step,
)
from mtrigger.conditions.values import TypeClass, matches, type_class

MOST_WAYS = 16
"""How many alternatives one `or` gives. Its parts can be combined in far more ways than anybody needs."""

AtomOperator = Literal["in"] | ComparisonOperator


@dataclass(frozen=True, slots=True)
class Atom:
    """`place operator values`: holds if it does for one of the values that `paths.values_at` finds there.

    `root` and `path` say where: from the document as the condition sees it (the key, where the document is
    not known), the one before the change, or the facts of the event; `path` is made of names, indexes and
    `[*]`. `values` holds one constant, of `in` any number. What is equal and what is in which order is
    decided by `values.matches`: null equals missing, and a range stays within the type of its constant.

    Within `$elemMatch` (and nowhere else) `root` is "element" until the atom is seen from the outside.
    """

    root: Root
    path: tuple[Step, ...]
    operator: AtomOperator
    values: tuple[Any, ...]


Alternative = tuple[Atom, ...]
"""Atoms of which one must hold. Without atoms none can: the condition never holds."""


def alternatives(tree: Node) -> tuple[Alternative, ...]:
    """What the condition implies, the narrowest first: whenever it holds, one atom of each of them does."""
    return tuple(sorted(_implied(tree), key=breadth))


def breadth(alternative: Alternative) -> tuple[int, int]:
    """A guess at how much of the world satisfies an alternative, to sort by: equality before membership
    before ranges, and of these the fewer values. Many documents lack a field, so null counts as a range."""
    return (
        max(map(_atom_breadth, alternative), default=-1),
        sum(len(atom.values) for atom in alternative),
    )


def holds_in(atom: Atom, document: Mapping[str, Any]) -> bool:
    """Whether the atom holds in `document`, which is what its root stands for."""
    operator = "==" if atom.operator == "in" else atom.operator
    found = tuple(values_at(document, atom.path))
    return any(matches(operator, value, constant) for value in found for constant in atom.values)


def is_sufficient(tree: Node) -> bool:
    """Whether the condition is nothing but its one alternative: it holds whenever one of the atoms does."""
    match tree:
        case Or(parts=parts):
            return all(isinstance(part, Compare | OneOf) and len(_implied(part)) == 1 for part in parts)
        case Compare() | OneOf():
            return len(_implied(tree)) == 1
        case _:
            return False


def _atom_breadth(atom: Atom) -> int:
    if atom.operator not in ("==", "in") or any(type_class(value) == TypeClass.NULL for value in atom.values):
        return 2
    return 0 if len(atom.values) <= 1 else 1


def _implied(node: Node) -> tuple[Alternative, ...]:
    match node:
        case Always(held=False):
            return ((),)
        case And(parts=parts):
            return _all_of(map(_implied, parts))
        case Or(parts=parts):
            return _one_of(map(_implied, parts))
        case Not(part=part):
            return _denied(part)
        case Became(part=part):
            return _implied(part)  # it holds now, whatever was before
        case AnyElement(place=place, part=part):
            return tuple(tuple(_from_outside(place, atom) for atom in found) for found in _implied(part))
        case Compare(operator=operator, place=Path() as place, operand=Constant(value=value)):
            return _atom(place, operator, (value,))
        case OneOf(place=Path() as place, choices=choices, patterns=()):
            return _atom(place, "in", choices) if choices else ((),)
        case _:
            return ()


def _denied(node: Node) -> tuple[Alternative, ...]:
    """What follows when `node` does not hold. Of a comparison nothing does that is worth asking for."""
    match node:
        case Always(held=True):
            return ((),)
        case And(parts=parts):
            return _one_of(map(_denied, parts))
        case Or(parts=parts):
            return _all_of(map(_denied, parts))
        case Not(part=part):
            return _implied(part)
        case _:
            return ()


def _all_of(parts: Iterable[tuple[Alternative, ...]]) -> tuple[Alternative, ...]:
    """Each part holds, so everything that one of them implies does."""
    return tuple(found for part in parts for found in part)


def _one_of(parts: Iterable[tuple[Alternative, ...]]) -> tuple[Alternative, ...]:
    """One part holds, nobody knows which: one alternative of each part, joined. A part that implies nothing
    leaves nothing to join; no part at all can never hold."""
    ways = islice(product(*(sorted(part, key=breadth) for part in parts)), MOST_WAYS)
    return tuple(tuple(atom for alternative in way for atom in alternative) for way in ways)


def _from_outside(array: Path, atom: Atom) -> Atom:
    """An atom about an element, as one about each element of `array`."""
    return Atom(array.root, (*array.steps, Each.ELEMENT, *atom.path), atom.operator, atom.values)


def _atom(place: Path, operator: AtomOperator, values: tuple[Any, ...]) -> tuple[Alternative, ...]:
    if not place.steps and place.root != "element":
        return ()  # a whole document is no place
    return ((Atom(place.root, place.steps, operator, values),),)
