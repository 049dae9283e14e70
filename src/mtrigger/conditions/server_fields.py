"""Where a place of a condition lies in what a MongoDB filter is asked about: the document itself, or a change
event that carries it."""

from collections.abc import Mapping
from typing import Any

from mtrigger.conditions.server_values import NotTranslatable
from mtrigger.conditions.syntax import Each, Root, Step

Prefixes = Mapping[Root, str]
"""Root -> the field path that its documents lie under, "" for the top. A root that is not there cannot be
asked about."""

_EVENT_FIELDS = {
    "operation": "operationType",
    "database": "ns.db",
    "collection": "ns.coll",
    "key": "documentKey",
}


def asked_at(root: Root, steps: tuple[Step, ...], test: dict[str, Any], prefixes: Prefixes) -> dict[str, Any]:
    """`test` asked of the values at a place; each `[*]` becomes an `$elemMatch`. Raises NotTranslatable."""
    if root not in prefixes:
        raise NotTranslatable(f"`{root}` is not part of the document")
    prefix = prefixes[root]
    if root == "event":
        field = _EVENT_FIELDS.get(str(steps[0])) if steps else None
        if field is None:
            raise NotTranslatable(f"`event.{steps[0] if steps else ''}` is not part of every change event")
        prefix, steps = field, steps[1:]
    elif not steps:
        raise NotTranslatable("this is a whole document")
    return _nested(prefix, steps, test)


def _nested(prefix: str, steps: tuple[Step, ...], test: dict[str, Any]) -> dict[str, Any]:
    cut = next((place for place, step in enumerate(steps) if isinstance(step, Each)), len(steps))
    names = [checked_name(step) for step in steps[:cut] if isinstance(step, str)]
    path = ".".join([prefix, *names] if prefix else names)
    if cut == len(steps):
        return {path: test} if path else test
    inner = {"$elemMatch": _nested("", steps[cut + 1 :], test)}
    return {path: inner} if path else inner


def checked_name(name: str) -> str:
    """The name, if it can be part of a dotted path. Raises NotTranslatable."""
    if not name or name.startswith("$") or "." in name or "\0" in name:
        raise NotTranslatable(f"a field called {name!r} cannot be named in a MongoDB filter")
    return name
