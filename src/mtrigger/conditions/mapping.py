"""MongoDB filters written as mappings: `when: {amount: {$gt: 10000}}`.

A mapping becomes the same tree as an expression, so it means the same in Python and on the server. Operators
that cannot be evaluated exactly in Python are refused with a sentence.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from bson.regex import Regex

from mtrigger.conditions.about import About, steps_of
from mtrigger.conditions.mapping_operators import OPERATORS, equal, read_pattern, regex
from mtrigger.conditions.mapping_values import (
    WRAPPERS,
    MappingError,
    is_too_deep,
    is_wrapped,
    normalised,
    text_of,
)
from mtrigger.conditions.misuse import MisuseError
from mtrigger.conditions.parsing import MOST_CHARACTERS, MOST_NESTING, check_size
from mtrigger.conditions.syntax import And, AnyElement, Node, Not, Or, Path, Root
from mtrigger.errors import ConditionError

MOST_STEPS = 100
_LOGICAL = ("$and", "$or", "$nor")
_ALL_OPERATORS = (*OPERATORS, "$not", "$regex", "$options", "$all", "$elemMatch")
_REFUSED = {
    "$where": "it runs JavaScript",
    "$expr": "write the comparison as an expression instead, such as when: total > limit",
    "$text": "it needs a text index",
    "$jsonSchema": "only the server can evaluate it",
    "$comment": "a comment is written in YAML",
}
_REFUSED_PREFIXES = ("$geo", "$near", "$bits")


def mapping_text(mapping: Mapping[str, Any]) -> str:
    """The filter as compact Extended JSON. Raises ConditionError."""
    if is_too_deep(mapping):
        raise ConditionError(f"a condition is nested at most {MOST_NESTING} deep")
    try:
        return text_of(mapping)
    except MappingError as mistake:
        raise ConditionError(str(mistake)) from mistake


def mapping_tree(mapping: Mapping[str, Any], about: About) -> Node:
    """The tree of a filter, whose keys are `about` something. Raises ConditionError naming the key."""
    text = mapping_text(mapping)
    if len(text) > MOST_CHARACTERS:
        raise ConditionError(
            f"a condition has at most {MOST_CHARACTERS:,} characters, this has {len(text):,}"
        )
    try:
        tree = _filter(mapping, _Root("document", about), 0)
        check_size(tree)
    except MappingError as mistake:
        raise ConditionError(str(mistake)) from mistake
    except MisuseError as misuse:
        raise ConditionError(misuse.message) from misuse
    return tree


class _Root(NamedTuple):
    """What the keys of a filter begin in."""

    name: Root
    about: About


def _filter(mapping: Any, root: _Root, depth: int) -> Node:
    if not isinstance(mapping, Mapping):
        raise MappingError(
            f"a filter is a mapping such as {{amount: {{$gt: 10000}}}}, not {text_of(mapping)[:60]}"
        )
    if depth > MOST_NESTING:
        raise MappingError(f"a condition is nested at most {MOST_NESTING} deep")
    parts = [_entry(key, value, root, depth) for key, value in mapping.items()]
    return parts[0] if len(parts) == 1 else And(text_of(mapping), tuple(parts))


def _entry(key: Any, value: Any, root: _Root, depth: int) -> Node:
    text = text_of({key: value})
    if key in _LOGICAL:
        return _logical(key, value, root, depth, text)
    if not isinstance(key, str):
        raise MappingError(f"the key {key!r} is no string")
    if key.startswith("$"):
        raise _unknown(key, "", _LOGICAL)
    steps = tuple(key.split("."))
    if (
        len(steps) > MOST_STEPS
        or "\0" in key
        or not all(steps)
        or any(step.startswith("$") for step in steps)
    ):
        raise MappingError(f"`{key}` is not a path")
    if root.name == "document":
        try:
            steps = steps_of(steps, root.about)
        except ValueError as mistake:
            raise MappingError(f"`{key}`: {mistake}") from mistake
    place = Path(key, root.name, steps)
    if is_operators(value):
        return _operators(place, value, depth, key)
    if isinstance(plain := normalised(value, key), Regex):
        return regex(text, place, read_pattern(plain, "", key))
    return equal(text, place, value, key)


def _logical(key: str, value: Any, root: _Root, depth: int, text: str) -> Node:
    if not isinstance(value, list | tuple) or not value:
        raise MappingError(f"`{key}` needs a list of filters")
    parts = tuple(_filter(part, root, depth + 1) for part in value)
    if key == "$and":
        return And(text, parts)
    return Or(text, parts) if key == "$or" else Not(text, Or(text, parts))


def is_operators(value: Any) -> bool:
    """Whether a mapping is made of operators (and is not a value)."""
    if not isinstance(value, Mapping) or is_wrapped(value):
        return False
    return any(isinstance(key, str) and key.startswith("$") for key in value)


def _operators(place: Path, mapping: Mapping[str, Any], depth: int, key: str) -> Node:
    if depth > MOST_NESTING:
        raise MappingError(f"a condition is nested at most {MOST_NESTING} deep")
    if "$options" in mapping and "$regex" not in mapping:
        raise MappingError(f"`{key}`: `$options` goes with `$regex`")
    names = [name for name in mapping if name != "$options"]
    parts = tuple(_operator(place, name, mapping, depth, key) for name in names)
    whole = text_of(mapping if place.root == "element" and not place.steps else {place.text: mapping})
    return parts[0] if len(parts) == 1 else And(whole, parts)


def _operator(place: Path, name: str, mapping: Mapping[str, Any], depth: int, key: str) -> Node:
    operand, where = mapping[name], f"{key}.{name}" if key else name
    part = {name: operand}
    if name == "$regex" and "$options" in mapping:
        part["$options"] = mapping["$options"]
    text = text_of({place.text: part} if place.text else part)
    match name:
        case "$not":
            return Not(text, _negated(place, operand, depth, where))
        case "$regex":
            return regex(
                text, place, read_pattern(normalised(operand, where), mapping.get("$options", ""), where)
            )
        case "$all":
            return _all(text, place, operand, depth, where)
        case "$elemMatch":
            return _any_element(text, place, operand, depth, where)
        case _ if name in OPERATORS:
            return OPERATORS[name](text, place, operand, where)
        case _ if not name.startswith("$"):
            raise MappingError(f"`{key}`: operators and fields are mixed: `{name}` is no operator")
        case _:
            raise _unknown(name, key, _ALL_OPERATORS)


def _negated(place: Path, operand: Any, depth: int, where: str) -> Node:
    if is_operators(operand):
        return _operators(place, operand, depth + 1, where)
    value = normalised(operand, where)
    if isinstance(value, Regex):
        return regex(text_of({"$regex": value.pattern}), place, read_pattern(value, "", where))
    raise MappingError(f"`{where}` needs operators such as {{$gt: 5}}, or a regular expression")


def _all(text: str, place: Path, operand: Any, depth: int, where: str) -> Node:
    if not isinstance(operand, list | tuple):
        raise MappingError(f"`{where}` needs a list")
    nested = [is_operators(item) for item in operand]
    if any(nested) and not (all(nested) and all(set(item) == {"$elemMatch"} for item in operand)):
        raise MappingError(f"`{where}` needs a list of values, or of `$elemMatch` alone")
    parts: list[Node] = []
    for item in operand:
        part_text = text_of({place.text: item})
        if is_operators(item):
            parts.append(_any_element(part_text, place, item["$elemMatch"], depth + 1, where))
            continue
        value = normalised(item, where)
        is_regex = isinstance(value, Regex)
        found = regex(part_text, place, read_pattern(value, "", where)) if is_regex else None
        parts.append(found or equal(part_text, place, item, where))
    return And(text, tuple(parts)) if parts else Or(text, ())


def _any_element(text: str, place: Path, operand: Any, depth: int, where: str) -> Node:
    if not isinstance(operand, Mapping) or is_wrapped(operand):
        raise MappingError(f"`{where}` needs a filter or operators")
    about_value = is_operators(operand) and next(iter(operand)) not in _LOGICAL
    if about_value:
        part = _operators(Path("", "element", ()), operand, depth + 1, where)
    else:
        part = _filter(operand, _Root("element", "document"), depth + 1)
    return AnyElement(text, place, part, only_documents=not about_value, filter=_server_form(operand, where))


def _server_form(value: Any, where: str) -> Any:
    """The same with BSON values, as the server takes it; it has been read before, so it is well formed."""
    if isinstance(value, Mapping) and not is_wrapped(value):
        return {key: _server_form(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_server_form(item, where) for item in value]
    return normalised(value, where)


def _unknown(name: str, key: str, known: tuple[str, ...]) -> MappingError:
    prefix = f"`{key}`: " if key else ""
    if name in _REFUSED:
        return MappingError(f"{prefix}`{name}` is not supported: {_REFUSED[name]}")
    if name.startswith(_REFUSED_PREFIXES):
        return MappingError(f"{prefix}`{name}` is not supported: only the server can evaluate it")
    if name in _ALL_OPERATORS or name in WRAPPERS:
        return MappingError(f"{prefix}`{name}` belongs below a field, such as amount: {{{name}: …}}")
    if name in _LOGICAL:
        return MappingError(f"{prefix}`{name}` cannot stand below a field")
    close = get_close_matches(name, known, 1)
    return MappingError(
        f"{prefix}there is no operator `{name}`" + (f"; did you mean `{close[0]}`?" if close else "")
    )
