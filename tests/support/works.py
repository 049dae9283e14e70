"""An attempt at a delivery, as actions are given it."""

from datetime import UTC, datetime
from typing import Any

from mtrigger.actions.base import Work

DELIVERY_ID = "0123456789abcdef0123456789abcdef"


def work_for_document(document: dict[str, Any], **names: Any) -> Work:
    """The first attempt at a delivery for an inserted document; `names` replace names of the scope."""
    time = datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)
    scope = {
        "document": document,
        "message": None,
        "before": None,
        "event": {
            "operation": "insert",
            "database": "shop",
            "collection": "orders",
            "key": {"_id": document.get("_id")},
            "time": time,
            "id": "8265",
        },
        "rule": {"name": "big-order", "description": ""},
        "delivery": {"id": DELIVERY_ID, "attempt": 1},
        "changed": dict(document),
        "now": time,
        "held_back": 0,
        "count": 1,
        "group": {},
        "documents": [document],
        "more": 0,
        "sums": {},
        "resolved": False,
        "since": None,
    }
    several = "documents" in names
    return Work({**scope, **names}, "big-order", "webhook", DELIVERY_ID, 1, several)
