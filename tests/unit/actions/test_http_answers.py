"""What the answer to a request means for its delivery."""

from datetime import UTC, datetime

import pytest

from mtrigger.actions.http_answers import (
    LONGEST_WAIT,
    Accepted,
    Redirected,
    Refused,
    TryAgain,
    Verdict,
    verdict,
)

NOW = datetime(2026, 1, 31, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Accepted()) for status in (200, 201, 202, 204, 299)),
        *((status, Redirected("")) for status in (300, 301, 302, 303, 304, 307, 308)),
        *((status, Refused()) for status in (400, 401, 403, 404, 405, 406, 409, 413, 422, 451, 499)),
        *((status, TryAgain()) for status in (408, 425, 429, 500, 501, 502, 503, 504, 599)),
        *((status, TryAgain()) for status in (100, 199, 600, 999)),
    ],
)
def test_the_class_of_a_status_decides(status: int, expected: Verdict) -> None:
    """Taken, elsewhere, refused, or not now; what is in no class may be taken another time."""
    assert verdict(status, {}, NOW) == expected


def test_gone_is_for_good_and_says_what_to_do() -> None:
    """A receiver that answers 410 has unsubscribed."""
    judged = verdict(410, {"retry-after": "5"}, NOW)
    assert isinstance(judged, Refused)
    assert "wants no more" in judged.advice


def test_a_redirect_tells_where_to() -> None:
    """Wherever that is: nobody goes there."""
    assert verdict(307, {"location": " /new "}, NOW) == Redirected("/new")


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_rule_may_have_more_tried_again(status: int) -> None:
    """Where a 404 means "not yet". Others stay what they are."""
    assert verdict(status, {}, NOW, [404, 409, 410]) == TryAgain()
    assert verdict(status, {"retry-after": "7"}, NOW, [404, 409, 410]) == TryAgain(7.0)
    assert isinstance(verdict(400, {}, NOW, [404, 409, 410]), Refused)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", 120.0),
        (" 1 ", 1.0),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("3600", 3600.0),
        ("86400", LONGEST_WAIT),
        ("9" * 5_000, LONGEST_WAIT),
        ("Sat, 31 Jan 2026 10:02:00 GMT", 120.0),
        ("Saturday, 31-Jan-26 10:02:00 GMT", 120.0),
        ("Sat Jan 31 10:02:00 2026", 120.0),
        ("Sat, 31 Jan 2026 19:02:00 +0900", 120.0),
        ("Sat, 31 Jan 2026 09:59:00 GMT", None),
        ("Sat, 31 Jan 2026 10:00:00 GMT", None),
        ("Sun, 31 Jan 2027 10:02:00 GMT", LONGEST_WAIT),
        ("Sat, 31 Foo 2026 10:02:00 GMT", None),
        ("Sat, 99 Jan 2026 10:02:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_WAIT),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_absurd(
    status: int, text: str, wait: float | None
) -> None:
    """RFC 9110, 10.2.3, with all three forms of dates (5.6.7). What cannot be read asks for nothing, and the
    rule's own delays hold."""
    assert verdict(status, {"retry-after": text}, NOW) == TryAgain(wait)


def test_a_wait_is_rounded_up_to_whole_seconds() -> None:
    """Nobody comes back before the time that was given."""
    later = NOW.replace(microsecond=400_000)
    assert verdict(503, {"retry-after": "Sat, 31 Jan 2026 10:00:02 GMT"}, later) == TryAgain(2.0)
