"""The rule and the templates that come with the project make a good mail of any order."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from mtrigger.actions.base import Preview
from mtrigger.actions.email import KIND
from mtrigger.actions.email_settings import EmailConfig
from mtrigger.actions.services import Services
from mtrigger.loading import RuleSet, load
from support.works import work_for_document

PROJECT = Path(__file__).parents[2]

ORDER: dict[str, Any] = {
    "_id": ObjectId("65a1b2c3d4e5f60718293a4b"),
    "order_id": "SO-10042",
    "customer": {"name": "Hanseatic Marine GmbH", "id": "C-311", "email": "purchasing@hanseatic.example"},
    "region": "EMEA",
    "amount": Decimal128("15230.50"),
    "currency": "USD",
    "items": [
        {"sku": "PMP-400", "name": "Bilge pump", "qty": 12, "price": Decimal128("689.00")},
        {"sku": "NAV-7", "name": "Chart plotter", "qty": 5, "price": 1392.5},
    ],
    "created_at": datetime(2026, 11, 22, 9, 41, tzinfo=UTC),
    "status": "open",
}


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load(PROJECT / "triggers", PROJECT / "templates", {})


def mail(rules: RuleSet, document: dict[str, Any], **names: Any) -> Preview:
    (rule,) = (rule for rule in rules.rules if rule.name == "big-order")
    (action,) = rule.actions
    assert isinstance(action.config, EmailConfig)
    return KIND.open(action.config, Services(rules.templates)).preview(work_for_document(document, **names))


def test_the_mail_says_what_a_sales_manager_wants_to_know(rules: RuleSet) -> None:
    """Amount, customer, order, region, time and items, in both parts; a link to the order."""
    parts = mail(rules, ORDER).parts
    assert parts["To"] == "sales-manager@example.com"
    assert parts["Subject"] == "Big order SO-10042: $15,230.50"
    for part in ("Text", "HTML"):
        for fact in (
            "$15,230.50",
            "Hanseatic Marine GmbH",
            "SO-10042",
            "EMEA",
            "22 Nov 2026, 09:41 UTC",
            "Bilge pump",
        ):
            assert fact in parts[part]
    assert "$8,268.00" in parts["HTML"]
    assert 'href="https://shop.example.com/orders/SO-10042"' in parts["HTML"]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (10001, "10,001.00"),
        (10000.01, "10,000.01"),
        (Int64(2**40), "1,099,511,627,776.00"),
        (Decimal128("15000.50"), "15,000.50"),
        ([1, 20000], "1.00, 20,000.00"),
        (["x", 20000], "x, 20,000.00"),
        (float("inf"), "Infinity"),
    ],
)
def test_every_amount_that_the_rule_lets_through_makes_a_mail(
    rules: RuleSet, amount: Any, shown: str
) -> None:
    """Nothing but an amount is needed."""
    parts = mail(rules, {"_id": 7, "amount": amount}).parts
    assert parts["Subject"] == f"Big order 7: {shown}"
    assert shown in parts["HTML"]
    assert shown in parts["Text"]


ODD: tuple[Any, ...] = (
    None,
    "text",
    5,
    True,
    [],
    {},
    [1, "a", None],
    {"name": None, "email": {"a": 1}},
    ObjectId("6b02dcbb343c50a88d3dfa6b"),
    Int64(0),
)


@pytest.mark.parametrize("field", sorted(set(ORDER) - {"amount", "_id"}))
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_no_odd_field_costs_the_mail(rules: RuleSet, field: str, value: Any) -> None:
    """Whatever another field holds, the sales manager hears of the order."""
    assert "15,230.50" in mail(rules, {**ORDER, field: value}).parts["HTML"]


@pytest.mark.parametrize("value", [*ODD, {"name": None, "qty": "x", "price": [1]}], ids=repr)
def test_no_odd_item_costs_the_mail(rules: RuleSet, value: Any) -> None:
    """Items are what the shop makes of them."""
    assert "15,230.50" in mail(rules, {**ORDER, "items": [value, *ORDER["items"]]}).parts["HTML"]


def test_an_update_shows_the_amount_before(rules: RuleSet) -> None:
    """Where the pre-image is known."""
    event = {"operation": "update", "database": "shop", "collection": "orders", "time": ORDER["created_at"]}
    html = mail(rules, ORDER, before={**ORDER, "amount": 9000}, event=event).parts["HTML"]
    assert "Order grew big" in html
    assert "9000" in html


def test_a_hostile_order_is_only_words(rules: RuleSet) -> None:
    """No tag of a document is a tag of the mail."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    order = {
        **ORDER,
        "order_id": evil,
        "region": evil,
        "status": evil,
        "customer": {"name": evil, "email": evil},
        "items": [{"sku": evil, "name": evil, "qty": evil, "price": evil}],
    }
    html = mail(rules, order).parts["HTML"]
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
