"""The rules of one circuit breaker: when an attempt to reach a destination may begin.

Closed, everybody may. After `FAILURES` failures in a row it is open: nobody may until a pause is over. Then
it is half-open: the first who asks is the probe, and all others wait for what comes of it.

Pure: the clock and chance are arguments. Promises: never two probes at once; a probe that ends, in whatever
way, gives its place to the next; pauses grow up to `LONGEST_PAUSE`, and are longer only where the
destination asks for it.
"""

FAILURES = 5
"""In a row, before a breaker opens: one lost connection, or a server that restarts between two mails, is the
business of the one delivery it happened to. Each of these costs an attempt, so there must not be many."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds from one probe to the next: what comes back is found within a minute, unless it has asked to be
left alone for longer."""


class Attempt:
    """One attempt to reach a destination; told apart by identity alone."""

    __slots__ = ()


class Breaker:
    """The state of one destination, in seconds of steady time."""

    def __init__(self) -> None:
        self.why = ""
        self.failures = 0
        self.probe_at: float | None = None
        self._pauses = 0
        self._probe: Attempt | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody but a probe may try."""
        return self.probe_at is not None

    @property
    def is_probed(self) -> bool:
        """Whether it is half-open: a probe is under way."""
        return self._probe is not None

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking again, 0 when an attempt may begin; a guess while a probe runs."""
        if self.probe_at is None:
            return 0.0
        if self._probe is not None:
            return FIRST_PAUSE
        return max(0.0, self.probe_at - now)

    def begin(self) -> Attempt:
        """An attempt begins; `wait` has said that it may."""
        attempt = Attempt()
        if self.is_open:
            assert self._probe is None, "never two probes at once"
            self._probe = attempt
        return attempt

    def is_probe(self, attempt: Attempt) -> bool:
        """Whether everybody else waits for `attempt`."""
        return attempt is self._probe

    def succeeded(self) -> None:
        """An answer has come, whoever asked for it: the destination is there."""
        self.failures = self._pauses = 0
        self.probe_at = self._probe = None

    def failed(self, attempt: Attempt, why: str, now: float, chance: float, asked: float = 0.0) -> None:
        """`attempt` did not get through. `chance` is uniform in [0, 1); `asked` are the seconds for which
        the destination itself asks to be left alone: it is not probed earlier.

        What began before the breaker opened says nothing new.
        """
        if self.is_open and attempt is not self._probe:
            return
        self.why = why
        self.failures += 1
        if self.is_open or self.failures >= FAILURES:
            self.probe_at = now + max(asked, pause(self._pauses, chance))
            self._pauses += 1
            self._probe = None

    def abandoned(self, attempt: Attempt) -> None:
        """`attempt` ended and nothing was learned: it was cancelled, or never got as far as connecting."""
        if attempt is self._probe:
            self._probe = None


def pause(number: int, chance: float) -> float:
    """Seconds until the next probe after `number` earlier pauses: twice as long each time, and drawn from the
    upper half, so that it grows and yet no two processes keep step."""
    ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(number, 30))
    return ceiling / 2 * (1 + chance)
