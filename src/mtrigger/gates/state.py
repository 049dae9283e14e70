"""What is remembered of one group (`per:`) of one action of one rule, both ways as a row's fields."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

LEFT_OUT_KNOWN = 64
"""Deliveries that were left out last and are known by their ids. Their outcomes are durable before there are
more of them (see `running/gatekeeping.py`), so whoever is asked about again is among them."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """The memory of a group.

    `passed` is the delivery that was let through last, `left_out` those that were left out last: asked about
    again, they are told the same. `times` are the event times that count. `sent_at` is when `sent_by` was
    sent, which told of `told` that had been kept back before it; `held_back` were kept back since.
    """

    passed: str = ""
    left_out: tuple[str, ...] = ()
    times: tuple[datetime, ...] = ()
    sent_at: datetime | None = None
    sent_by: str = ""
    told: int = 0
    held_back: int = 0

    def leaving_out(self, delivery_id: str) -> Self:
        """The memory once this delivery was left out."""
        return replace(self, left_out=(*self.left_out, delivery_id)[-LEFT_OUT_KNOWN:])

    def to_fields(self) -> dict[str, Any]:
        """The state as fields of a row."""
        return {
            "passed": self.passed,
            "left_out": list(self.left_out),
            "times": list(self.times),
            "sent_at": self.sent_at,
            "sent_by": self.sent_by,
            "told": self.told,
            "held_back": self.held_back,
        }

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Read back what `to_fields` wrote; what another version did not write is as in the beginning."""
        return cls(
            passed=fields.get("passed", ""),
            left_out=tuple(fields.get("left_out", ())),
            times=tuple(fields.get("times", ())),
            sent_at=fields.get("sent_at"),
            sent_by=fields.get("sent_by", ""),
            told=fields.get("told", 0),
            held_back=fields.get("held_back", 0),
        )


NOTHING_YET = GroupState()
