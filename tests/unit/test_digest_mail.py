"""The template for digests that comes with the project makes a good mail of any orders."""

from pathlib import Path
from typing import Any

import pytest
from bson.decimal128 import Decimal128

from mtrigger.actions.base import Preview
from mtrigger.actions.email import KIND
from mtrigger.actions.email_settings import EmailConfig
from mtrigger.actions.services import Services
from mtrigger.templates import Templates
from support.works import work_for_document

TEMPLATES = Templates(Path(__file__).parents[2] / "templates")
CONFIG = EmailConfig.model_validate(
    {"to": "sales@example.com", "subject": "{{ count }} big orders", "template": "digest.html.j2"}
)

ORDERS: list[dict[str, Any]] = [
    {"_id": 1, "order_id": "SO-1", "amount": Decimal128("15230.50"), "currency": "USD", "customer": "Bosun"},
    {"_id": 2, "order_id": "SO-2", "amount": 20_000, "customer": {"name": "Hanseatic <Marine>"}},
    {"_id": "odd", "amount": "a lot", "customer": None},
    {"_id": "empty"},
]


def mail(**facts: Any) -> Preview:
    documents = facts.setdefault("documents", ORDERS)
    work = work_for_document(documents[0], **{"group": {}, "sums": {}, "more": 0, "count": 4, **facts})
    return KIND.open(CONFIG, Services(TEMPLATES)).preview(work)


def test_it_lists_orders_and_says_how_many_there_are_beside_them() -> None:
    """Numbers, amounts with their currency, customers by name, and the sums."""
    found = mail(count=4_825, more=4_821, sums={"amount": Decimal128("70000.10")}, group={"region": "EMEA"})
    for part in ("Text", "HTML"):
        content = found.parts[part]
        for fact in ("4,825", "EMEA", "70,000.10", "SO-1", "$15,230.50", "20,000.00", "and 4,821 more"):
            assert fact in content, (part, fact)
    assert "Hanseatic &lt;Marine&gt;" in found.parts["HTML"]
    assert "Bosun" in found.parts["HTML"]


@pytest.mark.parametrize("number", range(len(ORDERS)))
def test_no_order_is_too_odd_for_it(number: int) -> None:
    """Whatever a document lacks, the mail is made."""
    found = mail(documents=[ORDERS[number]], count=1)
    assert str(ORDERS[number].get("order_id", ORDERS[number]["_id"])) in found.parts["Text"]
    assert "more" not in found.parts["Text"]


def test_hostile_documents_stay_text() -> None:
    """In a cell, and in the group's name."""
    evil = "<script>alert(1)</script>"
    found = mail(documents=[{"_id": evil, "customer": evil}], group={"region": evil})
    assert "<script>" not in found.parts["HTML"]
