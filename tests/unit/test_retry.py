"""When a failed delivery is tried again, and when it is given up."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.deliveries import Dead, Retrying
from mtrigger.errors import NotBefore, PermanentError, RetryLater
from mtrigger.retry import RetryPolicy, after_failure, delay
from support.samples import NOW, delivery_at

POLICY = RetryPolicy(attempts=4, first_delay=1.0, max_delay=10.0, max_age=60.0)
ENDLESS = RetryPolicy(attempts=10**9, max_age=3650 * 86400.0)
policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 10**6),
    first_delay=st.floats(0.001, 1e6),
    max_delay=st.floats(0.001, 1e8),
    max_age=st.floats(0.001, 3650 * 86400.0),
)


@given(policies, st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_drawn_between_nothing_and_a_ceiling_that_doubles(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    """Full jitter; the ceiling never exceeds the longest delay, whatever the number of the attempt."""
    doubled = policy.first_delay * 2.0 ** min(attempt - 1, 100)

    assert 0 <= delay(policy, attempt, chance) <= min(policy.max_delay, doubled)


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (6, 10.0), (10_000, 10.0)]
)
def test_the_ceiling_of_each_attempt(attempt: int, ceiling: float) -> None:
    """1, 2, 4, 8 seconds, then the longest delay."""
    assert delay(POLICY, attempt, 0.5) == ceiling / 2


def test_a_failure_is_tried_again_after_the_delay() -> None:
    """Counted from now, not from the beginning of the attempt."""
    outcome = after_failure(delivery_at(1, attempts=1), OSError("x"), "OSError: x", POLICY, 0.0, NOW, 0.25)

    assert outcome == Retrying("OSError: x", NOW + timedelta(seconds=0.5))


def test_a_permanent_error_is_dead_at_once() -> None:
    """Trying again is pointless."""
    assert after_failure(delivery_at(1), PermanentError("550"), "550", POLICY, 0.0, NOW, 0.5) == Dead("550")


@pytest.mark.parametrize(("attempts", "dead"), [(0, False), (2, False), (3, True), (4, True), (100, True)])
def test_after_the_last_attempt_a_delivery_is_dead(attempts: int, dead: bool) -> None:
    """`attempts` counts the first one; the error says how many there were."""
    delivery = delivery_at(1, attempts=attempts)

    outcome = after_failure(delivery, OSError("x"), "x", POLICY, 0.0, NOW, 0.5)

    assert isinstance(outcome, Dead) is dead
    if isinstance(outcome, Dead):
        assert outcome.error == f"x (gave up after {attempts + 1} attempts)"


def test_a_single_attempt_is_named_in_the_singular() -> None:
    """A rule may ask for one attempt alone."""
    outcome = after_failure(delivery_at(1), OSError("x"), "x", RetryPolicy(attempts=1), 0.0, NOW, 0.5)

    assert outcome == Dead("x (gave up after 1 attempt)")


def test_an_action_that_asks_to_be_called_later_is_called_then() -> None:
    """Whatever the rule's delays say."""
    outcome = after_failure(delivery_at(1), RetryLater(42), "busy", POLICY, 0.0, NOW, 0.5)

    assert outcome == Retrying("busy", NOW + timedelta(seconds=42))


@pytest.mark.parametrize(("asked", "waits"), [(1, 2.0), (2, 2.0), (42, 42.0)])
def test_what_a_server_asks_for_does_not_shorten_the_rules_delays(asked: float, waits: float) -> None:
    """A server that always asks for a second would use up all attempts within seconds."""
    policy = RetryPolicy(attempts=5, first_delay=1.0, max_delay=60.0, max_age=3600.0)
    third = delivery_at(1, attempts=2)

    outcome = after_failure(third, NotBefore(asked), "429", policy, 0.0, NOW, 0.5)

    assert outcome == Retrying("429", NOW + timedelta(seconds=waits))


def test_asking_for_later_counts_as_an_attempt() -> None:
    """Else it could be put off for ever."""
    tried = delivery_at(1, attempts=3)
    assert isinstance(after_failure(tried, RetryLater(1), "", POLICY, 0.0, NOW, 0.5), Dead)


@pytest.mark.parametrize(("age", "dead"), [(59, False), (60, True), (600, True)])
def test_a_delivery_that_would_be_too_old_by_its_next_attempt_is_dead(age: float, dead: bool) -> None:
    """However few attempts there were."""
    outcome = after_failure(delivery_at(1), OSError("x"), "x", POLICY, age, NOW, 0.5)

    assert isinstance(outcome, Dead) is dead


@pytest.mark.parametrize("after", [math.inf, math.nan, 1e300, 1e12])
def test_an_endless_wait_ends_the_delivery_and_not_the_engine(after: float) -> None:
    """A user's function may ask for anything."""
    assert isinstance(after_failure(delivery_at(1), RetryLater(after), "x", ENDLESS, 0.0, NOW, 0.5), Dead)


@pytest.mark.parametrize("after", [-1, -math.inf, 0])
def test_a_wait_that_is_over_already_is_no_wait(after: float) -> None:
    """It is due now, never in the past."""
    assert after_failure(delivery_at(1), RetryLater(after), "x", ENDLESS, 0.0, NOW, 0.5) == Retrying("x", NOW)


def test_a_wait_that_is_no_number_is_refused_where_it_is_made() -> None:
    """In the user's own function, so that it fails like any other mistake there."""
    with pytest.raises(ValueError, match="soon"):
        RetryLater("soon", "busy")  # type: ignore[arg-type]  # what a user might write


@given(policies, st.integers(0, 10**7), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9))
def test_a_retry_is_never_due_beyond_the_longest_age(
    policy: RetryPolicy, attempts: int, chance: float, age: float
) -> None:
    """For any policy and any delivery there is an answer, and it keeps to the policy."""
    delivery = delivery_at(1, attempts=attempts)

    outcome = after_failure(delivery, OSError("x"), "x", policy, age, NOW, chance)

    if isinstance(outcome, Retrying):
        assert attempts + 1 < policy.attempts
        assert outcome.due_at >= NOW
        assert age + (outcome.due_at - NOW).total_seconds() <= policy.max_age + 1e-3
