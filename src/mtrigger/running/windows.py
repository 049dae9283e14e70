"""The line of a rule with a digest: of each lane it holds the head alone, until its window closes.

What is gathered behind a head lies in the outbox and nowhere else, so the memory this takes does not depend
on how much there is. There are at most as many heads as a line may hold deliveries; the others, whose windows
begin later, are loaded in their turn.

Pure: no I/O, no clock. The promise: as long as a lane has open rows, it has a head here, or the line knows
that it is `incomplete`. (A head that was settled meanwhile does no harm: whoever closes its window asks.)
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from mtrigger.deliveries import Delivery
from mtrigger.grouping import gathering
from mtrigger.quiet import Digest
from mtrigger.running.lanes import Line


class Windows(Line):
    """The heads of one action of one rule."""

    def __init__(
        self,
        capacity: int,
        digest: Digest,
        closes_at: Callable[[Delivery], datetime],
        *,
        behind: str | None = None,
    ) -> None:
        """An empty line, as `Line`. `closes_at` says when the window of a head closes, in steady time.

        `has_strays` is whether rows may lie in other lanes of the outbox, or half settled by an earlier life.
        """
        super().__init__(capacity, behind=behind)
        self.digest = digest
        self.lanes = gathering(digest.per)
        self._closes_at = closes_at
        self._following: dict[str, Delivery] = {}
        self.has_strays = self.incomplete

    def will_take(self, number: int) -> bool:
        """Never: what is gathered needs no room."""
        return False

    def offer(self, delivery: Delivery) -> None:
        """Take note of a delivery that has just become durable: it begins a window, or goes with one."""
        lane = delivery.lane
        if not lane.startswith(self.lanes):
            self.has_strays = True  # it was stored for the rule as it was before
            self._leave(delivery)
        elif lane not in self._lanes:
            if self.room and not self.incomplete:
                self._begin(delivery)
            else:
                self._leave(delivery)
        elif self._lanes[lane][0].id in self._running:  # what is sent at this moment may be without it
            self._following.setdefault(lane, delivery.without_event())

    def asking(self) -> tuple[int, int]:
        """How many heads to load, the oldest ones; and a mark to give back to `take_heads`."""
        return self._capacity, self._refused

    def take_heads(self, heads: Sequence[Delivery], asked: int, mark: int) -> None:
        """Take the heads that were loaded for `asking()`, as far as there is room. Fewer than asked for are
        all of them, unless some delivery was left in the outbox meanwhile."""
        new = [head for head in heads if head.lane not in self._lanes]
        all_of_them = len(heads) < asked and len(new) <= self.room and mark == self._refused
        for head in new[: self.room]:
            self._begin(head)
        self.incomplete = not all_of_them

    def reopen(self, delivery: Delivery) -> None:
        """An operator wants `delivery` tried now: a head stops waiting, anything else goes with one."""
        head = self._lanes.get(delivery.lane)
        if head is None or head[0].id != delivery.id:
            self.offer(delivery)
        elif delivery.id not in self._running:
            self._stop_waiting(replace(delivery.without_event(), due_at=None))

    def finish(self, delivery: Delivery) -> None:
        """A head is settled, or it was none: what came meanwhile begins the next window."""
        super().finish(delivery)
        if (following := self._following.pop(delivery.lane, None)) is not None:
            self._begin(following)

    def retry(self, delivery: Delivery) -> None:
        """A head waits for its next attempt; what came meanwhile goes with that."""
        self._following.pop(delivery.lane, None)
        super().retry(delivery.without_event())

    def _begin(self, head: Delivery) -> None:
        due_at = head.due_at if head.due_at is not None else self._closes_at(head)
        self._append(replace(head.without_event(), due_at=due_at), head.created_at)
