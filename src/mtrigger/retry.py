"""When a failed action is tried again, and when it is given up.

Pure: everything that varies (the clock, chance) is an argument. The delays grow exponentially and are drawn
with full jitter, so that a thousand deliveries that failed together do not come back together
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mtrigger.deliveries import Dead, Delivery, Retrying
from mtrigger.errors import NotBefore, PermanentError, RetryLater


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all (the first one included); delays and ages in seconds.

    `max_age` counts from the moment the delivery was created: an older delivery is not tried again.
    """

    attempts: int = 12
    first_delay: float = 1.0
    max_delay: float = 3600.0
    max_age: float = 86400.0


def delay(policy: RetryPolicy, attempt: int, chance: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1); `chance` is uniform in [0, 1)."""
    doublings = min(attempt - 1, 60)  # beyond that the ceiling has long been reached; keeps the power finite
    ceiling = min(policy.max_delay, policy.first_delay * 2.0**doublings)
    return ceiling * chance


def after_failure(
    delivery: Delivery,
    error: BaseException,
    message: str,
    policy: RetryPolicy,
    age: float,
    now: datetime,
    chance: float,
) -> Retrying | Dead:
    """Decide what becomes of `delivery`, `age` seconds old, after an attempt that raised `error`.

    `delivery.attempts` is the number of attempts before this one; `message` is what the error is reported as.
    """
    attempt = delivery.attempts + 1
    if isinstance(error, PermanentError):
        return Dead(message)
    if attempt >= policy.attempts:
        return Dead(f"{message} (gave up after {attempt} attempt{'s' if attempt > 1 else ''})")
    wait = delay(policy, attempt, chance)
    if isinstance(error, RetryLater):
        wait = max(wait, error.after) if isinstance(error, NotBefore) else error.after
    if not age + wait <= policy.max_age:  # also when an action asks for an endless or undefined wait
        return Dead(f"{message} (gave up: older than {policy.max_age:g} s by the next attempt)")
    return Retrying(message, now + timedelta(seconds=max(0.0, wait)))
