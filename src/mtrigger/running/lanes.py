"""The deliveries of one line that are in memory, in lanes: which may run now, which wait, which come next.

A line is one action of one rule; a lane within it is a sequence that keeps its order, also across retries:
only its first delivery is ever handed out. A line holds at most `capacity` deliveries, fewer when they are
large. What comes beyond stays in the outbox, and as long as anything is there, nothing newer is taken
directly: it must be loaded in its turn.

Pure: no I/O, no clock. The promise: `next` hands out each delivery once per attempt, in order per lane, and
never two of one lane at once. It rests on one invariant: whatever was ever taken has a position up to
`_loaded_to`, so a page of the outbox behind that can only hold what was never taken.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime

from mtrigger.deliveries import Delivery
from mtrigger.events import DEAD_LETTER
from mtrigger.quiet import Per
from mtrigger.stores.base import LARGEST_READ

LARGEST_HELD = 32_000_000
"""Bytes that the events of a line take, as they were sent or stored; once they do, no more are taken."""


def as_placed(delivery: Delivery) -> Delivery:
    """The delivery in the lane it was stored with."""
    return delivery


class Line:
    """The lanes of one action of one rule."""

    def __init__(
        self,
        capacity: int,
        placed: Callable[[Delivery], Delivery] = as_placed,
        per: Per | None = None,
        *,
        behind: str | None = None,
    ) -> None:
        """An empty line. `behind` says that open deliveries wait in the outbox behind that position ("": all
        of them); None, that there are none. `placed` puts a delivery into the lane it has now, as the groups
        of the rule are `per` these paths."""
        self.per = per
        self._placed = placed
        self._capacity = capacity
        self._lanes: dict[str, deque[Delivery]] = {}
        self._held: dict[str, tuple[int, datetime]] = {}
        self._bytes = 0
        self._running: set[str] = set()
        self._doubtful: set[str] = set()
        self._ready: deque[str] = deque()
        self._waiting: list[tuple[datetime, str]] = []
        self._loaded_to = behind or ""
        self._refused = 0
        self._first_refused: str | None = None
        self.incomplete = behind is not None

    def __len__(self) -> int:
        return len(self._held)

    @property
    def running(self) -> int:
        """How many deliveries are handed out and not finished."""
        return len(self._running)

    @property
    def idle(self) -> bool:
        """Whether nothing is held or owed beyond."""
        return not self._held and not self.incomplete

    @property
    def room(self) -> int:
        """How many more deliveries can be held."""
        return max(0, self._capacity - len(self._held)) if self._bytes < LARGEST_HELD else 0

    def will_take(self, number: int) -> bool:
        """Whether so many more would overflow a line that nothing has overflowed yet, and that moves on by
        itself: room for them is only a matter of time."""
        moves = bool(self._running or self._ready)
        return moves and not self.incomplete and number > self.room and number <= self._capacity

    @property
    def wants_more(self) -> bool:
        """Whether it is time to load from the outbox: half of the room is free, or some is and nothing else
        can be done (all that is held waits for its next attempt)."""
        if not self.incomplete:
            return False
        stalled = not self._ready and not self._running
        half_free = len(self._held) < self._capacity / 2 and self._bytes < LARGEST_HELD / 2
        return self.room > 0 and (half_free or stalled)

    def is_doubtful(self, delivery: Delivery) -> bool:
        """Whether `delivery` may have been run already: it came late, was reopened, or is a dead letter. A
        page of the outbox can overtake the offer of what it holds, and an operator's wish an attempt that has
        just ended; and who dies again after a crash owes the letter that was there already."""
        return delivery.id in self._doubtful

    def known_since(self, delivery: Delivery) -> datetime:
        """When `delivery`, which is held, was last known to be owed: when it was stored, or loaded."""
        return self._held[delivery.id][1]

    def offer(self, delivery: Delivery) -> None:
        """Take a delivery that has just become durable, or leave it in the outbox when there is no room."""
        if delivery.id in self._held:
            return
        delivery = self._placed(delivery)
        if delivery.position <= self._loaded_to:  # loading has passed its place: nobody else will bring it
            self._doubtful.add(delivery.id)
            self._append(delivery, delivery.created_at)
        elif self.room and not self.incomplete:
            self._loaded_to = delivery.position
            if delivery.event.operation == DEAD_LETTER:  # a second death makes it anew, at a later position
                self._doubtful.add(delivery.id)
            self._append(delivery, delivery.created_at)
        else:
            self._leave(delivery)

    def page(self) -> tuple[str, int, int]:
        """What to load next: open deliveries behind this position, at most so many; and a mark to give back
        to `load`."""
        self._first_refused = None
        return self._loaded_to, self.room, self._refused

    def load(self, deliveries: Iterable[Delivery], asked: int, mark: int, read_at: datetime) -> None:
        """Take a page of the outbox, read at `read_at` for `page()`, which asked for `asked` deliveries.

        A page that is full neither of deliveries nor of bytes was the last one, unless something was refused
        since it was asked for. The page may have been read before that was written; so it is taken only up
        to there, and the rest is asked for again.
        """
        count = size = 0
        for delivery in deliveries:
            if self._first_refused is not None and delivery.position >= self._first_refused:
                break
            count += 1
            size += delivery.event.size
            self._loaded_to = max(self._loaded_to, delivery.position)
            if delivery.id not in self._held:
                self._append(self._placed(delivery), read_at)
        if count < asked and size < LARGEST_READ and mark == self._refused:
            self.incomplete = False

    def reopen(self, delivery: Delivery) -> None:
        """An operator wants `delivery` tried now: take it whatever the room, or stop its waiting. Where older
        ones still wait in the outbox, it comes in its turn."""
        if delivery.id in self._running:
            return  # being tried at this very moment
        delivery = self._placed(delivery)
        if delivery.id in self._held:
            self._doubtful.add(delivery.id)
            self._stop_waiting(delivery)
        elif self.incomplete and delivery.position > self._loaded_to:
            self._leave(delivery)
        else:
            self._doubtful.add(delivery.id)
            self._loaded_to = max(self._loaded_to, delivery.position)
            self._append(delivery, delivery.created_at)

    def waits_before(self, delivery: Delivery) -> bool:
        """Whether something older of the same lane is held here, or may still lie in the outbox. (`delivery`
        is another line's.)"""
        lane = self._lanes.get(delivery.lane)
        if lane is not None and lane[0].position < delivery.position:
            return True
        return self.incomplete and self._loaded_to < delivery.position

    def is_ready(self, now: datetime) -> bool:
        """Whether there is a delivery that may run now."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[1])
        return bool(self._ready)

    def next(self, now: datetime) -> Delivery | None:
        """Hand out a delivery that may run now, or None."""
        if not self.is_ready(now):
            return None
        delivery = self._lanes[self._ready.popleft()][0]
        self._running.add(delivery.id)
        return delivery

    def wake(self, lanes: AbstractSet[str]) -> int:
        """Let the first deliveries of those of `lanes` that wait run now. Returns how many lanes did wait."""
        woken = sorted(entry for entry in self._waiting if entry[1] in lanes)
        if woken:
            self._waiting = [entry for entry in self._waiting if entry[1] not in lanes]
            heapq.heapify(self._waiting)
            self._ready.extend(lane for _, lane in woken)
        return len(woken)

    def next_due(self) -> datetime | None:
        """When the earliest waiting delivery may run, if any waits."""
        return self._waiting[0][0] if self._waiting else None

    def finish(self, delivery: Delivery) -> None:
        """A delivery that was handed out is settled: the next one in its lane may run."""
        lane = self._lanes[delivery.lane]
        lane.popleft()
        self._bytes -= self._held.pop(delivery.id)[0]
        for ids in (self._running, self._doubtful):
            ids.discard(delivery.id)
        if lane:
            self._line_up(delivery.lane)
        else:
            del self._lanes[delivery.lane]

    def retry(self, delivery: Delivery) -> None:
        """A delivery that was handed out waits for its `due_at`, and its lane with it."""
        self._running.discard(delivery.id)
        self._doubtful.discard(delivery.id)
        self._lanes[delivery.lane][0] = delivery
        self._line_up(delivery.lane)

    def _leave(self, delivery: Delivery) -> None:
        """Leave a delivery in the outbox: it is loaded in its turn."""
        self._refused += 1
        self._first_refused = min(self._first_refused or delivery.position, delivery.position)
        self.incomplete = True

    def _stop_waiting(self, delivery: Delivery) -> None:
        lane = self._lanes[delivery.lane]
        lane[next(place for place, held in enumerate(lane) if held.id == delivery.id)] = delivery
        waiting = [entry for entry in self._waiting if entry[1] != delivery.lane]
        # A lane that does not wait is lined up already, and once is enough.
        if lane[0] is delivery and len(waiting) < len(self._waiting):
            heapq.heapify(waiting)
            self._waiting = waiting
            self._ready.append(delivery.lane)

    def _append(self, delivery: Delivery, known_since: datetime) -> None:
        size = delivery.event.size
        self._held[delivery.id] = (size, known_since)
        self._bytes += size
        lane = self._lanes.get(delivery.lane)
        if lane is None:
            self._lanes[delivery.lane] = deque([delivery])
            self._line_up(delivery.lane)
        else:
            lane.append(delivery)

    def _line_up(self, lane: str) -> None:
        due_at = self._lanes[lane][0].due_at
        if due_at is None:
            self._ready.append(lane)
        else:
            heapq.heappush(self._waiting, (due_at, lane))
