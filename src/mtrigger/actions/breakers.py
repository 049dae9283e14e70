"""Circuit breakers: a mail server or host that cannot be reached is probed now and then, not hammered.

Each destination has one, for all rules of the process, also across a reload. After `FAILURES` failures in a
row to reach it, the breaker opens: whoever asks is told `DestinationDown` before any connection is made. Once
its pause is over, the first who asks is the *probe*. A probe that reaches the destination closes the breaker;
one that does not opens it for twice as long, and costs its delivery no attempt. (The rules of one
breaker are in `breaker.py`.)

Promise: whoever waits for a destination is told when it is up, and when somebody may probe it.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

from mtrigger.actions.breaker import FIRST_PAUSE, Attempt, Breaker
from mtrigger.redaction import redact_uri
from mtrigger.supervision.steady_time import clock

log = logging.getLogger(__name__)

MOST_KNOWN = 1_000
"""Destinations that are remembered: addresses may come from documents. Those used longest ago go first."""

UNWANTED = 600.0
"""A destination that is down is forgotten when nothing has been sent to it for so many seconds."""


class DestinationDown(Exception):  # noqa: N818 - says what is the case; the delivery waits and loses nothing
    """Nothing was sent: the destination cannot be reached, and is tried again in `retry_in` seconds."""

    def __init__(self, destination: str, retry_in: float, why: str) -> None:
        self.destination = destination
        self.retry_in = retry_in
        self.why = why
        super().__init__(f"{destination} is down: {why}")


@dataclass(frozen=True, slots=True)
class Down:
    """A destination that is down, for people: `since` and `probe_at` are times of day (aware)."""

    destination: str
    since: datetime
    why: str
    probe_at: datetime
    waiting: int


class Waiting(Protocol):
    """Somebody whose deliveries wait for destinations."""

    def go_on(self, destination: str) -> None:
        """It is up: all that wait for it may go on."""
        ...

    def probe(self, destination: str) -> None:
        """One that waits for it may try now, if any does."""
        ...

    def number(self, destination: str) -> int:
        """How many deliveries wait for it, as far as they are in memory."""
        ...


class Breakers:
    """The breakers of all destinations. `changed` is set whenever there is something new in `down`."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._known: dict[str, Breaker] = {}
        self._since: dict[str, datetime] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting: list[Waiting] = []

    def attend(self, waiting: Waiting) -> None:
        """Tell `waiting` of every change from now on."""
        self._waiting.append(waiting)

    def leave(self, waiting: Waiting) -> None:
        """Tell it no more."""
        self._waiting.remove(waiting)

    def check(self, destination: str) -> None:
        """Raise DestinationDown if an attempt would be refused at this moment; takes nothing."""
        breaker = self._known.get(destination)
        if breaker is not None and (wait := breaker.wait(clock())) > 0:
            raise DestinationDown(destination, wait, breaker.why)

    def is_down(self, destination: str) -> bool:
        """Whether it is worth waiting for: whoever waits is told when it is up."""
        return destination in self._since

    def reaching(self, destination: str) -> "Reaching":
        """A block that tries to reach `destination` and says what came of it. Raises DestinationDown on
        entering, and on leaving a probe that has failed."""
        return Reaching(self, destination)

    def down(self) -> list[Down]:
        """The destinations that are down, those that have been so longest first."""
        found = []
        for destination, since in self._since.items():
            breaker = self._known[destination]
            probe_at = datetime.now(UTC) + timedelta(seconds=breaker.wait(clock()))
            found.append(Down(destination, since, breaker.why, probe_at, self._number(destination)))
        return found

    def close(self) -> None:
        """Tell nobody any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._waiting.clear()

    def begin(self, destination: str) -> tuple[Breaker, Attempt]:
        """An attempt begins: what `reaching` does on entering. Raises DestinationDown."""
        self.check(destination)
        breaker = self._known.pop(destination, None) or Breaker()
        self._known[destination] = breaker  # the last in the dict is the one used last
        attempt = breaker.begin()
        if len(self._known) > MOST_KNOWN:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._free(oldest)
        return breaker, attempt

    def ended(self, destination: str, breaker: Breaker) -> None:
        """An attempt has ended, and `breaker` knows: what `reaching` does on leaving."""
        if self._known.get(destination) is not breaker:
            return  # forgotten meanwhile
        if not breaker.is_open:
            if not breaker.failures:
                del self._known[destination]
            if (since := self._since.get(destination)) is not None:
                log.warning("%s is up again; it was down since %s", destination, f"{since:%F %T} UTC")
                self._free(destination)
        elif not breaker.is_probed:
            if destination not in self._since:
                self._since[destination] = datetime.now(UTC)
                log.warning(
                    "%s is down after %d failures in a row: deliveries to it wait, which costs them no "
                    "attempt, and it is tried again now and then: %s",
                    destination,
                    breaker.failures,
                    breaker.why,
                )
            self.changed.set()
            self._call(breaker.wait(clock()), self._probe, destination)

    def _probe(self, destination: str) -> None:
        """The pause is over: the first of those that wait is the probe. Asked again every second, because
        whoever is told may be gone before it gets there."""
        breaker = self._known[destination]
        if breaker.is_probed:
            return
        if (left := breaker.wait(clock())) > 0:
            self._call(left, self._probe, destination)  # the two clocks differ a little
        elif self._number(destination):
            self._call(FIRST_PAUSE, self._probe, destination)
            for waiting in tuple(self._waiting):
                waiting.probe(destination)
        else:
            self._call(UNWANTED, self._forget, destination)

    def _forget(self, destination: str) -> None:
        if self._known[destination].is_probed:
            return  # somebody asks at last, and its end is told
        del self._known[destination]
        self._free(destination)

    def _free(self, destination: str) -> None:
        """Nobody needs to wait for it any longer."""
        if (timer := self._timers.pop(destination, None)) is not None:
            timer.cancel()
        if self._since.pop(destination, None) is not None:
            self.changed.set()
            for waiting in tuple(self._waiting):
                waiting.go_on(destination)

    def _number(self, destination: str) -> int:
        return sum(waiting.number(destination) for waiting in self._waiting)

    def _call(self, seconds: float, what: Callable[[str], None], destination: str) -> None:
        if (timer := self._timers.pop(destination, None)) is not None:
            timer.cancel()
        self._timers[destination] = asyncio.get_running_loop().call_later(seconds, what, destination)


class Reaching:
    """One attempt to reach a destination. What is neither `reached` nor `failed` when the block is left has
    told nothing: it was cancelled, or something else was wrong."""

    def __init__(self, breakers: Breakers, destination: str) -> None:
        self._breakers = breakers
        self._destination = destination
        self._why: str | None = None
        self._asked = 0.0

    def __enter__(self) -> Self:
        self._breaker, self._attempt = self._breakers.begin(self._destination)
        return self

    def reached(self) -> None:
        """It is there: whatever it said, it was an answer."""
        self._why = ""

    def failed(self, why: str, asked: float = 0.0) -> None:
        """It is not there, because of `why`; `asked` as for `Breaker.failed`."""
        self._why = redact_uri(why) or "no reason is known"
        self._asked = asked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        breaker, attempt, why = self._breaker, self._attempt, self._why
        probed = breaker.is_probe(attempt)
        if why is None:
            breaker.abandoned(attempt)
        elif not why:
            breaker.succeeded()
        else:
            breaker.failed(attempt, why, clock(), random.random(), self._asked)  # noqa: S311 - jitter
        self._breakers.ended(self._destination, breaker)
        if probed and why:
            raise DestinationDown(self._destination, breaker.wait(clock()), why) from error
