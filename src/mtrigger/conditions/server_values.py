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
from mtrigger.conditions.server_paths import (
    Expression,
    each,
    flat,
    kept,
    let,
    path_choices,
    whole_path_choices,
)
from mtrigger.conditions.syntax import (
    Arithmetic,
    Constant,
    JsonPath,
    Length,
    LetterCase,
    Now,
    Path,
    Value,
)


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
    return {"$anyElementTrue": each(_choices(value, root, now), "one", {"$or": tests})}


def _any_pair(left: Expression, right: Expression, test: Any) -> Expression:
    inner = {"$anyElementTrue": each("$$rights", "other", test("$$one", "$$other"))}
    return let(
        {"lefts": left, "rights": right},
        {"$and": [_few_pairs(), {"$anyElementTrue": each("$$lefts", "one", inner)}]},
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
            strings = kept(_choices(argument, root, now), {"$eq": [{"$type": "$$kept"}, "string"]})
            return each(strings, "one", {"$toLower" if case == "lower" else "$toUpper": "$$one"})
        case Length(argument=argument):
            found = _whole(argument, root, now)
            counted = kept(found, {"$in": [{"$type": "$$kept"}, ["string", "array"]]})
            is_array = {"$isArray": "$$one"}
            return each(counted, "one", {"$cond": [is_array, {"$size": "$$one"}, {"$strLenCP": "$$one"}]})
        case Arithmetic(operator=operator, left=left, right=right):
            return _results(operator, _choices(left, root, now), _choices(right, root, now))


def _whole(argument: Value, root: str, now: datetime | None) -> Expression:
    if isinstance(argument, Path):
        return whole_path_choices(argument, root)
    return _choices(argument, root, now)


def _results(operator: str, left: Expression, right: Expression) -> Expression:
    """The results for all pairs; null stands for no value until it is filtered out."""
    calculated = each("$$rights", "y", _calculated(operator))
    pairs = flat(each("$$lefts", "x", calculated))
    within = kept(pairs, {"$ne": ["$$kept", None]})
    return let({"lefts": left, "rights": right}, {"$cond": [_few_pairs(), within, []]})


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
        whole = let({"whole": {name: ["$$x", "$$y"]}}, {"$cond": [too_long, doubles, "$$whole"]})
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
