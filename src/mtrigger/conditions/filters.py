"""Conditions as MongoDB filters.

`exact_filter` means the same as the condition, over documents; what has no translation is refused.
`pushed_filter` is for a change stream: it may let through more than the condition, never less. A part that
stays in Python becomes "true" there, and "false" under a `not`, so that the whole can only become wider.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mtrigger.conditions.choices import constant_value
from mtrigger.conditions.regexes import Pattern
from mtrigger.conditions.server_fields import Prefixes, asked_at, checked_name
from mtrigger.conditions.server_values import NotTranslatable, comparison, membership
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
    Matches,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Place,
    ValueOneOf,
)
from mtrigger.conditions.walking import walk

Filter = dict[str, Any]
ALWAYS: Filter = {}
NEVER: Filter = {"$alwaysFalse": 1}
MOST_EXPRESSION_DEPTH = 90
"""Levels of one `$expr`. The server takes 200 in all, and a condition of 50 levels can take 100 of them."""
_OPERATORS = {"==": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """What of a condition goes to the server. `exact`: the filter means the same as the condition. `kept` is
    the source text of the parts that stay in Python."""

    filter: Filter
    exact: bool
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Target:
    """Where documents lie in what the filter is asked about: under `prefixes`; `root` is the document for
    `$expr`. `now` is None for a stream, which lives longer than any moment."""

    prefixes: Prefixes
    root: str
    now: datetime | None


def exact_filter(tree: Node, now: datetime) -> Filter:
    """The filter that means the same. Raises NotTranslatable."""
    target = _Target({"document": ""}, "$$ROOT", now)
    return _exact(tree, target)


def _exact(node: Node, target: _Target) -> Filter:
    match node:
        case And(parts=parts):
            return _all([_exact(part, target) for part in parts])
        case Or(parts=parts):
            return _any([_exact(part, target) for part in parts])
        case Not(part=part):
            return _not(_exact(part, target))
        case _:
            return _leaf(node, target)


def pushed_filter(tree: Node, prefix: str) -> Pushed:
    """The widest-needed filter over change events whose document lies under `prefix`."""
    prefixes: Prefixes = {"document": prefix, "before": "fullDocumentBeforeChange", "event": ""}
    kept: dict[str, None] = {}
    found = _widened(tree, _Target(prefixes, f"${prefix}", None), kept)
    return Pushed(found, not kept, tuple(kept))


def _widened(node: Node, target: _Target, kept: dict[str, None]) -> Filter:
    """A filter that holds whenever `node` does."""
    match node:
        case And(parts=parts):
            return _all([_widened(part, target, kept) for part in parts])
        case Or(parts=parts):
            return _any([_widened(part, target, kept) for part in parts])
        case Not(part=part):
            return _not(_narrowed(part, target, kept))
        case Became(part=part):
            kept[node.text] = None
            return _all([{"operationType": {"$ne": "delete"}}, _widened(part, target, kept)])
        case Changed():
            kept[node.text] = None
            return {"operationType": {"$in": ["insert", "update", "replace"]}}
        case _:
            return _pushed_leaf(node, target, kept, ALWAYS)


def _narrowed(node: Node, target: _Target, kept: dict[str, None]) -> Filter:
    """A filter that holds only if `node` does."""
    match node:
        case And(parts=parts):
            return _all([_narrowed(part, target, kept) for part in parts])
        case Or(parts=parts):
            return _any([_narrowed(part, target, kept) for part in parts])
        case Not(part=part):
            return _not(_widened(part, target, kept))
        case _:
            return _pushed_leaf(node, target, kept, NEVER)


def _pushed_leaf(node: Node, target: _Target, kept: dict[str, None], instead: Filter) -> Filter:
    try:
        if isinstance(node, Changed | Became):
            raise NotTranslatable(f"`{node.text}` asks about the change")
        _check_risk(node)
        return _leaf(node, target)
    except NotTranslatable:
        kept[node.text] = None
        return instead


def _check_risk(node: Node) -> None:
    """Raises NotTranslatable for what the server can do, but could fail at or be kept busy by."""
    for found in walk(node):
        if isinstance(found, Arithmetic):
            raise NotTranslatable("arithmetic stays in Python")
        patterns: tuple[Pattern, ...] = (found.pattern,) if isinstance(found, Matches) else ()
        if isinstance(found, OneOf):
            patterns = found.patterns
        if not all(pattern.is_safe_on_server for pattern in patterns):
            raise NotTranslatable("the regular expression could keep the server busy")


def _all(parts: list[Filter]) -> Filter:
    if NEVER in parts:
        return NEVER
    real = [part for part in parts if part != ALWAYS]
    if len(real) <= 1:
        return real[0] if real else ALWAYS
    return {"$and": real}


def _any(parts: list[Filter]) -> Filter:
    if ALWAYS in parts:
        return ALWAYS
    real = [part for part in parts if part != NEVER]
    if len(real) <= 1:
        return real[0] if real else NEVER
    return {"$or": real}


def _not(part: Filter) -> Filter:
    if part == ALWAYS:
        return NEVER
    return ALWAYS if part == NEVER else {"$nor": [part]}


def _leaf(node: Node, target: _Target) -> Filter:
    match node:
        case Always(held=held):
            return ALWAYS if held else NEVER
        case Compare(operator=operator, place=place, operand=operand):
            if not isinstance(operand, Constant) and target.now is None:
                raise NotTranslatable("now() is not known to a stream")
            literals = (
                [operand.value] if isinstance(operand, Constant) else constant_value(operand, _moment(target))
            )
            if not literals:
                return NEVER
            return _at(place, {_OPERATORS[operator]: literals[0]}, target)
        case CompareValues(operator=operator, left=left, right=right):
            _check_value_paths(node, target)
            return _expression(node, comparison(operator, left, right, target.root, target.now))
        case ValueOneOf(value=value, choices=choices):
            _check_value_paths(node, target)
            return _expression(node, membership(value, choices, target.root, target.now))
        case Changed() | Became() | And() | Or() | Not():
            raise NotTranslatable(f"`{node.text}` asks about the change, not about a document")
        case _:
            return _at(node.place, _test(node), target)


def _expression(node: Node, expression: Any) -> Filter:
    if _depth(expression) > MOST_EXPRESSION_DEPTH:
        raise NotTranslatable(f"`{node.text}` would be nested too deep for the server")
    return {"$expr": expression}


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0


def _moment(target: _Target) -> datetime:
    assert target.now is not None
    return target.now


def _test(
    node: OneOf | Exists | Matches | HasType | HasSize | HasRemainder | AnyElement,
) -> Filter:
    """The operators asked of the place."""
    match node:
        case OneOf(choices=choices, patterns=patterns):
            from bson.regex import Regex

            return {"$in": [*choices, *(Regex(pattern.source, pattern.options) for pattern in patterns)]}
        case Exists():
            return {"$exists": True}
        case Matches(pattern=pattern):
            options = {"$options": pattern.options} if pattern.options else {}
            return {"$regex": pattern.source, **options}
        case HasType(names=names):
            return {"$type": list(names)}
        case HasSize(size=size):
            return {"$size": size}
        case HasRemainder(divisor=divisor, remainder=remainder):
            return {"$mod": [divisor, remainder]}
        case AnyElement(filter=found):
            return {"$elemMatch": found}


def _at(place: Place, test: Filter, target: _Target) -> Filter:
    if isinstance(place, JsonPath):
        raise NotTranslatable(f"the JSONPath {place.text} has no translation to a MongoDB filter")
    return asked_at(place.root, place.steps, test, target.prefixes)


def _check_value_paths(node: Node, target: _Target) -> None:
    """Raises NotTranslatable if a path cannot be followed in `$expr`, where there is one root."""
    for found in walk(node):
        if isinstance(found, Path):
            if found.root == "event" or target.prefixes.get(found.root) != target.prefixes["document"]:
                raise NotTranslatable(f"{found.text} is not part of the document")
            for name in found.names:
                checked_name(name)
