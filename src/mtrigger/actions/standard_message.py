"""What an action that sends a whole event says about it: one shape, whichever way it goes."""

from typing import Any

from mtrigger.actions.base import Work
from mtrigger.actions.held_back import HELD_BACK, held_back
from mtrigger.templates import printed


def standard_message(work: Work) -> dict[str, Any]:
    """The payload of section "Webhooks: what is sent" in docs/actions.md."""
    return {
        "type": work.rule,
        "timestamp": printed(work.scope["event"]["time"]),
        "data": standard_data(work),
    }


def standard_data(work: Work) -> dict[str, Any]:
    """Its `data`: the change, which delivery tells of it, whether what the rule fired for is over and since
    when it was so, and how many like it were held back, if any; of several documents together (what a
    schedule's query finds, what was gathered) the documents, their number and their sums; and of a topic's
    rule the message."""
    scope = work.scope
    event = scope["event"]
    data = {
        "rule": work.rule,
        "operation": event["operation"],
        "namespace": f"{event['database']}.{event['collection']}" if event["database"] else "",
        "document": scope["document"],
        "before": scope["before"],
        "changed": scope["changed"],
        "delivery_id": work.delivery_id,
    }
    if (message := scope.get("message")) is not None:
        data["message"] = message
    if work.several:
        data |= {name: scope[name] for name in ("documents", "count", "more")}
    if sums := scope.get("sums"):
        data["sums"] = sums
    if scope.get("resolved"):
        data["resolved"] = True
    if (since := scope.get("since")) is not None:
        data["since"] = since
    if count := held_back(work):
        data[HELD_BACK] = count
    return data
