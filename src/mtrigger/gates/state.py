"""What is remembered of one group (`per:`) of one action of one rule, both ways as a row's fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class GroupState:
    """The memory of a group.

    `times` are the event times that count, up to the position `counted_to`, and `fired_by` is the delivery
    that the count let through last. `sent_at` is when `sent_by` was sent; `held_back` were kept back since,
    up to the position `held_to`.
    """

    counted_to: str = ""
    times: tuple[datetime, ...] = ()
    fired_by: str = ""
    sent_at: datetime | None = None
    sent_by: str = ""
    held_back: int = 0
    held_to: str = ""

    def to_fields(self) -> dict[str, Any]:
        """The state as fields of a row."""
        return {
            "counted_to": self.counted_to,
            "times": list(self.times),
            "fired_by": self.fired_by,
            "sent_at": self.sent_at,
            "sent_by": self.sent_by,
            "held_back": self.held_back,
            "held_to": self.held_to,
        }

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> "GroupState":
        """Read back what `to_fields` wrote."""
        return cls(
            counted_to=fields["counted_to"],
            times=tuple(fields["times"]),
            fired_by=fields["fired_by"],
            sent_at=fields["sent_at"],
            sent_by=fields["sent_by"],
            held_back=fields["held_back"],
            held_to=fields["held_to"],
        )


NOTHING_YET = GroupState()
