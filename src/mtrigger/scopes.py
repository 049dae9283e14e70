"""What templates, functions and other actions see of a delivery: the names documented for users.

One place makes them, so that a mail, a webhook and a preview can never disagree.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mtrigger.actions.base import Work
from mtrigger.deliveries import Delivery
from mtrigger.events import MESSAGE, ChangeEvent, Document
from mtrigger.messages import COLLECTIONS
from mtrigger.rules import Rule

NO_FACTS: Mapping[str, Any] = {}


def work_for(rule: Rule, delivery: Delivery, now: datetime, facts: Mapping[str, Any] = NO_FACTS) -> Work:
    """The next attempt at `delivery`, as its action sees it; `facts` as for `scope_of`."""
    attempt = delivery.attempts + 1
    return Work(
        scope=scope_of(rule, delivery.event, {"id": delivery.id, "attempt": attempt}, now, facts),
        rule=rule.name,
        action=delivery.action,
        delivery_id=delivery.id,
        attempt=attempt,
        several="documents" in facts,
        depth=delivery.depth,
        through=delivery.through,
    )


def scope_of(
    rule: Rule,
    event: ChangeEvent,
    delivery: Mapping[str, Any],
    now: datetime,
    facts: Mapping[str, Any] = NO_FACTS,
) -> dict[str, Any]:
    """The names of section "What templates see" in docs/rules.md.

    `document` of a delete is its last known state; where none is known, its key. `message` is None but for
    rules of topics, whose `document` is the body. `facts` are what is known of
    several events together (`held_back`, `count`, `group`, `documents`, `more`, `sums`, `resolved`, `since`);
    without them the scope tells of a single event.
    """
    document = document_of(event)
    return {
        "document": document,
        "message": _message(event) if event.operation == MESSAGE else None,
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
        "held_back": 0,
        "count": 1,
        "group": NO_FACTS,
        "documents": [document],
        "more": 0,
        "sums": NO_FACTS,
        "resolved": False,
        "since": None,
        **facts,
    }


def document_of(event: ChangeEvent) -> Document:
    """What actions see as `document`: of a message the body, if that is one."""
    document = event.document if event.document is not None else event.key
    if event.operation != MESSAGE:
        return document
    body = document.get("body")
    return body if isinstance(body, Mapping) else NO_FACTS


def _message(event: ChangeEvent) -> dict[str, Any]:
    """What actions see as `message`."""
    stored = event.document if event.document is not None else event.key
    return {
        "id": event.key.get("_id"),
        "key": stored.get("key"),
        "time": event.time,
        "headers": stored.get("headers") or NO_FACTS,
        "body": stored.get("body"),
        "source": stored.get("source") or NO_FACTS,
        "topic": event.collection.removeprefix(COLLECTIONS),
        "offset": stored.get("offset", 0),
    }
