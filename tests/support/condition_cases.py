"""Fixed cases of what conditions mean: a document, a condition and whether it holds.

Unit tests hold them against Python, an integration test against the server. Most are pitfalls: places where a
simpler evaluator gives another answer than MongoDB.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from mtrigger.conditions import Condition, parse, parse_mapping


@dataclass(frozen=True)
class Case:
    """`written` is an expression or a MongoDB filter."""

    written: str | Mapping[str, Any]
    document: Mapping[str, Any]
    held: bool

    def condition(self) -> Condition:
        return parse(self.written) if isinstance(self.written, str) else parse_mapping(self.written)

    def __str__(self) -> str:
        return f"{self.written} {'holds' if self.held else 'does not hold'} for {dict(self.document)}"


_NAN, _INF = float("nan"), float("inf")
_EXACT_TENTH = Decimal128("0.1000000000000000055511151231257827")
_DATE = datetime(2026, 1, 31, 1, tzinfo=UTC)
_BIG = "amount > 10000"

_HOLDING: list[tuple[str | Mapping[str, Any], Mapping[str, Any]]] = [
    # numbers compare across their types, exactly
    (_BIG, {"amount": 10001}),
    (_BIG, {"amount": 10000.01}),
    (_BIG, {"amount": Int64(2**40)}),
    (_BIG, {"amount": Decimal128("15000.50")}),
    (_BIG, {"amount": [5, 20000]}),
    (_BIG, {"amount": _INF}),
    ("n == 1000", {"n": Decimal128("1E+3")}),
    ("n == 0", {"n": -0.0}),
    ("n > 9007199254740992.0", {"n": Int64(2**53 + 1)}),
    ("n != 0.1", {"n": Decimal128("0.1")}),
    ({"n": {"$gt": _EXACT_TENTH}}, {"n": 0.1}),
    ({"n": {"$eq": _NAN}}, {"n": Decimal128("NaN")}),
    ({"n": {"$lte": _NAN}}, {"n": _NAN}),
    # null and missing
    ("a == null", {}),
    ("a == null", {"a": None}),
    ("a <= null", {}),
    ("a in [null]", {}),
    ("a != 5", {}),
    ("not (a > 5)", {}),
    ("exists(a)", {"a": None}),
    # arrays
    ('a == "x"', {"a": ["x", "y"]}),
    ("a == [1, 2]", {"a": [1, 2]}),
    ("a == [1, 2]", {"a": [[1, 2]]}),
    ("b.0 == 1", {"b": [1, 2]}),
    ("100 < a <= 200", {"a": [50, 300]}),  # two elements, as in {$gt: 100, $lte: 200}
    ("items.price > 5", {"items": [{"price": 1}, {"price": 9}]}),
    ("items.0.price < 5", {"items": [{"price": 1}, {"price": 9}]}),
    ("a.b == null", {"a": [{"b": 1}, {}]}),
    ("$.items[*].price > 5", {"items": [{"price": 1}, {"price": 9}]}),
    ("$.a[*] == 1", {"a": [1]}),
    ("$.a[*][*] == 1", {"a": [[1]]}),
    ("not ($.a[*] > 5)", {"a": 9}),
    ("$['odd name'].x == 1", {"odd name": {"x": 1}}),
    ("$['in'] == 1", {"in": 1}),
    ("$.before == 1", {"before": 1}),
    # other types
    ("paid", {"paid": True}),
    ('d == date("2026-01-31T10:00:00+09:00")', {"d": _DATE}),
    ('d < now() - duration("1h")', {"d": _DATE}),
    ('id == oid("65a1b2c3d4e5f60718293a4b")', {"id": ObjectId("65a1b2c3d4e5f60718293a4b")}),
    ({"b": b"ab"}, {"b": Binary(b"ab")}),
    ({"b": {"$gt": b"b"}}, {"b": b"aa"}),  # the length comes first
    ({"t": {"$gt": Timestamp(5, 1)}}, {"t": Timestamp(5, 2)}),
    ({"a": {"$lt": MaxKey()}}, {}),
    ({"a": {"$gt": MinKey()}}, {"a": "x"}),
    ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 2}}),
    ({"a": {"$gt": {"x": 1}}}, {"a": {"x": 2}}),
    # strings
    (r'matches(s, "^\d+$")', {"s": "12\n"}),
    (r'matches(s, "\s")', {"s": "\x0b"}),
    (r'matches(s, "^é$", "i")', {"s": "É"}),
    ('matches(s, "a.b", "s")', {"s": "a\nb"}),
    ('matches(s, "^b$", "m")', {"s": "a\nb\n"}),
    ('matches(s, "a", "i")', {"s": Regex("a", "i")}),
    ('startswith(s, "a.")', {"s": "a.b"}),
    ('endswith(s, "b")', {"s": "ab"}),
    ('contains(tags, "ip")', {"tags": ["new", "vip"]}),
    ('lower(s) == "paid"', {"s": "PAID"}),
    ('upper(s) in ["É", "é"]', {"s": "é"}),  # ASCII letters only, as $toUpper does
    ("len(s) == 2", {"s": "é😀"}),
    # worked-out values
    ("len(a) == 2", {"a": ["long string", "x"]}),
    ("a + b == 3", {"a": 1, "b": Decimal128("2")}),
    ("a / 2 == 2.5", {"a": 5}),
    ("a % 3 == -1", {"a": -7}),
    ("a + a == 1e19", {"a": Int64(5 * 10**18)}),
    ("a * 10 == 1", {"a": 0.1}),
    ("a > b", {"a": [1, 5], "b": [9, 4]}),
    ("a == b", {}),
    ("not (a / 0 == 1)", {"a": 1}),
    ("a / 0 != 1", {"a": 1}),
    ('d - e == duration("1h")', {"d": _DATE, "e": datetime(2026, 1, 31, tzinfo=UTC)}),
    ('d + 3600000 == date("2026-01-31T02:00:00")', {"d": _DATE}),
    ("-a == 7", {"a": -7}),
    # operators of filters
    ({"a": {"$elemMatch": {"$gt": 1, "$lt": 5}}}, {"a": [0, 3]}),
    ({"a": {"$elemMatch": {"b": None}}}, {"a": [[1]]}),  # an array is a document to $elemMatch
    ({"a": {"$all": [1, 2]}}, {"a": [2, 1]}),
    ({"a": {"$mod": [4, -3]}}, {"a": -7.9}),
    ({"a": {"$type": "number"}}, {"a": ["x", 5]}),
    ({"a": {"$type": "array"}}, {"a": []}),
    ({"a": {"$in": [Regex("^x")]}}, {"a": "xy"}),
    ({"a": {"$not": {"$size": 2}}}, {"a": [1]}),
    ({"$nor": [{"a": 1}, {"b": 1}]}, {"a": 2}),
    ({"a": Regex("X", "i")}, {"a": "x"}),
]

_NOT_HOLDING: list[tuple[str | Mapping[str, Any], Mapping[str, Any]]] = [
    # comparisons stay within a type
    (_BIG, {"amount": 10000}),
    (_BIG, {"amount": "20000"}),
    (_BIG, {"amount": True}),
    (_BIG, {"amount": None}),
    (_BIG, {}),
    (_BIG, {"amount": _NAN}),
    (_BIG, {"amount": {"value": 20000}}),
    ("true_ > 0", {"true_": True}),
    ("paid", {"paid": 1}),
    ('d > "2026"', {"d": _DATE}),
    ({"n": {"$lt": _NAN}}, {"n": 1}),
    ({"n": {"$gte": 1}}, {"n": _NAN}),
    ({"n": {"$eq": 0.1}}, {"n": Decimal128("0.1")}),
    # arrays
    ('a != "x"', {"a": ["x", "y"]}),  # `!=` is "not equal to any"
    ("b.0 == 1", {"b": [[1], 2]}),  # after an index the element is not looked into
    ("a.0.x <= null", {"a": [1, 2]}),  # scalars on the way are passed over
    ("a.b == null", {"a": [1, 2]}),
    ("a.b == null", {"a": []}),
    ("$.a[*] == 1", {"a": 1}),
    ("$.items[*].price == null", {"items": [5]}),
    ("a == [1, 2]", {"a": [2, 1]}),
    ("a.00 == 1", {"a": [1]}),
    # missing
    ("a < 5", {}),
    ("a >= 5 or a < 5", {"a": None}),
    ("exists(a.b)", {"a": 5}),
    ("not exists(a)", {"a": None}),
    ({"a": {"$type": "null"}}, {}),
    # strings
    ('matches(s, "^a$")', {"s": "a\n\n"}),
    (r'matches(s, "\w")', {"s": "é"}),
    (r'matches(s, "\d")', {"s": "٣"}),
    ('matches(s, "a.b")', {"s": "a\nb"}),
    ('matches(s, "^$", "s")', {"s": "\n\n"}),
    ('matches(s, "5")', {"s": 5}),
    ('startswith(s, "a.")', {"s": "ab"}),
    ('endswith(s, "b")', {"s": "ab\n"}),
    ('lower(s) == "é"', {"s": "É"}),
    ('contains(s, "a")', {"s": None}),
    # worked-out values
    ("a / 0 == a / 0", {"a": 1}),
    ("a + b > 0", {"a": 1, "b": "2"}),
    ("a + b > 0", {"a": 1}),
    ("len(a) >= 0", {"a": 5}),
    ("len(a) >= 0", {}),
    ("a == b", {"a": 1, "b": True}),
    ("a < b", {"a": 1, "b": "x"}),
    ("-a == 1", {"a": _DATE}),
    # operators of filters
    ({"a": {"$elemMatch": {"$gt": 1, "$lt": 5}}}, {"a": [0, 9]}),
    ({"a": {"$elemMatch": {"$eq": 1}}}, {"a": 1}),
    ({"a": {"$all": []}}, {"a": []}),
    ({"a": {"$in": []}}, {"a": None}),
    ({"a": {"$mod": [4, 0]}}, {"a": Decimal128("Infinity")}),
    ({"a": {"$eq": Regex("x")}}, {"a": "x"}),
    ({"a": {"$lt": MinKey()}}, {"a": MinKey()}),
    ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}),
]

CASES = [Case(*case, True) for case in _HOLDING] + [Case(*case, False) for case in _NOT_HOLDING]
