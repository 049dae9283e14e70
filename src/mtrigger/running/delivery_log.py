"""What the log says of deliveries: one line an attempt, always with the rule, the action and the id."""

import logging
from collections.abc import Sequence

from mtrigger.deliveries import Dead, Delivered, Delivery, Outcome, Retrying, Settlement, Suppressed
from mtrigger.ownership.lease import Interrupted

log = logging.getLogger(__name__)

MOST_NAMED = 20
"""Outcomes that are named one by one when they cannot be written."""


def tell(delivery: Delivery, outcome: Outcome) -> None:
    """Say what one attempt came to."""
    if not log.isEnabledFor(logging.INFO if isinstance(outcome, Delivered | Suppressed) else logging.WARNING):
        return
    names = _names(delivery)
    event = f"{delivery.event.operation} {delivery.event.namespace}".rstrip()
    match outcome:
        case Delivered(detail):
            log.info("delivered: %s (%s)", event, detail or "done", extra=names)
        case Suppressed(reason):
            log.info("suppressed: %s (%s)", event, reason, extra=names)
        case Retrying(error, due_at):
            log.warning(
                "failed, tried again at %s: %s", due_at.isoformat(timespec="seconds"), error, extra=names
            )
        case Dead(error):
            again = f"mtrigger deliveries retry {delivery.id}"
            log.error("dead: %s (to try again: %s)", error, again, extra=names)


def tell_interrupted(delivery: Delivery, error: Interrupted) -> None:
    """Say that an attempt was cut off, which does not count."""
    log.warning("interrupted, and made again by whoever owns the stream: %s", error, extra=_names(delivery))


def tell_unwritten(settlements: Sequence[Settlement]) -> None:
    """Say which outcomes are not known to be stored when it ends: their actions have run and run again."""
    for settlement in settlements[:MOST_NAMED]:
        log.error(
            "the outcome (%s) could not be written: the next start runs the action again, with the same id",
            type(settlement.outcome).__name__.lower(),
            extra=_names(settlement.delivery),
        )
    if len(settlements) > MOST_NAMED:
        log.error("neither could %d more outcomes", len(settlements) - MOST_NAMED)


def _names(delivery: Delivery) -> dict[str, str]:
    return {"rule": delivery.rule, "action": delivery.action, "delivery": delivery.id}
