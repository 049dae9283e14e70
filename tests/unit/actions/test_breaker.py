"""The rules of one circuit breaker: when it opens, who may probe, and that there is never more than one."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mtrigger.actions.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Attempt, Breaker, pause

NOW = 1_000.0


def fail(breaker: Breaker, times: int = 1, now: float = NOW, chance: float = 0.0) -> None:
    """So many attempts in a row, each of which may begin, do not get through."""
    for _ in range(times):
        assert breaker.wait(now) == 0
        breaker.failed(breaker.begin(), "refused", now, chance)


def opened(now: float = NOW) -> Breaker:
    breaker = Breaker()
    fail(breaker, FAILURES, now)
    return breaker


def test_a_few_failures_open_nothing() -> None:
    """One less than the number that counts."""
    breaker = Breaker()
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open


def test_failures_count_only_in_a_row() -> None:
    """A destination that answers now and then is one that can be reached."""
    breaker = Breaker()
    for _ in range(3):
        fail(breaker, FAILURES - 1)
        breaker.begin()
        breaker.succeeded()
    assert not breaker.is_open


def test_open_nobody_may_try_until_the_pause_is_over() -> None:
    """And the reason is that of the last failure."""
    breaker = opened()
    assert breaker.is_open
    assert breaker.why == "refused"
    assert breaker.wait(NOW) == FIRST_PAUSE / 2
    assert breaker.wait(NOW + FIRST_PAUSE / 4) == FIRST_PAUSE / 4
    assert breaker.wait(NOW + FIRST_PAUSE / 2) == 0


def test_only_one_may_probe() -> None:
    """While it is under way, everybody else waits, however long it takes."""
    breaker = opened()
    probe = breaker.begin()
    assert breaker.is_probed
    assert breaker.is_probe(probe)
    assert breaker.wait(NOW + 3_600) > 0


def test_a_probe_that_gets_through_closes_it() -> None:
    """And the next failures count from nothing."""
    breaker = opened()
    breaker.begin()
    breaker.succeeded()
    assert not breaker.is_open
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open


def test_a_probe_that_fails_doubles_the_pause() -> None:
    """Up to the longest one; the first one after an outage is short again."""
    breaker, now, pauses = opened(), NOW, []
    for _ in range(8):
        now += breaker.wait(now)
        fail(breaker, 1, now, chance=0.5)
        pauses.append(breaker.wait(now))
    assert pauses == pytest.approx([1.5, 3, 6, 12, 24, 45, 45, 45])

    breaker.begin()
    breaker.succeeded()
    fail(breaker, FAILURES, now, chance=0.5)
    assert breaker.wait(now) == pytest.approx(0.75)


def test_who_asks_to_be_left_alone_is_not_probed_earlier() -> None:
    """Neither after the failure that opens it nor after a probe; and no longer when it asks no more."""
    breaker = Breaker()
    fail(breaker, FAILURES - 1)
    breaker.failed(breaker.begin(), "refused", NOW, 0.0, asked=600.0)
    assert breaker.wait(NOW) == 600
    breaker.failed(breaker.begin(), "refused", NOW + 600, 0.0, asked=2 * LONGEST_PAUSE)
    assert breaker.wait(NOW + 600) == 2 * LONGEST_PAUSE
    breaker.failed(breaker.begin(), "refused", NOW + 900, 0.0)
    assert breaker.wait(NOW + 900) <= LONGEST_PAUSE


def test_a_probe_that_is_cancelled_frees_its_place() -> None:
    """The next who asks may probe at once."""
    breaker = opened()
    breaker.abandoned(breaker.begin())
    assert breaker.is_open
    now = NOW + FIRST_PAUSE
    assert breaker.wait(now) == 0
    assert breaker.is_probe(breaker.begin())


def test_what_began_before_it_opened_prolongs_nothing() -> None:
    """Ten attempts at once fail together: that is one outage and not two."""
    breaker = Breaker()
    attempts = [breaker.begin() for _ in range(FAILURES * 2)]
    for attempt in attempts:
        breaker.failed(attempt, "refused", NOW, 0.0)
    assert breaker.wait(NOW) == FIRST_PAUSE / 2


def test_what_began_before_it_opened_takes_no_probe_away() -> None:
    """It fails or is cancelled while the probe is under way, which is still the only one."""
    breaker = Breaker()
    late = [breaker.begin(), breaker.begin()]
    fail(breaker, FAILURES)
    probe = breaker.begin() if breaker.wait(NOW + FIRST_PAUSE) == 0 else None
    breaker.failed(late[0], "refused", NOW, 0.0)
    breaker.abandoned(late[1])
    assert probe is not None
    assert breaker.is_probe(probe)
    assert breaker.wait(NOW + FIRST_PAUSE) > 0


@pytest.mark.parametrize("number", [0, 1, 5, 6, 7, 100, 10**6])
def test_pauses_grow_and_differ(number: int) -> None:
    """The longest after so many pauses is no longer than the shortest after one more, up to the ceiling."""
    shortest, longest = pause(number, 0.0), pause(number, 1.0)
    assert shortest == longest / 2
    assert longest <= LONGEST_PAUSE
    assert longest == pause(number + 1, 0.0) or pause(number + 1, 1.0) == LONGEST_PAUSE


CHANCES = st.floats(0, 1, exclude_max=True)


class Destination(RuleBasedStateMachine):
    """Many who ask, at any time; attempts that end in any order and in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = NOW
        self.under_way: list[Attempt] = []
        self.probes: list[Attempt] = []

    @rule(seconds=st.floats(0, 2 * LONGEST_PAUSE))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def somebody_asks(self) -> None:
        if self.breaker.wait(self.now) > 0:
            return
        is_open = self.breaker.is_open
        attempt = self.breaker.begin()
        self.under_way.append(attempt)
        if is_open:
            assert not self.probes, "two probes at once"
            self.probes.append(attempt)

    def one(self, place: int) -> Attempt:
        attempt = self.under_way.pop(place % len(self.under_way))
        if attempt in self.probes:
            self.probes.remove(attempt)
        return attempt

    @precondition(lambda self: self.under_way)
    @rule(place=st.integers(0, 50))
    def one_gets_through(self, place: int) -> None:
        self.one(place)
        self.breaker.succeeded()
        self.probes.clear()  # closed: what was a probe is one of many from now on
        assert self.breaker.wait(self.now) == 0

    @precondition(lambda self: self.under_way)
    @rule(place=st.integers(0, 50), chance=CHANCES)
    def one_fails(self, place: int, chance: float) -> None:
        attempt = self.one(place)
        was_probe = self.breaker.is_probe(attempt)
        self.breaker.failed(attempt, "refused", self.now, chance)
        if was_probe:
            assert self.breaker.wait(self.now) > 0

    @precondition(lambda self: self.under_way)
    @rule(place=st.integers(0, 50))
    def one_is_cancelled(self, place: int) -> None:
        self.breaker.abandoned(self.one(place))

    @invariant()
    def somebody_may_try_in_the_end(self) -> None:
        """Whatever happened: when no probe is under way, one may begin after the longest pause."""
        if not self.probes:
            assert self.breaker.wait(self.now + LONGEST_PAUSE) == 0

    @invariant()
    def a_probe_holds_everybody_up(self) -> None:
        if self.probes:
            assert self.breaker.wait(self.now + 1e6) > 0


Destination.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestDestination = Destination.TestCase
