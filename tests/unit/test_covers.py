"""Which tests the server is asked for many conditions together, and when it is asked none."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from mtrigger.conditions import parse, parse_mapping
from mtrigger.pushdown import costs
from mtrigger.pushdown.covers import DELETED, NEVER, STORED, UPDATED, any_of, covers
from mtrigger.pushdown.updates import touch

DAY = datetime(2026, 1, 31, tzinfo=UTC)
SET = "updateDescription.updatedFields"


def asked(*texts: Any) -> dict[str, Any]:
    """What inserts are asked for these conditions; `$and` flattened, for reading."""
    conditions = [parse(text) if isinstance(text, str) else parse_mapping(text) for text in texts]
    return any_of(share.filter for share in covers(conditions, STORED))


def one(name: str, **test: Any) -> dict[str, Any]:
    return {f"fullDocument.{name}": {f"${operator}": value for operator, value in test.items()}}


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["a > 5"], one("a", gt=5)),
        (["a > 5", "a > 3", "a > 9"], one("a", gt=3)),
        (["a > 3", "a >= 3"], one("a", gte=3)),
        (["a < 5", "a <= 5", "a < 2"], one("a", lte=5)),
        (["a > 5", "a == 3", "a == 30"], one("a", gte=3)),
        (["a == 'x'", "a == 'y'"], one("a", **{"in": ["x", "y"]})),
        (["a == 'x'", "a == 'x' and b > 1"], one("a", eq="x")),
        (
            ["c == 'x' and a > 1", "c == 'y' and a > 2"],
            {**one("c", **{"in": ["x", "y"]}), **one("a", gt=1)},
        ),
        (["a > 1 and a < 5", "a > 2 and a < 9"], {"$and": [one("a", gt=1), one("a", lt=9)]}),
        (["a > 5", "b > 5"], {"$or": [one("a", gt=5), one("b", gt=5)]}),
        (["a > 5 or b == 1", "a > 3 or b == 2"], {"$or": [one("a", gt=3), one("b", **{"in": [1, 2]})]}),
        (["a > 5", "a > 'x'"], {"$or": [one("a", gt=5), one("a", gt="x")]}),
        (["false", "a > 5"], one("a", gt=5)),
        (["false"], NEVER),
        (["a > 5", "$..b == 1"], {}),
    ],
)
def test_what_inserts_are_asked(texts: list[str], found: dict[str, Any]) -> None:
    """Keys together, the least of the bounds, tests on one field apart, types apart."""
    assert asked(*texts) == found


@pytest.mark.parametrize(
    ("values", "least"),
    [
        ([Int64(2**53 + 1), float(2**53)], float(2**53)),
        ([Int64(2**53), float(2**53 + 2)], Int64(2**53)),
        ([Decimal128("0.1"), 0.1], Decimal128("0.1")),
        ([Decimal128("-Infinity"), -1e300], Decimal128("-Infinity")),
    ],
)
def test_the_least_of_numbers_is_found_exactly_whatever_their_types(values: list[Any], least: Any) -> None:
    """Rounded to doubles, some of these would be equal."""
    assert asked(*({"a": {"$gt": value}} for value in values)) == one("a", gt=least)


@pytest.mark.parametrize("value", [float("nan"), Decimal128("NaN"), None, True, {"x": 1}, [1]])
def test_what_has_no_order_is_never_a_bound(value: Any) -> None:
    """NaN is below every number in the sort order and in no comparison."""
    filters = asked({"a": {"$gte": value}}, {"a": {"$gte": 5}})

    assert {"$gte": 5} in [test["fullDocument.a"] for test in filters["$or"]]
    assert len(filters["$or"]) == 2


def test_keys_and_a_bound_of_another_type_are_not_merged() -> None:
    """`a > 5` never holds for a date, so the date is asked for by itself."""
    assert asked({"a": DAY}, "a > 5") == {"$or": [one("a", eq=DAY), one("a", gt=5)]}


def test_few_conditions_are_branches_of_their_own_and_many_are_not_asked_for() -> None:
    """What nothing can be shared of: each branch is tried for each event, so their number is bounded."""
    patterns = [f"matches(s, '{letter}')" for letter in "abcdefghijklmnopqrstuvwxyz"]

    assert len(asked(*patterns[:3])["$or"]) == 3
    assert asked(*patterns) == {}


@pytest.mark.parametrize("number", [1, 3, 10, 100])
@pytest.mark.parametrize("text", ["a > {}", "k == 'K{}' and a > {}", "matches(s, 'x{}') and a > 1"])
def test_no_filter_costs_more_than_sending_every_event(number: int, text: str) -> None:
    """The promise of the cost model."""
    assert costs.expense(asked(*(text.format(n, n) for n in range(number)))) <= costs.EVENT


@pytest.mark.parametrize(
    ("cheaper", "dearer"),
    [
        (one("a", **{"in": list(range(1_000))}), {"$or": [one("a", eq=n) for n in range(10)]}),
        (one("a", gt=1), {**one("a", gt=1), **one("b", gt=1)}),
        (one("a", gt=1), {"$expr": {"$gt": ["$fullDocument.a", 1]}}),
        ({}, one("a", gt=1)),
    ],
)
def test_the_price_of_tests(cheaper: dict[str, Any], dearer: dict[str, Any]) -> None:
    """An `$in` is one search, an `$or` is all its branches."""
    assert costs.price(cheaper) < costs.price(dearer)


@pytest.mark.parametrize(
    ("narrower", "wider"),
    [
        (one("a", eq=1), one("a", gt=1)),
        ({**one("a", gt=1), **one("b", gt=1)}, one("a", gt=1)),
        (one("a", gt=1), {"$or": [one("a", gt=1), one("b", gt=1)]}),
        (one("a", gt=1), {}),
        (NEVER, one("a", eq=1)),
    ],
)
def test_the_share_that_passes(narrower: dict[str, Any], wider: dict[str, Any]) -> None:
    """Guesses, but never the wrong way round."""
    assert 0 <= costs.share(narrower) < costs.share(wider) <= 1


def test_an_update_is_let_through_unless_what_it_set_says_no() -> None:
    """A field it did not set, or set to what a dotted name may change further, is not known."""
    (share,) = covers([parse("a > 5")], UPDATED)

    assert share.filter == {
        "$and": [
            {
                "$or": [
                    {f"{SET}.a": {"$gt": 5}},
                    {f"{SET}.a": {"$exists": False}},
                    {f"{SET}.a": {"$type": ["object", "array"]}},
                ]
            },
            {"$or": [{"fullDocument": None}, one("a", gt=5)]},
        ]
    }


def test_of_a_nested_path_an_update_says_nothing() -> None:
    """`a.b` is one literal name in what an update set; no path finds it there."""
    (share,) = covers([parse("a.b > 5")], UPDATED)

    assert share.filter == {"$or": [{"fullDocument": None}, one("a.b", gt=5)]}


def test_a_delete_is_let_through_where_its_document_is_not_known() -> None:
    """Without a pre-image the rule sees the key alone."""
    (share,) = covers([parse("a > 5")], DELETED)

    image = "fullDocumentBeforeChange"
    assert share.filter == {"$or": [{image: None}, {f"{image}.a": {"$gt": 5}}]}


def test_with_too_many_names_of_fields_all_updates_are_let_through() -> None:
    """Each of them is looked for in every name that an update touched."""
    assert touch(["a", "b.c"]) != {}
    assert touch(f"field{n}" for n in range(100)) == {}
