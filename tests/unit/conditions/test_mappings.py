"""MongoDB filters in `when:`: what is accepted, and what is refused with the key's name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from mtrigger.conditions import parse_mapping
from mtrigger.errors import ConditionError

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("mapping", "found"),
    [
        ({"a": {"$oid": "65a1b2c3d4e5f60718293a4b"}}, {"a": {"$eq": ObjectId("65a1b2c3d4e5f60718293a4b")}}),
        ({"a": {"$gt": {"$numberDecimal": "1.5"}}}, {"a": {"$gt": Decimal128("1.5")}}),
        ({"a": {"$date": "2026-01-31T01:00:00Z"}}, {"a": {"$eq": datetime(2026, 1, 31, 1, tzinfo=UTC)}}),
        ({"a": {"b": {"$numberLong": "5"}}}, {"a": {"$eq": {"b": 5}}}),
        ({"a": {"$regularExpression": {"pattern": "x", "options": "i"}}},
         {"a": {"$regex": "x", "$options": "i"}}),
        ({"a": {"$gt": 1, "$lt": 5}}, {"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 5}}]}),
        ({"a": {"$exists": False}}, {"$nor": [{"a": {"$exists": True}}]}),
        ({"a": {"$type": 16}}, {"a": {"$type": ["int"]}}),
        ({"a": {"$elemMatch": {"b": {"$oid": "65a1b2c3d4e5f60718293a4b"}}}},
         {"a": {"$elemMatch": {"b": ObjectId("65a1b2c3d4e5f60718293a4b")}}}),
        ({}, {}),
    ],
)  # fmt: skip
def test_a_filter_is_read_with_extended_json(mapping: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """YAML has no ObjectId; Extended JSON has."""
    assert parse_mapping(mapping).filter(NOW) == found


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"a": {"$gtt": 1}}, "`a`: there is no operator `$gtt`; did you mean `$gt`?"),
        ({"$orr": []}, "there is no operator `$orr`; did you mean `$or`?"),
        ({"$gt": 5}, "`$gt` belongs below a field"),
        ({"a": {"$or": [{}]}}, "`a`: `$or` cannot stand below a field"),
        ({"$where": "1"}, "`$where` is not supported: it runs JavaScript"),
        ({"$expr": {"$gt": ["$a", "$b"]}}, "`$expr` is not supported: write the comparison as an expression"),
        ({"a": {"$geoWithin": {}}}, "`a`: `$geoWithin` is not supported"),
        ({"a": {"$bitsAllSet": 1}}, "`a`: `$bitsAllSet` is not supported"),
        ({"$or": []}, "`$or` needs a list of filters"),
        ({"$and": [5]}, "a filter is a mapping such as"),
        ({"a": {"$in": 5}}, "`a.$in` needs a list"),
        ({"a": {"$gt": 1, "b": 2}}, "`a`: operators and fields are mixed"),
        ({"a": {"$not": 5}}, "`a.$not` needs operators"),
        ({"a": {"$size": 1.5}}, "`a.$size` needs a whole number"),
        ({"a": {"$mod": [0, 1]}}, "`a.$mod`: nothing can be divided by 0"),
        ({"a": {"$type": "strin"}}, "`a.$type`: 'strin' is not a type"),
        ({"a": {"$regex": "(?=x)"}}, "`a.$regex`: regular expressions here run in linear time"),
        ({"a": {"$regex": "x", "$options": "x"}}, "`a.$regex`: there is no option 'x'"),
        ({"a": {"$options": "i"}}, "`a`: `$options` goes with `$regex`"),
        (
            {"a": {"$gt": {"$regularExpression": {"pattern": "x", "options": ""}}}},
            "`a.$gt` cannot be compared with",
        ),
        (
            {"a": {"$all": [{"$elemMatch": {}}, 5]}},
            "`a.$all` needs a list of values, or of `$elemMatch` alone",
        ),
        ({"a": {"$oid": "x"}}, "`a`: $oid cannot be read as Extended JSON"),
        ({"a": {"$date": "soon"}}, "`a`: $date cannot be read as Extended JSON"),
        ({"a": {"$numberInt": []}}, "`a`: $numberInt cannot be read as Extended JSON"),
        ({"a": 2**64}, "`a`: a whole number has at most 64 bits"),
        ({"a": {"b": {"$gt": 5}}}, "`a`: the operator `$gt` cannot stand inside a value"),
        ({"a..b": 1}, "`a..b` is not a path"),
        ({"a.$b": 1}, "`a.$b` is not a path"),
        ({"a": object()}, "the filter cannot be written as Extended JSON"),
    ],
)
def test_a_filter_that_cannot_be_evaluated_is_refused(mapping: Mapping[str, Any], message: str) -> None:
    """The sentence begins with the key."""
    with pytest.raises(ConditionError) as caught:
        parse_mapping(mapping)
    assert caught.value.message.startswith(message)


def test_a_filter_too_deep_is_refused() -> None:
    """As with expressions."""
    deep: dict[str, Any] = {"a": 1}
    for _ in range(300):
        deep = {"$and": [deep]}
    with pytest.raises(ConditionError, match="nested at most 50 deep"):
        parse_mapping(deep)
    with pytest.raises(ConditionError, match="nested at most 50 deep"):
        parse_mapping({"a": _nested(300)})


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"x": 1}
    for _ in range(levels):
        value = {"x": value}
    return value


KEYS = st.sampled_from(
    [
        "a",
        "a.b",
        "$gt",
        "$in",
        "$not",
        "$and",
        "$or",
        "$elemMatch",
        "$regex",
        "$options",
        "$all",
        "$type",
        "$size",
        "$mod",
        "$exists",
        "$oid",
        "$date",
        "$numberLong",
        "$binary",
        "$regularExpression",
        "",
        "$",
        "$code",
        "$uuid",
    ]
)
ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=3))
@settings(max_examples=400, deadline=None)
def test_any_mapping_is_read_or_refused_as_a_condition(mapping: dict[str, Any]) -> None:
    """Nothing but ConditionError comes out of `parse_mapping`."""
    try:
        condition = parse_mapping(mapping)
    except ConditionError:
        return
    assert condition.describe()
    assert isinstance(condition.pushdown("fullDocument").filter, dict)


def test_the_text_of_a_filter_is_compact_extended_json() -> None:
    """It is what `explain` shows and what two conditions are compared by."""
    assert parse_mapping({"a": {"$gt": Decimal128("5")}}).text == '{"a":{"$gt":{"$numberDecimal":"5"}}}'
