"""When a rule keeps itself busy: `loop_guard`. Pure.

Two signs: a change was caused by rules' own writes through too many links, or a rule fires too often for one
document. The first one needs to know what caused a change (`mtrigger.effects.Cause`), which is known of
writes; the second one is seen whatever the way of the loop, also through functions.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mtrigger.config_types import format_duration
from mtrigger.deliveries import Delivery
from mtrigger.quiet import LoopGuard

LONGEST_KEY = 100
"""Characters of a document's key that are shown."""


class Firing(NamedTuple):
    """A rule fired for a document: the time of the change, and the delivery."""

    at: datetime
    delivery: str


def firings(guard: LoopGuard, before: Sequence[Firing], delivery: Delivery) -> tuple[Firing, ...]:
    """The firings for one document that count together with `delivery`, which is among them, once.

    The changes' own times count: what is caught up with after a stop comes at once, but did not happen so.
    """
    at = delivery.event.time
    since = at - timedelta(seconds=guard.within)
    others = (firing for firing in before if firing.delivery != delivery.id and since < firing.at <= at)
    return (*others, Firing(at, delivery.id))


def caught(guard: LoopGuard, delivery: Delivery, fired: Sequence[Firing]) -> str:
    """Why the rule of `delivery`, which `fired` for its document, is to be paused; "" if it is not."""
    if delivery.depth > guard.depth:
        what = _shown(delivery)
        links = "1 link" if delivery.depth == 1 else f"{delivery.depth} links"
        rules = ", ".join(delivery.through)
        several = "rules" if len(delivery.through) > 1 else "the rule"
        return (
            f"it goes round in circles: {what} was caused by writes of {several} {rules} through {links} "
            f"(loop_guard.depth allows {guard.depth})"
        )
    if guard.at_most is not None and len(fired) > guard.at_most:
        what = _shown(delivery)
        return (
            f"it goes round in circles: {what} is number {len(fired)} that it fires for within "
            f"{format_duration(guard.within)} for this document (loop_guard.per_document allows "
            f"{guard.at_most})"
        )
    return ""


def _shown(delivery: Delivery) -> str:
    """The change, with the document's key, not too long."""
    event, key = delivery.event, repr(delivery.event.key.get("_id"))
    shown = key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}…"
    return f"the {event.operation} in {event.namespace} of _id {shown}"
