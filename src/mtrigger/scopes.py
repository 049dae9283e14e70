"""What templates, functions and other actions see of a delivery: the names documented for users.

One place makes them, so that a mail, a webhook and a preview can never disagree.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mtrigger.actions.base import Work
from mtrigger.deliveries import Delivery
from mtrigger.events import ChangeEvent
from mtrigger.rules import Rule


def work_for(rule: Rule, delivery: Delivery, now: datetime) -> Work:
    """The next attempt at `delivery`, as its action sees it."""
    attempt = delivery.attempts + 1
    return Work(
        scope=scope_of(rule, delivery.event, {"id": delivery.id, "attempt": attempt}, now),
        rule=rule.name,
        action=delivery.action,
        delivery_id=delivery.id,
        attempt=attempt,
    )


def scope_of(rule: Rule, event: ChangeEvent, delivery: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The names of section "What templates see" in docs/rules.md.

    `document` of a delete is its last known state; where none is known, its key.
    """
    return {
        "document": event.document if event.document is not None else event.key,
        "before": event.before,
        "event": {
            "operation": event.operation,
            "database": event.database,
            "collection": event.collection,
            "key": event.key,
            "time": event.time,
            "id": event.token,
        },
        "rule": {"name": rule.name, "description": rule.description},
        "delivery": delivery,
        "changed": event.changed,
        "now": now,
    }
