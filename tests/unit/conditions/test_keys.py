"""Values as keys: looked up, they are equal and in order exactly as compared one by one."""

from itertools import product
from typing import Any
from uuid import UUID

import pytest
from bson.decimal128 import Decimal128
from bson.regex import Regex

from mtrigger.conditions.keys import NULL, key, keys_at
from mtrigger.conditions.paths import values_at
from mtrigger.conditions.syntax import Each
from mtrigger.conditions.values import MISSING, matches
from support.random_documents import DATES, DECIMALS, DOUBLES, IDS, OTHERS, STRINGS, WHOLE_NUMBERS

VALUES: list[Any] = [
    *(*WHOLE_NUMBERS, *DOUBLES, *DECIMALS, *STRINGS, *DATES, *IDS, *OTHERS),
    *(MISSING, UUID(int=0), UUID(int=7), Decimal128("sNaN"), [], [1], {}, {"a": 1}),
]
KEYED = [(value, found) for value in VALUES if (found := key(value)) is not None]


def test_most_kinds_of_values_have_a_key() -> None:
    """Those that rules compare with."""
    without = {type(value).__name__ for value in VALUES if key(value) is None}
    assert without == {"MinKey", "MaxKey", "Regex", "Code", "list", "dict"}


def test_keys_are_equal_where_values_are() -> None:
    """Over all pairs: numbers across their types, dates, null and what is missing, NaN."""
    for (one, one_key), (other, other_key) in product(KEYED, KEYED):
        is_equal = matches("==", one, other)
        assert (one_key == other_key) is is_equal, (one, other)
        assert not is_equal or hash(one_key) == hash(other_key), (one, other)


def test_keys_of_a_kind_are_in_the_order_of_the_values() -> None:
    """And values of two kinds are in none."""
    for (one, one_key), (other, other_key) in product(KEYED, KEYED):
        in_order = one_key[0] == other_key[0] and one_key[1] < other_key[1]
        assert in_order is matches("<", one, other), (one, other)


def test_what_has_no_key_equals_nothing_that_has_one() -> None:
    """So a dictionary of keys can pass it over."""
    without = [value for value in VALUES if key(value) is None]
    assert not any(matches("==", one, other) for one, (other, _) in product(without, KEYED))


@pytest.mark.parametrize(
    "path", [("a",), ("a", "b"), ("a", "0"), ("nope",), ("a", Each.ELEMENT), (Each.ELEMENT, "a")], ids=str
)
@pytest.mark.parametrize(
    "found",
    [1, "x", None, Regex("a"), [], [1, [2]], {"b": 5}, {"b": [6, 7]}, [{"b": 8}, {}], [[{"b": 9}]]],
    ids=str,
)
def test_the_keys_at_a_path_are_those_of_its_values(path: tuple[Any, ...], found: Any) -> None:
    """The short way through plain documents leads to the same."""
    document = {"a": found}
    expected = [one for value in values_at(document, path) if (one := key(value)) is not None]
    assert keys_at(document, path) == expected


def test_null_is_the_key_of_what_is_missing() -> None:
    """`deleted == null` is found in a document without `deleted`."""
    assert keys_at({}, ("deleted",)) == keys_at({"deleted": None}, ("deleted",)) == [NULL]
