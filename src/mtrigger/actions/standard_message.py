"""What an action that sends a whole event says about it: one shape, whichever way it goes."""

from typing import Any

from mtrigger.actions.base import Work
from mtrigger.templates import printed


def standard_message(work: Work) -> dict[str, Any]:
    """The payload of section "webhook" in docs/rules.md."""
    return {
        "type": work.rule,
        "timestamp": printed(work.scope["event"]["time"]),
        "data": standard_data(work),
    }


def standard_data(work: Work) -> dict[str, Any]:
    """Its `data`: the change, and which delivery tells of it."""
    scope = work.scope
    event = scope["event"]
    return {
        "rule": work.rule,
        "operation": event["operation"],
        "namespace": f"{event['database']}.{event['collection']}",
        "document": scope["document"],
        "before": scope["before"],
        "changed": scope["changed"],
        "delivery_id": work.delivery_id,
    }
