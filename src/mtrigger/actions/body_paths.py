"""Paths into the body of a message: what is found there, and the `_id` that is made of it.

A path is names with dots between them (`customer.id`) or a JSONPath (`$.customer.id`, `$.items[*].sku`). One
that can lead to a single place gives the value there; any other gives the array of all that it finds.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from mtrigger.conditions.jsonpaths import EachElement, JsonPathError, Search, read
from mtrigger.errors import PermanentError

Steps = tuple[str | type[EachElement], ...]

_MISSING = object()


def path_mistake(path: str, *, may_find_many: bool = False) -> str:
    """What is wrong with `path`, a sentence; "" when nothing is."""
    if not path.startswith("$"):
        if may_find_many:
            return f"a JSONPath begins with `$`: `$.{path}`"
        return "" if all(path.split(".")) else "a path is names with dots between them: `customer.id`"
    try:
        found = _parsed(path)
    except JsonPathError as error:
        return str(error)
    if not may_find_many and (isinstance(found, Search) or EachElement in found):
        return "a key is one value: write a path of names and indexes"
    return "" if isinstance(found, Search) or found else "`$` is the whole body: name a field in it"


def mapped(body: Mapping[str, Any], fields: Mapping[str, str] | None) -> Mapping[str, Any]:
    """The values that the JSONPaths of `fields` find in `body`, by the names of the fields; what finds
    nothing is left out. None: all of the body."""
    if fields is None:
        return body
    found = {name: _found(body, path) for name, path in fields.items()}
    return {name: value for name, value in found.items() if value is not _MISSING}


def key_at(body: Mapping[str, Any], paths: Sequence[str]) -> Any:
    """The `_id` that `paths` lead to: the value itself, or, of several, a document of them. Raises
    PermanentError when there is none."""
    values = {path: _found(body, path) for path in paths}
    for path, value in values.items():
        if value is _MISSING:
            raise PermanentError(f"key: the message's body has no field `{path}`")
        if value is None or isinstance(value, list):
            what = "null" if value is None else "an array"
            raise PermanentError(f"key: `{path}` of the message's body is {what}, which cannot be an `_id`")
    if len(paths) == 1:
        return values[paths[0]]
    return {_last_name(path): value for path, value in values.items()}


def same_name(paths: Sequence[str]) -> str:
    """The name that two of `paths` would have in one `_id`; "" when all differ. They are without mistakes."""
    names = [_last_name(path) for path in paths]
    return next((name for name in names if names.count(name) > 1), "")


def _last_name(path: str) -> str:
    steps = _parsed(path)
    assert not isinstance(steps, Search)
    return str(steps[-1])


@lru_cache(maxsize=1024)
def _parsed(path: str) -> Steps | Search:
    """Raises JsonPathError."""
    if not path.startswith("$"):
        return tuple(path.split("."))
    found = read(path)
    return found if isinstance(found, Search) else tuple(found)


def _found(body: Mapping[str, Any], path: str) -> Any:
    """The value at `path`, the array of all values where there may be several, or _MISSING."""
    steps = _parsed(path)
    if isinstance(steps, Search):
        return steps.found_in(body) or _MISSING
    found = list(_values(body, steps))
    if EachElement in steps:
        return found or _MISSING
    return found[0] if found else _MISSING


def _values(value: Any, steps: Steps) -> Iterator[Any]:
    """What JSONPath finds: no array on the way is looked into, unless a step says so."""
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(value, Mapping):
        if step in value:
            yield from _values(value[str(step)], rest)
    elif isinstance(value, list):
        if step is EachElement:
            for item in value:
                yield from _values(item, rest)
        elif isinstance(step, str) and step.isdigit() and int(step) < len(value):
            yield from _values(value[int(step)], rest)
