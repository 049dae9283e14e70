"""Following paths in aggregation expressions by the rules of the match language.

A field path of an aggregation means something else than a path of a query: it maps over arrays and knows no
indexes. So a path is followed level by level here, as `paths` does it in Python. The size of the expression
grows with the number of steps, not faster.
"""

from collections.abc import Callable
from typing import Any

from mtrigger.conditions.paths import index_of
from mtrigger.conditions.syntax import Each, Path, Step

Expression = Any
"""A piece of an aggregation expression."""

Finish = Callable[[Expression], Expression]
"""What becomes of the values at the end of a path."""

State = dict[str, Expression]
"""What has been reached: `documents`, `arrays` and `lists`, see `_names`."""


def each(array: Expression, name: str, expression: Expression) -> Expression:
    """`$map`; the element is called `name`."""
    return {"$map": {"input": array, "as": name, "in": expression}}


def kept(array: Expression, condition: Expression) -> Expression:
    """`$filter`; the element is called `kept`."""
    return {"$filter": {"input": array, "as": "kept", "cond": condition}}


def flat(arrays: Expression) -> Expression:
    """One array of the elements of all."""
    return {"$reduce": {"input": arrays, "initialValue": [], "in": {"$concatArrays": ["$$value", "$$this"]}}}


def let(variables: dict[str, Expression], expression: Expression) -> Expression:
    """`$let`."""
    return {"$let": {"vars": variables, "in": expression}}


def path_choices(path: Path, root: str) -> Expression:
    """The values a path leads to, null for missing ones; an array at the end stands for its elements too."""
    return _segment(path.steps, root, _spread)


def whole_path_choices(path: Path, root: str) -> Expression:
    """Like `path_choices`, but an array at the end stands for itself alone."""
    return _segment(path.steps, root, lambda values: values)


def _spread(values: Expression) -> Expression:
    itself = {"$cond": [{"$isArray": "$$one"}, {"$concatArrays": ["$$one", ["$$one"]]}, ["$$one"]]}
    return flat(each(values, "one", itself))


def _segment(steps: tuple[Step, ...], start: State | str, finish: Finish) -> Expression:
    """Follow the names up to the next `[*]`, and then what is behind it. `start` is the document (its
    variable or field path) or a state of `_names`."""
    cut = next((place for place, step in enumerate(steps) if isinstance(step, Each)), len(steps))
    names = [step for step in steps[:cut] if isinstance(step, str)]
    if cut == len(steps):
        return _names(names, start, finish)
    elements = flat(kept(_names(names, start, lambda values: values), {"$isArray": "$$kept"}))
    return _behind_each(steps[cut + 1 :], elements, finish)


def _behind_each(rest: tuple[Step, ...], elements: Expression, finish: Finish) -> Expression:
    if not rest:
        return elements
    if isinstance(rest[0], Each):
        return _behind_each(rest[1:], flat(kept(elements, {"$isArray": "$$kept"})), finish)
    start = {
        "documents": _documents("$$elements"),
        "arrays": [],
        "lists": kept("$$elements", {"$isArray": "$$kept"}),
    }
    return let({"elements": elements}, _segment(rest, start, finish))


def _documents(values: Expression) -> Expression:
    return kept(values, {"$eq": [{"$type": "$$kept"}, "object"]})


def _names(names: list[str], start: State | str, finish: Finish) -> Expression:
    """One level for each name. At each level there are `documents` to look into, `arrays` met on the way,
    whose documents are looked into and which an index may pick from, and `lists`: elements met by `[*]` that
    are arrays, in which an index is a name like any other."""
    name, rest = names[0], names[1:]
    if isinstance(start, str):
        return _then(rest, [f"{start}.{name}"], [], finish)  # an array literal turns missing into null
    documents = {"$concatArrays": ["$$documents", _documents(flat("$$arrays"))]}
    looked_up = each(documents, "one", f"$$one.{name}")
    index = index_of(name)
    if index is None:
        in_lists: Expression = each("$$lists", "one", None)
        picked: Expression = []
    else:
        element = {"$arrayElemAt": ["$$one", index]}
        is_long = {"$gt": [{"$size": "$$one"}, index]}
        in_lists = each("$$lists", "one", {"$cond": [is_long, element, None]})
        long_enough = kept("$$arrays", {"$gt": [{"$size": "$$kept"}, index]})
        picked = each(long_enough, "one", element)
    values = {"$concatArrays": [looked_up, in_lists]}
    return let(start, _then(rest, values, picked, finish))


def _then(rest: list[str], values: Expression, picked: Expression, finish: Finish) -> Expression:
    """Go on from what a name led to (`values`) and what an index picked from an array on the way
    (`picked`)."""
    if not rest:
        return {"$concatArrays": [finish(values), picked]} if picked else finish(values)
    reached = {"$concatArrays": ["$$values", "$$picked"]}
    below = {"documents": _documents(reached), "arrays": kept(reached, {"$isArray": "$$kept"}), "lists": []}
    is_dead_end = {"$not": [{"$in": [{"$type": "$$kept"}, ["object", "array"]]}]}
    missing = each(kept("$$values", is_dead_end), "one", None)
    deeper = {"$concatArrays": [_names(rest, below, finish), missing]}
    return let({"values": values, "picked": picked}, deeper)
