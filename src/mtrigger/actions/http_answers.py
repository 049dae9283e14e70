"""What an answer means for its delivery: done, tried again, or dead. Pure: the status, the headers, the time.

* 2xx: done.
* 408, 425, 429 and 5xx: tried again, and so is whatever the rule lists in `retry_on`. `Retry-After`
  (RFC 9110, 10.2.3) says how long to wait, but never more than LONGEST_WAIT.
* 3xx: dead. A redirect is not followed: it would carry a document to wherever an answer says.
* 410 and all other 4xx: dead. The same request would be refused again.
"""

import email.utils
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST_WAIT = 3600.0
"""Seconds that a `Retry-After` may ask for; more is taken for a mistake of the receiver's."""

_RETRIED = frozenset({408, 425, 429})
_GONE = 410
_SECONDS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not this time; `after` is for how many seconds the receiver asks to wait, None if it does not say."""

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Redirected:
    """It is to be sent elsewhere: to `location`, a reference relative to where it was sent, or ""."""

    location: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Never; `advice` is what to do about it, "" where the answer itself has to say."""

    advice: str = ""


Verdict = Accepted | TryAgain | Redirected | Refused


def verdict(
    status: int, headers: Mapping[str, str], now: datetime, retry_on: Collection[int] = ()
) -> Verdict:
    """What an answer of `status` means that came at `now`. Names in `headers` are in lower case, unless it
    finds them in any; `retry_on` are further statuses to be tried again."""
    if 200 <= status < 300:
        return Accepted()
    if status in _RETRIED or status >= 500 or status < 200 or status in retry_on:
        return TryAgain(wait_asked_for(headers, now))
    if status < 400:
        return Redirected(headers.get("location", "").strip())
    if status == _GONE:
        return Refused(
            "the receiver wants no more of these: take the action out of the rule, or change `url`"
        )
    return Refused()


def wait_asked_for(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds in a `Retry-After`; None when it is missing, cannot be read, or is over already. Names in
    `headers` as for `verdict`."""
    text = headers.get("retry-after", "").strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _seconds_until(text, now)
    return float(math.ceil(min(seconds, LONGEST_WAIT))) if seconds > 0 else None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = email.utils.parsedate_to_datetime(date)
        if moment.tzinfo is None:  # asctime's form, which is in UTC too
            moment = moment.replace(tzinfo=UTC)
        return (moment - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
