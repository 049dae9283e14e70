"""Which tables a name or a pattern means, and which column is meant."""

import pytest

from mtrigger.sources.table_names import TableName, column_among, matching, parsed


@pytest.mark.parametrize(
    ("pattern", "names", "found"),
    [
        ("orders", ["orders", "Orders"], ["orders"]),
        ("ORDERS", ["orders", "items"], ["orders"]),
        ("Orders", ["orders", "ORDERS"], ["ORDERS", "orders"]),
        ("ord*", ["orders", "ORDER_ITEMS", "items"], ["ORDER_ITEMS", "orders"]),
        ("*", ["a", "b"], ["a", "b"]),
        ("a.b*", ["a.bc", "axbc"], ["a.bc"]),
        ("orders", ["items"], []),
    ],
)
def test_names_that_a_pattern_means(pattern: str, names: list[str], found: list[str]) -> None:
    assert matching(pattern, names) == found


@pytest.mark.parametrize(
    ("text", "name"), [("orders", TableName("", "orders")), ("soe.orders", TableName("soe", "orders"))]
)
def test_a_name_has_a_schema_or_not(text: str, name: TableName) -> None:
    assert parsed(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    ("wanted", "columns", "found"),
    [
        ("ORDER_ID", ["order_id", "amount"], "order_id"),
        ("id", ["id", "ID"], "id"),
        ("Id", ["id", "ID"], None),
        ("i*", ["id"], None),
        ("gone", ["id"], None),
    ],
)
def test_a_column_is_meant_if_only_one_can_be(wanted: str, columns: list[str], found: str | None) -> None:
    assert column_among(wanted, columns) == found
