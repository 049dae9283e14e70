"""Which part of a condition held for an event, and what was seen there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from mtrigger.conditions.evaluation import predicate
from mtrigger.conditions.scope import Scope
from mtrigger.conditions.syntax import And, AnyElement, Became, Changed, JsonPath, Node, Not, Or, Path, Value
from mtrigger.conditions.values import MISSING
from mtrigger.conditions.walking import children

MOST_SHOWN = 80
"""Characters of one value: documents may be large."""
_MOST_VALUES = 5


@dataclass(frozen=True, slots=True)
class Trace:
    """One part of a condition: its text, whether it held, what was seen ("amount is 9000"), and its own
    parts."""

    text: str
    held: bool
    observed: str
    parts: tuple["Trace", ...]


def traced(node: Node, scope: Scope) -> Trace:
    """Evaluate every part, without stopping at the first that decides."""
    parts: tuple[Trace, ...] = ()
    match node:
        case And(parts=inner) | Or(parts=inner):
            parts = tuple(traced(part, scope) for part in inner)
        case Not(part=part):
            parts = (traced(part, scope),)
        case Became(part=part):
            parts = (traced(part, scope),)
    observed = "" if isinstance(node, And | Or | Not) else observation(node, scope)
    return Trace(node.text, predicate(node)(scope), observed, parts)


def observation(node: Node, scope: Scope) -> str:
    """What stands at the places that a part looks at."""
    if isinstance(node, Changed):
        touched = ", ".join(scope.event.touched)
        return (
            f"the update changed {_cut(touched) or 'nothing'}"
            if touched or scope.event.operation == "update"
            else (f"the operation is {scope.event.operation}")
        )
    if isinstance(node, Became):
        if scope.event.operation in ("insert", "delete"):
            return f"the operation is {scope.event.operation}"
        if scope.event.before is None:
            return "there is no pre-image"
        before = Scope(scope.event, scope.now, scope.event.before)
        return "before the change, " + "; ".join(dict.fromkeys(_seen(node.part, before)))
    return "; ".join(dict.fromkeys(_seen(node, scope)))


def _seen(node: Node | Value, scope: Scope) -> Iterator[str]:
    match node:
        case Path(root="before", steps=()):
            yield "there is no pre-image" if scope.event.before is None else "there is a pre-image"
        case Path(root="element"):
            pass
        case Path() | JsonPath():
            yield f"{node.text} is {_described(list(_whole(node, scope)))}"
        case AnyElement(place=place):
            yield from _seen(place, scope)
        case _:
            for child in children(node):
                yield from _seen(child, scope)


def _whole(place: Path | JsonPath, scope: Scope) -> Iterator[Any]:
    from mtrigger.conditions.paths import whole_values_at

    if isinstance(place, Path):
        yield from whole_values_at(scope.root(place), place.steps)
    else:
        yield from place.search.found_in(scope.document)


def _described(found: list[Any]) -> str:
    if not found:
        return "nothing"
    shown = ", ".join(shown_value(one) for one in found[:_MOST_VALUES])
    return shown + (f" and {len(found) - _MOST_VALUES} more" if len(found) > _MOST_VALUES else "")


def shown_value(found: Any) -> str:
    """A value for people, cut when it is long."""
    if found is MISSING:
        return "missing"
    if found is None or isinstance(found, bool):
        return {None: "null", True: "true", False: "false"}[found]
    if isinstance(found, datetime):
        return found.isoformat()
    if isinstance(found, Decimal128 | ObjectId | DatetimeMS):
        return str(found)
    return _cut(repr(found))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
