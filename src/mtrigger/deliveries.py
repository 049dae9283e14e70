"""What is owed: a delivery is one action of one rule, owed for one event.

A delivery's id is a pure function of (cluster, event, rule, action), so an event that is read twice owes
nothing twice. The outcomes an attempt can have are values here; turning them into rows is the stores' work.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from mtrigger.effects import Effect
from mtrigger.events import ChangeEvent


class Status(StrEnum):
    """Where a delivery stands. `pending` and `retrying` are open; all others are settled."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    DEAD = "dead"
    SUPPRESSED = "suppressed"
    DISCARDED = "discarded"


OPEN = (Status.PENDING, Status.RETRYING)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One action of one rule, owed for one event.

    `action` is the action's name within its rule ("email", a second one "email-2"); `lane` the sequence the
    delivery must keep its place in; `position` the event's token, by which the deliveries of a line (one
    action of one rule) are ordered. `due_at` is set while a retry waits. `admitted`: an attempt was made, so
    nothing that keeps deliveries back (see `gates`) is asked again. `depth` is through how many links of
    writes the rules themselves have caused the event, and `through` the names of those rules, each once.
    `kept`: once it is settled well its row stays for ever, as the memory that it was. `facts` are what its
    action sees besides the event (see `scopes`). `held_until` is when it was held back last (see
    `running/ageing.py`): from then on it grows old.
    """

    id: str
    rule: str
    action: str
    partition: str
    lane: str
    position: str
    event: ChangeEvent
    created_at: datetime
    attempts: int = 0
    due_at: datetime | None = None
    admitted: bool = False
    depth: int = 0
    through: tuple[str, ...] = ()
    kept: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    held_until: datetime | None = None

    def after(self, outcome: "Retrying") -> Self:
        """The same delivery, waiting for its next attempt."""
        return replace(self, attempts=self.attempts + 1, due_at=outcome.due_at, admitted=True)

    def without_event(self) -> Self:
        """The same delivery without what its event held, which is read when it is needed: many fit into
        memory."""
        return replace(self, event=ChangeEvent.unknown(self.position, ""))


def delivery_id(cluster: str, token: str, rule: str, action: str) -> str:
    """The id of what `rule` owes through `action` for the event at `token`: 32 hexadecimal digits."""
    text = f"{cluster}\0{token}\0{rule}\0{action}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The action has run. `detail` says what came of it ("250 queued", "204")."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Retrying:
    """The action failed; it is due again at `due_at`."""

    error: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Dead:
    """The action failed for good: it stays in the outbox until somebody retries or discards it."""

    error: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The action was left out on purpose; `reason` says which rule of the house."""

    reason: str


Outcome = Delivered | Retrying | Dead | Suppressed


@dataclass(frozen=True, slots=True)
class Memory:
    """What a rule has to remember from one delivery to the next: one row, `id`, of its group. `expires_at` is
    when it may be forgotten."""

    id: str
    rule: str
    fields: Mapping[str, Any]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt came to, ready to be written: the attempt began `at` and took `took` seconds.

    `owes` is what the outcome itself owes (a death is told to rules of dead letters), `remembers` what it
    changed of the rule's memory: both are durable before it. `effect` is what is to be written together with
    a success. `sealed`: the delivery is the head of a digest, and the outcome is that of all that is sealed
    with it (see `stores.digests`).
    """

    delivery: Delivery
    outcome: Outcome
    at: datetime
    took: float
    owes: tuple[Delivery, ...] = ()
    remembers: Memory | None = None
    effect: Effect | None = None
    sealed: bool = False

    @property
    def ended_at(self) -> datetime:
        """When the attempt ended."""
        return self.at + timedelta(seconds=self.took)
