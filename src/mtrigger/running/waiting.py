"""The lanes of one partition that wait for a destination which is down, and who of them tries first.

Promises: when it is up, all of them go on at once. Until then one is let through for each probe, the lines in
turns and within a line the one that has waited longest, so that a delivery which brings its server down by
itself does not keep the others from finding it up. Nobody waits for a destination that a changed rule does
not send to any more.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from mtrigger.actions.breakers import Breakers
from mtrigger.stores.base import LineKey

Wake = Callable[[LineKey, AbstractSet[str]], int]
"""Lets those of a line's lanes that wait run now; returns how many did wait."""


class WaitingLanes:
    """By destination, then by line, in the order in which they came."""

    def __init__(self, breakers: Breakers, wake: Wake) -> None:
        self._breakers = breakers
        self._wake = wake
        self._lanes: dict[str, dict[LineKey, dict[str, None]]] = {}
        self._destinations: dict[tuple[LineKey, str], str] = {}

    def __len__(self) -> int:
        return len(self._destinations)

    def begin(self) -> None:
        """Be told about destinations from now on."""
        self._breakers.attend(self)

    def end(self) -> None:
        """Be told no more."""
        self._breakers.leave(self)

    def add(self, destination: str, line: LineKey, lane: str) -> None:
        """`lane`, which waits, waits for `destination`: it goes on at once if that has come up meanwhile."""
        self._destinations[line, lane] = destination
        self._lanes.setdefault(destination, {}).setdefault(line, {})[lane] = None
        if not self._breakers.is_down(destination):
            self.go_on(destination)

    def remove(self, line: LineKey, lane: str) -> None:
        """`lane` waits no longer: its first delivery was handed out."""
        destination = self._destinations.pop((line, lane), None)
        if destination is None:
            return
        lines = self._lanes[destination]
        lanes = lines[line]
        del lanes[lane]
        if not lanes:
            del lines[line]
        if not lines:
            del self._lanes[destination]

    def go_on(self, destination: str) -> None:
        """It is up: all that wait for it may go on."""
        for line, lanes in self._lanes.pop(destination, {}).items():
            for lane in lanes:
                del self._destinations[line, lane]
            self._wake(line, lanes.keys())

    def ask_again(self) -> None:
        """Rules may have changed, and what waits be for somebody else now: all go on, and what is still for
        a destination that is down waits anew."""
        for destination in tuple(self._lanes):
            self.go_on(destination)

    def probe(self, destination: str) -> None:
        """One of those that wait for it may try now."""
        while (lines := self._lanes.get(destination)) is not None:
            line = next(iter(lines))
            lane = next(iter(lines[line]))
            lines[line] = lines.pop(line)  # the next turn is another line's
            self.remove(line, lane)
            if self._wake(line, {lane}):
                return  # else its line has gone, and it with it

    def number(self, destination: str) -> int:
        """How many wait for it."""
        return sum(len(lanes) for lanes in self._lanes.get(destination, {}).values())
