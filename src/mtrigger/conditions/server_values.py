"""Worked-out values as aggregation expressions, for `$expr`.

A value becomes an expression for the array of its choices, so that it means what `evaluation` does in Python:
paths are followed by the rules of the match language (which are not those of a field path in an aggregation),
and every operator is kept from values it would raise an error for. Written for MongoDB 4.4 and later.
"""

from datetime import datetime
from typing import Any

from bson.int64 import Int64

from mtrigger.conditions.arithmetic import LARGEST_DATE, LARGEST_SHIFT
from mtrigger.conditions.choices import MOST_CHOICES
from mtrigger.conditions.paths import index_of
from mtrigger.conditions.syntax import (
    Arithmetic,
    Constant,
    Each,
    JsonPath,
    Length,
    LetterCase,
    Now,
    Path,
    Step,
    Value,
)

Expression = Any
"""A piece of an aggregation expression."""


class NotTranslatable(Exception):  # noqa: N818 - an answer more than an error
    """A condition has no equivalent MongoDB filter; the message says which part."""


def comparison(operator: str, left: Value, right: Value, root: str, now: datetime | None) -> Expression:
    """Whether `left operator right` holds for some choice. `root` is the document's variable or field
    path."""
    return _any_pair(
        _choices(left, root, now), _choices(right, root, now), lambda x, y: _compares(operator, x, y)
    )


def membership(value: Value, choices: tuple[Any, ...], root: str, now: datetime | None) -> Expression:
    """Whether a choice of `value` is equal to one of `choices`."""
    tests = [_compares("==", "$$one", {"$literal": choice}) for choice in choices]
    return {"$anyElementTrue": _each(_choices(value, root, now), "one", {"$or": tests})}


def _each(array: Expression, name: str, expression: Expression) -> Expression:
    return {"$map": {"input": array, "as": name, "in": expression}}


def _kept(array: Expression, condition: Expression) -> Expression:
    return {"$filter": {"input": array, "as": "kept", "cond": condition}}


def _flat(arrays: Expression) -> Expression:
    return {"$reduce": {"input": arrays, "initialValue": [], "in": {"$concatArrays": ["$$value", "$$this"]}}}


def _let(variables: dict[str, Expression], expression: Expression) -> Expression:
    return {"$let": {"vars": variables, "in": expression}}


def _any_pair(left: Expression, right: Expression, test: Any) -> Expression:
    inner = {"$anyElementTrue": _each("$$rights", "other", test("$$one", "$$other"))}
    return _let(
        {"lefts": left, "rights": right},
        {"$and": [_few_pairs(), {"$anyElementTrue": _each("$$lefts", "one", inner)}]},
    )


def _few_pairs() -> Expression:
    return {"$lte": [{"$multiply": [{"$size": "$$lefts"}, {"$size": "$$rights"}]}, MOST_CHOICES]}


def _compares(operator: str, left: Expression, right: Expression) -> Expression:
    """One pair: within a class of types, and NaN only equal to NaN."""
    same_class = {"$eq": [_class(left), _class(right)]}
    equal = {"$eq": [left, right]}
    nan = {"$literal": float("nan")}
    match operator:
        case "==":
            return {"$and": [same_class, equal]}
        case "<":
            return {"$and": [same_class, {"$lt": [left, right]}, {"$ne": [left, nan]}]}
        case ">":
            return {"$and": [same_class, {"$gt": [left, right]}, {"$ne": [right, nan]}]}
        case "<=":
            return {"$or": [_compares("==", left, right), _compares("<", left, right)]}
        case _:
            return {"$or": [_compares("==", left, right), _compares(">", left, right)]}


def _class(value: Expression) -> Expression:
    return {"$cond": [{"$isNumber": value}, "number", {"$type": value}]}


def _choices(value: Value, root: str, now: datetime | None) -> Expression:
    match value:
        case Constant() | Now():
            if isinstance(value, Now) and now is None:
                raise NotTranslatable("now() is not known to the server")
            return [{"$literal": value.value if isinstance(value, Constant) else now}]
        case Path():
            return path_choices(value, root)
        case JsonPath():
            raise NotTranslatable(f"the JSONPath {value.text} has no translation to a MongoDB filter")
        case LetterCase(case=case, argument=argument):
            strings = _kept(_choices(argument, root, now), {"$eq": [{"$type": "$$kept"}, "string"]})
            return _each(strings, "one", {"$toLower" if case == "lower" else "$toUpper": "$$one"})
        case Length(argument=argument):
            found = _whole(argument, root, now)
            counted = _kept(found, {"$in": [{"$type": "$$kept"}, ["string", "array"]]})
            is_array = {"$isArray": "$$one"}
            return _each(counted, "one", {"$cond": [is_array, {"$size": "$$one"}, {"$strLenCP": "$$one"}]})
        case Arithmetic(operator=operator, left=left, right=right):
            return _results(operator, _choices(left, root, now), _choices(right, root, now))


def _whole(argument: Value, root: str, now: datetime | None) -> Expression:
    if isinstance(argument, Path):
        return whole_path_choices(argument, root)
    return _choices(argument, root, now)


def _results(operator: str, left: Expression, right: Expression) -> Expression:
    """The results for all pairs; null stands for no value until it is filtered out."""
    calculated = _each("$$rights", "y", _calculated(operator))
    pairs = _flat(_each("$$lefts", "x", calculated))
    within = _kept(pairs, {"$ne": ["$$kept", None]})
    return _let({"lefts": left, "rights": right}, {"$cond": [_few_pairs(), within, []]})


_OPERATORS = {"+": "$add", "-": "$subtract", "*": "$multiply", "/": "$divide", "%": "$mod"}


def _calculated(operator: str) -> Expression:
    """`$$x operator $$y`, or null."""
    numbers = {"$and": [{"$isNumber": "$$x"}, {"$isNumber": "$$y"}]}
    branches = [{"case": numbers, "then": _numbers(operator)}]
    if operator in ("+", "-"):
        branches.append({"case": _is_shift("$$x", "$$y"), "then": _shifted(operator, "$$x", "$$y")})
    if operator == "+":
        branches.append({"case": _is_shift("$$y", "$$x"), "then": _shifted(operator, "$$y", "$$x")})
    if operator == "-":
        both = {"$and": [_is_near_date("$$x"), _is_near_date("$$y")]}
        branches.append({"case": both, "then": {"$subtract": ["$$x", "$$y"]}})
    return {"$switch": {"branches": branches, "default": None}}


def _numbers(operator: str) -> Expression:
    name = _OPERATORS[operator]
    doubles = {name: [{"$toDouble": "$$x"}, {"$toDouble": "$$y"}]}
    if operator == "/":
        whole: Expression = doubles
    else:  # beyond 64 bits servers differ in how they round; a sum of doubles is the same everywhere
        too_long = {"$eq": [{"$type": "$$whole"}, "double"]}
        whole = _let({"whole": {name: ["$$x", "$$y"]}}, {"$cond": [too_long, doubles, "$$whole"]})
    found: Expression = {
        "$switch": {
            "branches": [
                {
                    "case": _has_type("decimal"),
                    "then": {name: [{"$toDecimal": "$$x"}, {"$toDecimal": "$$y"}]},
                },
                {"case": _has_type("double"), "then": doubles},
            ],
            "default": whole,
        }
    }
    return {"$cond": [{"$eq": ["$$y", 0]}, None, found]} if operator in ("/", "%") else found


def _has_type(name: str) -> Expression:
    return {"$or": [{"$eq": [{"$type": "$$x"}, name]}, {"$eq": [{"$type": "$$y"}, name]}]}


def _is_near_date(value: Expression) -> Expression:
    # a date that is no date is never converted: $and looks at its operands in turn, and $cond makes sure
    moment = {"$toLong": value}
    near = {"$and": [{"$gte": [moment, Int64(-LARGEST_DATE)]}, {"$lte": [moment, Int64(LARGEST_DATE)]}]}
    return {"$cond": [{"$eq": [{"$type": value}, "date"]}, near, False]}


def _is_shift(date: Expression, number: Expression) -> Expression:
    bounds = {"$and": [{"$gte": [number, Int64(-LARGEST_SHIFT)]}, {"$lte": [number, Int64(LARGEST_SHIFT)]}]}
    return {"$and": [_is_near_date(date), {"$cond": [{"$isNumber": number}, bounds, False]}]}


def _shifted(operator: str, date: Expression, number: Expression) -> Expression:
    return {_OPERATORS[operator]: [date, {"$toLong": {"$floor": number}}]}


def path_choices(path: Path, root: str) -> Expression:
    """The values a path leads to, null for missing ones; an array at the end stands for its elements too."""
    return _followed(path.steps, root, _spread)


def whole_path_choices(path: Path, root: str) -> Expression:
    """Like `path_choices`, but an array at the end stands for itself alone."""
    return _followed(path.steps, root, lambda values: values)


def _spread(values: Expression) -> Expression:
    itself = {"$cond": [{"$isArray": "$$one"}, {"$concatArrays": ["$$one", ["$$one"]]}, ["$$one"]]}
    return _flat(_each(values, "one", itself))


def _followed(steps: tuple[Step, ...], root: str, finish: Any) -> Expression:
    return _segment(steps, {"documents": [root], "arrays": [], "lists": []}, finish)


def _segment(steps: tuple[Step, ...], start: dict[str, Expression], finish: Any) -> Expression:
    """Follow the names up to the next `[*]`, and then what is behind it."""
    cut = next((place for place, step in enumerate(steps) if isinstance(step, Each)), len(steps))
    names = [step for step in steps[:cut] if isinstance(step, str)]
    if cut == len(steps):
        return _names(names, start, finish)
    elements = _flat(_kept(_names(names, start, lambda values: values), {"$isArray": "$$kept"}))
    return _behind_each(steps[cut + 1 :], elements, finish)


def _behind_each(rest: tuple[Step, ...], elements: Expression, finish: Any) -> Expression:
    if not rest:
        return elements
    if isinstance(rest[0], Each):
        return _behind_each(rest[1:], _flat(_kept(elements, {"$isArray": "$$kept"})), finish)
    start = {
        "documents": _documents("$$elements"),
        "arrays": [],
        "lists": _kept("$$elements", {"$isArray": "$$kept"}),
    }
    return _let({"elements": elements}, _segment(rest, start, finish))


def _documents(values: Expression) -> Expression:
    return _kept(values, {"$eq": [{"$type": "$$kept"}, "object"]})


def _names(names: list[str], start: dict[str, Expression], finish: Any) -> Expression:
    """One level for each name. At each level there are `documents` to look into, `arrays` met on the way,
    whose documents are looked into and which an index may pick from, and `lists`: elements met by `[*]` that
    are arrays, in which an index is a name like any other."""
    name, rest = names[0], names[1:]
    documents = {"$concatArrays": ["$$documents", _documents(_flat("$$arrays"))]}
    looked_up = _each(documents, "one", f"$$one.{name}")
    index = index_of(name)
    if index is None:
        in_lists: Expression = _each("$$lists", "one", None)
        picked: Expression = []
    else:
        element = {"$arrayElemAt": ["$$one", index]}
        is_long = {"$gt": [{"$size": "$$one"}, index]}
        in_lists = _each("$$lists", "one", {"$cond": [is_long, element, None]})
        long_enough = _kept("$$arrays", {"$gt": [{"$size": "$$kept"}, index]})
        picked = _each(long_enough, "one", element)
    values = {"$concatArrays": [looked_up, in_lists]}
    if not rest:
        return _let(start, {"$concatArrays": [finish(values), picked]})
    reached = {"$concatArrays": ["$$values", "$$picked"]}
    below = {"documents": _documents(reached), "arrays": _kept(reached, {"$isArray": "$$kept"}), "lists": []}
    is_dead_end = {"$not": [{"$in": [{"$type": "$$kept"}, ["object", "array"]]}]}
    missing = _each(_kept("$$values", is_dead_end), "one", None)
    deeper = {"$concatArrays": [_names(rest, below, finish), missing]}
    return _let(start, _let({"values": values, "picked": picked}, deeper))
