"""Active hours: by the clocks of the rule's time zone, over midnight, and when clocks are put on or back."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.gates.hours import open_for, opens_in
from mtrigger.quiet import Active

ALL_DAYS = frozenset(range(7))
WEEKDAYS = frozenset(range(5))
SUNDAYS = frozenset({6})


def hours(text: str, zone: str, days: frozenset[int] = ALL_DAYS) -> Active:
    """Hours from `09:00-18:00`; 24:00 is midnight."""
    start, end = (time(int(part[:2]) % 24, int(part[3:])) for part in text.split("-"))
    return Active(days, start, end, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("active", "now", "wait"),
    [
        (hours("09:00-18:00", "UTC"), "2026-01-30T08:00:00+00:00", 3600),
        (hours("09:00-18:00", "UTC"), "2026-01-30T09:00:00+00:00", 0),
        (hours("09:00-18:00", "UTC"), "2026-01-30T17:59:59.999+00:00", 0),
        (hours("09:00-18:00", "UTC"), "2026-01-30T18:00:00+00:00", 15 * 3600),
        (hours("09:00-18:00", "UTC", WEEKDAYS), "2026-01-30T18:00:00+00:00", 63 * 3600),
        (hours("09:00-18:00", "UTC", frozenset({4})), "2026-01-30T18:00:00+00:00", (7 * 24 - 9) * 3600),
        (hours("00:00-24:00", "UTC", WEEKDAYS), "2026-01-30T23:59:59+00:00", 0),
        (hours("00:00-24:00", "UTC", WEEKDAYS), "2026-01-31T00:00:00+00:00", 48 * 3600),
        # Friday's hours go on after midnight; Saturday has none of its own.
        (hours("22:00-06:00", "UTC", WEEKDAYS), "2026-01-31T05:59:00+00:00", 0),
        (hours("22:00-06:00", "UTC", WEEKDAYS), "2026-01-31T06:00:00+00:00", 64 * 3600),
        (hours("22:00-06:00", "UTC", WEEKDAYS), "2026-02-02T05:00:00+00:00", 17 * 3600),
        # Seoul is nine hours ahead, all the year round, and a day ahead of UTC in its morning.
        (hours("09:00-18:00", "Asia/Seoul", WEEKDAYS), "2026-01-30T00:00:00+00:00", 0),
        (hours("09:00-18:00", "Asia/Seoul", WEEKDAYS), "2026-02-01T23:59:00+00:00", 60),
        (hours("09:00-18:00", "Asia/Seoul"), "2026-07-01T00:00:00+00:00", 0),
        # Berlin, 29 March 2026: the night is an hour shorter.
        (hours("09:00-18:00", "Europe/Berlin"), "2026-03-28T20:00:00+01:00", 12 * 3600),
        (hours("09:00-18:00", "Europe/Berlin"), "2026-03-29T07:00:00+00:00", 0),
        (hours("22:00-06:00", "Europe/Berlin"), "2026-03-29T06:00:00+02:00", 16 * 3600),
        (hours("02:30-04:00", "Europe/Berlin"), "2026-03-29T01:59:00+01:00", 60),
        (hours("02:30-04:00", "Europe/Berlin"), "2026-03-29T03:00:00+02:00", 0),
        (hours("01:00-02:30", "Europe/Berlin"), "2026-03-29T01:59:59+01:00", 0),
        (hours("01:00-02:30", "Europe/Berlin"), "2026-03-29T03:00:00+02:00", 22 * 3600),
        (hours("02:10-02:50", "Europe/Berlin"), "2026-03-29T01:00:00+01:00", (24 - 1 + 1) * 3600 + 600),
        # The only hours of the week are skipped: the next ones are a week later.
        (hours("02:15-02:45", "Europe/Berlin", SUNDAYS), "2026-03-28T12:00:00+00:00", 180.25 * 3600),
        (hours("02:15-02:45", "Europe/Berlin", SUNDAYS), "2026-03-22T05:00:00+00:00", 331.25 * 3600),
        # Berlin, 25 October 2026: two o'clock comes twice.
        (hours("09:00-18:00", "Europe/Berlin"), "2026-10-24T20:00:00+02:00", 14 * 3600),
        (hours("02:30-04:00", "Europe/Berlin"), "2026-10-25T02:30:00+02:00", 0),
        (hours("02:30-04:00", "Europe/Berlin"), "2026-10-25T02:10:00+01:00", 0),
        (hours("01:00-02:30", "Europe/Berlin"), "2026-10-25T02:10:00+01:00", 22 * 3600 + 3000),
    ],
)
def test_how_long_a_rule_keeps_quiet(active: Active, now: str, wait: float) -> None:
    """In real seconds, which a day of 23 or 25 hours has fewer or more of."""
    assert opens_in(active, datetime.fromisoformat(now)) == wait


@given(
    begin=st.times(timezones=st.none()).map(lambda value: value.replace(second=0, microsecond=0)),
    end=st.times(timezones=st.none()).map(lambda value: value.replace(second=0, microsecond=0)),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    zone=st.sampled_from(["Europe/Berlin", "Asia/Seoul", "America/St_Johns", "Pacific/Apia", "UTC"]),
    now=st.datetimes(datetime(2011, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - made aware below
)
def test_the_hours_have_begun_when_they_were_said_to(
    begin: time, end: time, days: frozenset[int], zone: str, now: datetime
) -> None:
    """And not a second before; always within nine days."""
    active = Active(days, begin, end, ZoneInfo(zone))
    moment = now.replace(tzinfo=UTC, microsecond=0)

    wait = opens_in(active, moment)

    assert 0 <= wait <= 9 * 86_400
    assert opens_in(active, moment + timedelta(seconds=wait)) == 0
    if wait:
        assert opens_in(active, moment + timedelta(seconds=wait - 1)) == 1


@pytest.mark.parametrize(
    ("active", "now", "seconds"),
    [
        (hours("09:00-18:00", "UTC"), "2026-01-30T08:59:59+00:00", 0),
        (hours("09:00-18:00", "UTC"), "2026-01-30T09:00:00+00:00", 0),
        (hours("09:00-18:00", "UTC"), "2026-01-30T10:00:00+00:00", 3600),
        (hours("09:00-18:00", "UTC"), "2026-01-30T18:00:00+00:00", 0),
        (hours("22:00-06:00", "UTC", WEEKDAYS), "2026-01-31T05:00:00+00:00", 7 * 3600),
        (hours("09:00-18:00", "Asia/Seoul"), "2026-01-30T00:30:00+00:00", 1800),
    ],
)
def test_how_long_the_hours_have_lasted(active: Active, now: str, seconds: float) -> None:
    """Nothing outside of them."""
    assert open_for(active, datetime.fromisoformat(now)) == seconds
