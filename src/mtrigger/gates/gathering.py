"""The gates of what is gathered for a digest: asked about each delivery when it comes, and about the whole
when its window closes. Pure.

What one change alone decides (its age, a silence with a condition) is decided when it comes; a window may be
longer than `max_age`. What holds for the rule as a whole (a silence, hours) is asked again when it closes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bson.decimal128 import Decimal128
from cronsim import CronSim

from mtrigger.deliveries import Delivery
from mtrigger.events import Document
from mtrigger.gates.admitting import Admission, Suppress, admission
from mtrigger.gates.silences import Wishes
from mtrigger.gates.state import NOTHING_YET
from mtrigger.quiet import Digest
from mtrigger.rules import Rule


def closing_time(digest: Digest, begun: datetime) -> datetime:
    """When the window closes whose first delivery was created when it had `begun`: a pure function of that,
    so nothing else has to be kept."""
    if digest.every is not None:
        return begun + timedelta(seconds=digest.every)
    return next(CronSim(digest.cron, begun.astimezone(digest.zone))).astimezone(UTC)


def closes_in(digest: Digest, begun: datetime, now: datetime) -> float:
    """Seconds until the window closes, 0 if it has; never longer than `every`, however clocks were set."""
    wait = max(0.0, (closing_time(digest, begun) - now).total_seconds())
    return wait if digest.every is None else min(wait, digest.every)


def arrival(rule: Rule, delivery: Delivery, wishes: Wishes, now: datetime) -> Suppress | None:
    """Whether `delivery`, which has just come, is left out."""
    if not rule.is_gated and not wishes.concern(rule.name):
        return None
    verdict = admission(rule, delivery, NOTHING_YET, wishes, now).verdict
    return verdict if isinstance(verdict, Suppress) else None


def closing(rule: Rule, head: Delivery, wishes: Wishes, now: datetime) -> Admission:
    """What becomes of all that was gathered with `head`, now that its window has closed."""
    silences = [silence for silence in wishes.silences.get(rule.name, ()) if silence.condition is None]
    of_all = replace(wishes, silences={rule.name: tuple(silences)})
    return admission(replace(rule, max_age=None), head, NOTHING_YET, of_all, now)


def facts_of(documents: Sequence[Document], count: int, sums: Mapping[str, Any]) -> dict[str, Any]:
    """What actions see of a digest of `count` changes that lists `documents`, with `sums` over all."""
    return {
        "document": documents[0] if documents else {},
        "documents": list(documents),
        "count": count,
        "more": count - len(documents),
        "sums": sums,
    }


def total(values: Iterable[Any]) -> Any:
    """The sum of the numbers among `values`, as the server makes it."""
    numbers = [value for value in values if isinstance(value, int | float | Decimal128)]
    numbers = [number for number in numbers if not isinstance(number, bool)]
    if not any(isinstance(number, Decimal128) for number in numbers):
        return sum(numbers)
    return Decimal128(
        sum(
            number.to_decimal() if isinstance(number, Decimal128) else Decimal(str(number))
            for number in numbers
        )
    )
