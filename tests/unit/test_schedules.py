"""The times of schedules: the same wherever they are worked out, growing, whatever clocks do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from mtrigger import planning, schedules
from mtrigger.actions.log import LogConfig
from mtrigger.deployment.preflight import Survey, across_partitions, findings
from mtrigger.events import SCHEDULE
from mtrigger.quiet import CatchUp, Query, Schedule, Throttle
from mtrigger.rules import Collections, Rule, RuleAction
from mtrigger.schedules import Due, due, event_of, next_time, times_after
from support.samples import NOW

BERLIN, SEOUL = "Europe/Berlin", "Asia/Seoul"


def utc(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(cron: str, zone: str = "UTC", catch_up: CatchUp = "last") -> Schedule:
    """A schedule without a query."""
    return Schedule(cron, ZoneInfo(zone), catch_up)


def rule_of(name: str, query: Query | None = None) -> Rule:
    """A rule with a schedule and one action."""
    timed = Schedule("0 9 * * *", ZoneInfo(SEOUL), query=query)
    action = RuleAction("log", "log", LogConfig(message="nine"))
    return Rule(name, Collections(()), (action,), operations=frozenset({SCHEDULE}), schedule=timed)


@pytest.mark.parametrize(
    ("cron", "zone", "moment", "expected"),
    [
        pytest.param("0 9 * * *", SEOUL, "2026-01-01 00:00", ["2026-01-02 00:00"], id="nine in Seoul"),
        pytest.param("0 9 * * *", SEOUL, "2025-12-31 23:59:59", ["2026-01-01 00:00"], id="just before"),
        pytest.param(
            "0 9 * * mon-fri",
            BERLIN,
            "2026-01-09 12:00",
            ["2026-01-12 08:00", "2026-01-13 08:00"],
            id="weekend",
        ),
        pytest.param(
            "30 2 * * *",
            BERLIN,
            "2026-03-28 12:00",
            ["2026-03-29 01:00", "2026-03-30 00:30"],
            id="there is no 02:30 in spring: right after the gap",
        ),
        pytest.param(
            "15,45 2 * * *",
            BERLIN,
            "2026-03-28 12:00",
            ["2026-03-29 01:00", "2026-03-30 00:15"],
            id="two that are not there are one",
        ),
        pytest.param(
            "30 2 * * *",
            BERLIN,
            "2026-10-24 12:00",
            ["2026-10-25 00:30", "2026-10-26 01:30"],
            id="there are two 02:30 in autumn: the first",
        ),
        pytest.param(
            "30 2 * * *",
            BERLIN,
            "2026-10-25 01:10",
            ["2026-10-26 01:30"],
            id="begun in the hour that comes again",
        ),
        pytest.param(
            "30 * * * *",
            BERLIN,
            "2026-10-24 23:45",
            ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 02:30"],
            id="every hour is every hour, in autumn",
        ),
        pytest.param(
            "30 * * * *",
            BERLIN,
            "2026-03-28 23:45",
            ["2026-03-29 00:30", "2026-03-29 01:30", "2026-03-29 02:30"],
            id="every hour is every hour, in spring",
        ),
        pytest.param(
            "*/20 * * * * *",
            "UTC",
            "2026-01-01 00:00:05.5",
            ["2026-01-01 00:00:20"],
            id="six fields: seconds",
        ),
        pytest.param("0 0 29 2 *", "UTC", "2026-01-01 00:00", ["2028-02-29 00:00"], id="leap day"),
    ],
)
def test_the_next_times(cron: str, zone: str, moment: str, expected: Sequence[str]) -> None:
    """By the clocks of the zone, also on the days they are put forward and back."""
    found = list(islice(times_after(schedule(cron, zone), utc(moment)), len(expected)))
    assert found == [utc(text) for text in expected]
    assert next_time(schedule(cron, zone), utc(moment)) == found[0]


@pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/New_York", "America/Santiago", "Africa/Cairo"])
@pytest.mark.parametrize(
    "cron", ["30 2 * * *", "15,45 2 * * *", "30 0-3 * * sun", "0 0 * * *", "0 */6 * * *", "59 23 L * *"]
)
def test_what_has_passed_is_what_was_to_come(cron: str, zone: str) -> None:
    """Missed times are worked out backwards: they are the ones that were announced."""
    asked = schedule(cron, zone, "all")
    begin, end = utc("2026-01-01 00:00"), utc("2027-01-01 00:00")
    announced = list(takewhile(lambda time: time <= end, times_after(asked, begin)))
    assert due(asked, announced[0], end).times == tuple(announced[-schedules.MOST_CAUGHT_UP :])
    assert all(before < after for before, after in pairwise(announced))


THREE = ("2026-01-05 09:00", "2026-01-06 09:00", "2026-01-07 09:00")


@pytest.mark.parametrize(
    ("catch_up", "now", "times", "left_out"),
    [
        pytest.param("last", "2026-01-05 08:59:59.9", (), 0, id="not yet"),
        pytest.param("last", "2026-01-05 09:00", THREE[:1], 0, id="to the second"),
        pytest.param("last", "2026-01-07 23:00", THREE[2:], 2, id="only the last"),
        pytest.param("all", "2026-01-07 23:00", THREE, 0, id="all, the oldest first"),
        pytest.param("none", "2026-01-07 23:00", (), 3, id="none of them"),
        pytest.param("none", "2026-01-05 09:00:59", THREE[:1], 0, id="a minute is not late"),
        pytest.param("none", "2026-01-07 09:00:30", THREE[2:], 2, id="the one that is on time"),
    ],
)
def test_what_is_due(catch_up: CatchUp, now: str, times: tuple[str, ...], left_out: int) -> None:
    """What waited for 5 January, nine o'clock, owes when it is looked at `now`."""
    found = due(schedule("0 9 * * *", catch_up=catch_up), utc(THREE[0]), utc(now))
    assert found == Due(tuple(utc(time) for time in times), left_out)


def test_catching_up_is_bounded() -> None:
    """The latest thousand of a schedule of every second; no more are counted than is quick."""
    asked, now = schedule("* * * * * *", catch_up="all"), utc("2026-01-05 09:00")
    found = due(asked, now - timedelta(seconds=2_499), now)
    assert (len(found.times), found.left_out) == (1_000, 1_500)
    assert (found.times[0], found.times[-1]) == (now - timedelta(seconds=999), now)
    assert due(asked, now - timedelta(days=400), now).left_out == schedules.MOST_COUNTED - 1_000


@pytest.mark.parametrize("waited_for", ["2026-10-24 00:30", "2026-10-25 00:30"])
def test_a_time_in_the_hour_that_comes_twice_has_passed_in_the_second_one(waited_for: str) -> None:
    """Asked at 02:10 for the second time, the last 02:30 is that of today."""
    asked = schedule("30 2 * * *", BERLIN)
    assert due(asked, utc(waited_for), utc("2026-10-25 01:10")).times == (utc("2026-10-25 00:30"),)


def test_a_time_is_one_event_for_its_rule() -> None:
    """The same whenever it is made; another one for another rule or time; and no position of the stream."""
    nine, ten = utc("2026-01-05 09:00"), utc("2026-01-05 10:00")
    event = event_of(rule_of("report"), nine)
    assert event == event_of(rule_of("report"), nine)
    assert event.token < event_of(rule_of("report"), ten).token
    assert event.token < "82"
    ids = {
        delivery.id
        for name in ("report", "other")
        for time in (nine, ten, nine)
        for delivery in planning.owed(event_of(rule_of(name), time), [rule_of(name)], SCHEDULE, "main/0", NOW)
    }
    assert len(ids) == 4


def test_the_event_names_what_is_looked_up() -> None:
    """Its time is the scheduled one; it has no document."""
    event = event_of(rule_of("report", Query("shop.orders.eu")), utc("2026-01-05 09:00"))
    assert (event.database, event.collection, event.operation) == ("shop", "orders.eu", "schedule")
    assert (event.time, event.document, event.key) == (utc("2026-01-05 09:00"), {}, {})


def test_what_is_not_listed_is_counted() -> None:
    """Also when some of it went away between the list and the count."""
    assert schedules.facts([{"a": 1}], 5) == {"documents": [{"a": 1}], "count": 5, "more": 4}
    assert schedules.facts([{"a": 1}], 0) == {"documents": [{"a": 1}], "count": 1, "more": 0}


def test_a_collection_that_is_not_there_is_spoken_of() -> None:
    """A query of a name that is misspelled finds nothing, for ever."""
    said = findings([rule_of("report", Query("shop.ordrs"))], Survey({"shop.orders": False}), object())
    (finding,) = said
    assert str(finding) == (
        "rule report: the collection shop.ordrs, which its query reads, does not exist yet "
        "(did you mean shop.orders?)"
    )


def test_several_partitions_can_keep_whatever_a_schedule_asks_for() -> None:
    """All it owes is the first one's."""
    throttled = replace(rule_of("report"), throttle=Throttle(60.0), ordering="rule")
    assert across_partitions([throttled], 3) == []
    assert across_partitions([replace(throttled, schedule=None)], 3)
