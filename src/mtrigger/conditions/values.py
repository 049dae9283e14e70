"""BSON values as MongoDB compares them.

The order of types and the order within a type follow the server's `BSONElement::compareElements` and
`canonicalizeBSONType` (MongoDB manual, "Comparison/Sort Order"); the rules of the match language (type
bracketing, null and missing, NaN, MinKey and MaxKey) follow
`ComparisonMatchExpression::matchesSingleElement`. Numbers are compared exactly, whatever their types.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from re import Pattern as CompiledPattern
from typing import Any
from uuid import UUID

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp


class Missing(Enum):
    """What is found at a path that leads nowhere."""

    MISSING = "missing"


MISSING = Missing.MISSING


class TypeClass(IntEnum):
    """Types that compare with each other share a class; classes are in MongoDB's sort order."""

    MIN_KEY = -1
    MISSING = 0
    NULL = 5
    NUMBER = 10
    STRING = 15
    OBJECT = 20
    ARRAY = 25
    BINARY = 30
    OBJECT_ID = 35
    BOOL = 40
    DATE = 45
    TIMESTAMP = 47
    REGEX = 50
    CODE = 60
    CODE_WITH_SCOPE = 65
    FOREIGN = 120
    MAX_KEY = 127


_CLASSES: dict[type, TypeClass] = {
    Missing: TypeClass.MISSING,
    type(None): TypeClass.NULL,
    int: TypeClass.NUMBER,
    float: TypeClass.NUMBER,
    Int64: TypeClass.NUMBER,
    Decimal128: TypeClass.NUMBER,
    Decimal: TypeClass.NUMBER,
    str: TypeClass.STRING,
    dict: TypeClass.OBJECT,
    list: TypeClass.ARRAY,
    bytes: TypeClass.BINARY,
    Binary: TypeClass.BINARY,
    UUID: TypeClass.BINARY,
    ObjectId: TypeClass.OBJECT_ID,
    bool: TypeClass.BOOL,
    datetime: TypeClass.DATE,
    DatetimeMS: TypeClass.DATE,
    Timestamp: TypeClass.TIMESTAMP,
    Regex: TypeClass.REGEX,
    CompiledPattern: TypeClass.REGEX,
    MinKey: TypeClass.MIN_KEY,
    MaxKey: TypeClass.MAX_KEY,
}
_INTERFACES: tuple[tuple[type, TypeClass], ...] = (
    (DBRef, TypeClass.OBJECT),
    (Mapping, TypeClass.OBJECT),
    (tuple, TypeClass.ARRAY),
    *_CLASSES.items(),
)


def type_class(value: Any) -> TypeClass:
    """The class of types that `value` is compared within."""
    known = _CLASSES.get(type(value))
    if known is not None:
        return known
    if isinstance(value, Code):  # a kind of str, so it has to be asked first
        return TypeClass.CODE if value.scope is None else TypeClass.CODE_WITH_SCOPE
    for interface, found in _INTERFACES:
        if isinstance(value, interface):
            return found
    return TypeClass.FOREIGN


def as_document(value: Any) -> Mapping[str, Any]:
    """An embedded document as a mapping; PyMongo hands `{$ref, $id}` over as a DBRef."""
    if isinstance(value, DBRef):
        reference: Mapping[str, Any] = value.as_doc()
        return reference
    document: Mapping[str, Any] = value
    return document


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(date: Any) -> int:
    """A date as BSON keeps it: whole milliseconds since 1970. A date without a zone is in UTC."""
    if isinstance(date, DatetimeMS):
        return int(date)
    aware: datetime = date if date.tzinfo else date.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MILLISECOND


def is_nan(number: Any) -> bool:
    """Whether a number is NaN, as a double or as a decimal."""
    if isinstance(number, Decimal128):
        number = number.to_decimal()
    if isinstance(number, Decimal):
        return number.is_nan()
    return bool(number != number)


def order(left: Any, right: Any) -> int:
    """-1, 0 or 1: the place of two values in MongoDB's sort order of all values."""
    left_class, right_class = type_class(left), type_class(right)
    if left_class != right_class:
        return -1 if left_class < right_class else 1
    return order_within(left_class, left, right)


def order_within(shared: TypeClass, left: Any, right: Any) -> int:
    """-1, 0 or 1 for two values of the same class."""
    match shared:
        case TypeClass.NUMBER:
            return _order_numbers(left, right)
        case TypeClass.STRING | TypeClass.BOOL | TypeClass.OBJECT_ID:
            return _sign(left, right)
        case TypeClass.OBJECT:
            return _order_documents(as_document(left), as_document(right))
        case TypeClass.ARRAY:
            return _order_arrays(left, right)
        case TypeClass.DATE:
            return _sign(milliseconds(left), milliseconds(right))
        case TypeClass.BINARY:
            return _sign(binary_key(left), binary_key(right))
        case TypeClass.TIMESTAMP:
            return _sign((left.time, left.inc), (right.time, right.inc))
        case TypeClass.REGEX:
            return _sign(regex_key(left), regex_key(right))
        case TypeClass.CODE:
            return _sign(str(left), str(right))
        case TypeClass.CODE_WITH_SCOPE:
            return _sign(str(left), str(right)) or _order_documents(left.scope, right.scope)
        case TypeClass.FOREIGN:
            return 0 if left is right else -1
        case _:
            return 0  # null, missing, MinKey, MaxKey: one value each


def _sign(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def _order_numbers(left: Any, right: Any) -> int:
    if isinstance(left, Decimal128):
        left = left.to_decimal()
    if isinstance(right, Decimal128):
        right = right.to_decimal()
    left_nan, right_nan = is_nan(left), is_nan(right)
    if left_nan or right_nan:
        return right_nan - left_nan  # NaN comes before all numbers
    return _sign(left, right)


def _order_documents(left: Mapping[str, Any], right: Mapping[str, Any]) -> int:
    for (left_name, left_value), (right_name, right_value) in zip(left.items(), right.items(), strict=False):
        left_class, right_class = type_class(left_value), type_class(right_value)
        found = (
            _sign(left_class, right_class)
            or _sign(left_name, right_name)
            or order_within(left_class, left_value, right_value)
        )
        if found:
            return found
    return _sign(len(left), len(right))


def _order_arrays(left: Any, right: Any) -> int:
    for left_value, right_value in zip(left, right, strict=False):
        found = order(left_value, right_value)
        if found:
            return found
    return _sign(len(left), len(right))


def binary_key(value: Any) -> tuple[int, int, bytes]:
    """Length, subtype and bytes: what binary values are ordered by."""
    if isinstance(value, UUID):
        return 16, 4, value.bytes
    return len(value), value.subtype if isinstance(value, Binary) else 0, bytes(value)


def regex_key(value: Any) -> tuple[str, str]:
    """Pattern and option letters, in the order BSON keeps them."""
    regex = value if isinstance(value, Regex) else Regex.from_native(value)
    pattern = regex.pattern if isinstance(regex.pattern, str) else regex.pattern.decode(errors="replace")
    letters = ((2, "i"), (4, "l"), (8, "m"), (16, "s"), (32, "u"), (64, "x"))
    return pattern, "".join(letter for bit, letter in letters if regex.flags & bit)


def matches(operator: str, value: Any, literal: Any) -> bool:
    """Whether `value operator literal` holds in the match language (`==`, `<`, `<=`, `>`, `>=`)."""
    value_class, literal_class = type_class(value), type_class(literal)
    if value_class != literal_class:
        if value_class + literal_class == TypeClass.NULL and TypeClass.NULL in (value_class, literal_class):
            return operator in ("==", "<=", ">=")  # null and missing are equal
        if literal_class == TypeClass.MAX_KEY:
            return operator in ("<", "<=")
        return literal_class == TypeClass.MIN_KEY and operator in (">", ">=")
    return _same_class(operator, value_class, value, literal)


def compares(operator: str, left: Any, right: Any) -> bool:
    """Whether `left operator right` holds for two worked-out values: like `matches`, but without its
    exceptions for MinKey and MaxKey, so that both sides are alike."""
    left_class = type_class(None if left is MISSING else left)
    if left_class != type_class(None if right is MISSING else right):
        return False
    return (left_class == TypeClass.NULL and operator in ("==", "<=", ">=")) or (
        left_class != TypeClass.NULL and _same_class(operator, left_class, left, right)
    )


def _same_class(operator: str, shared: TypeClass, left: Any, right: Any) -> bool:
    if shared == TypeClass.NUMBER and is_nan(left) != is_nan(right):
        return False  # NaN is equal to NaN and in no order with anything else
    found = order_within(shared, left, right)
    match operator:
        case "==":
            return found == 0
        case "<":
            return found < 0
        case "<=":
            return found <= 0
        case ">":
            return found > 0
        case _:
            return found >= 0


def type_name(value: Any) -> str:
    """The name `$type` has for it ("missing" for nothing)."""
    match type_class(value):
        case TypeClass.NUMBER:
            if isinstance(value, float):
                return "double"
            if isinstance(value, Decimal128 | Decimal):
                return "decimal"
            is_int = not isinstance(value, Int64) and -(2**31) <= value < 2**31
            return "int" if is_int else "long"
        case TypeClass.MIN_KEY:
            return "minKey"
        case TypeClass.MAX_KEY:
            return "maxKey"
        case TypeClass.OBJECT_ID:
            return "objectId"
        case TypeClass.BINARY:
            return "binData"
        case TypeClass.CODE:
            return "javascript"
        case TypeClass.CODE_WITH_SCOPE:
            return "javascriptWithScope"
        case other:
            return other.name.lower()
