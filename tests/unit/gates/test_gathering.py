"""When windows close, and what is left out of digests: when a change comes, and when the window closes."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from mtrigger.conditions import parse
from mtrigger.gates import Hold, Pass, Pause, Silence, Suppress, Wishes
from mtrigger.gates.gathering import arrival, closes_in, closing, closing_time
from mtrigger.quiet import Active, Digest
from support.recording import rule_on
from support.samples import NOW, delivery_at, event_at

UTC_ZONE, BERLIN, SEOUL = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Seoul")
QUARTER = Digest(900.0, "", UTC_ZONE)
RULE = replace(rule_on("shop.orders"), digest=QUARTER)
DELIVERY = delivery_at(1, event=event_at(1, document={"_id": 1, "amount": 50}))
UNTIL = NOW + timedelta(hours=1)


def at(text: str, zone: ZoneInfo = UTC_ZONE) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def nine(zone: ZoneInfo) -> Digest:
    return Digest(None, "0 9 * * mon-fri", zone)


@pytest.mark.parametrize(
    ("digest", "begun", "closes"),
    [
        pytest.param(QUARTER, at("2026-01-31 10:00"), at("2026-01-31 10:15"), id="every"),
        pytest.param(nine(UTC_ZONE), at("2026-01-30 08:59:59"), at("2026-01-30 09:00"), id="just before"),
        pytest.param(nine(UTC_ZONE), at("2026-01-30 09:00"), at("2026-02-02 09:00"), id="over the weekend"),
        pytest.param(
            nine(SEOUL), at("2026-01-30 09:30"), at("2026-02-02 09:00", SEOUL), id="by the clocks of Seoul"
        ),
        pytest.param(
            nine(BERLIN),
            at("2026-03-27 10:00", BERLIN),
            at("2026-03-30 09:00", BERLIN),
            id="over the night in which clocks go forward",
        ),
        pytest.param(
            Digest(None, "30 2 * * *", BERLIN),
            at("2026-10-24 12:00", BERLIN),
            at("2026-10-25 00:30"),
            id="in the hour that comes twice, the first time",
        ),
    ],
)
def test_a_window_closes_at_a_time_that_its_first_delivery_alone_decides(
    digest: Digest, begun: datetime, closes: datetime
) -> None:
    """A pure function: asked again after a restart, the answer is the same."""
    assert closing_time(digest, begun) == closes
    assert closes_in(digest, begun, closes - timedelta(seconds=7)) == 7
    assert closes_in(digest, begun, closes) == 0
    assert closes_in(digest, begun, closes + timedelta(days=9)) == 0


def test_a_clock_that_is_set_back_does_not_lengthen_a_window() -> None:
    """A window of a quarter of an hour waits no longer than that."""
    assert closes_in(QUARTER, NOW, NOW - timedelta(days=1)) == 900


def wishes(*silences: Silence, drop: bool | None = None) -> Wishes:
    pauses = {} if drop is None else {RULE.name: Pause(RULE.name, NOW, drop=drop)}
    return Wishes({RULE.name: silences} if silences else {}, pauses)


def silence(where: str = "", until: datetime = UNTIL) -> Silence:
    return Silence("id", RULE.name, NOW, until, where, parse(where) if where else None)


EVENING = Active(frozenset(range(7)), time(18), time(20), UTC_ZONE, "skip")

CASES = [
    pytest.param(RULE, wishes(), False, False, id="nothing speaks against it"),
    pytest.param(RULE, wishes(silence()), True, True, id="the rule is silenced"),
    pytest.param(RULE, wishes(silence(until=NOW)), False, False, id="it was silenced"),
    pytest.param(RULE, wishes(silence("amount < 100")), True, False, id="the change is silenced"),
    pytest.param(RULE, wishes(silence("amount > 100")), False, False, id="other changes are silenced"),
    pytest.param(RULE, wishes(drop=True), True, True, id="paused, and what comes is dropped"),
    pytest.param(replace(RULE, max_age=0.1), wishes(), True, False, id="too old"),
    pytest.param(replace(RULE, active=EVENING), wishes(), True, True, id="outside hours that skip"),
]


@pytest.mark.parametrize(("rule", "wished", "when_it_comes", "when_it_closes"), CASES)
def test_what_is_left_out(rule: object, wished: Wishes, when_it_comes: bool, when_it_closes: bool) -> None:
    """What one change alone decides is decided when it comes, for itself; what holds for the rule, also for
    all that was gathered."""
    assert isinstance(rule, type(RULE))
    now = NOW + timedelta(seconds=1)
    assert (arrival(rule, DELIVERY, wished, now) is not None) is when_it_comes
    assert isinstance(closing(rule, DELIVERY, wished, now).verdict, Suppress) is when_it_closes


def test_hours_that_hold_keep_a_window_open() -> None:
    """What comes outside of them is gathered; the window closes when they begin."""
    rule = replace(RULE, active=replace(EVENING, otherwise="hold"))
    assert arrival(rule, DELIVERY, wishes(), NOW) is None
    verdict = closing(rule, DELIVERY, wishes(), NOW).verdict
    assert isinstance(verdict, Hold)
    assert verdict.seconds == pytest.approx((at("2026-01-31 18:00") - NOW).total_seconds())


def test_the_group_is_told() -> None:
    """As a fact for templates."""
    rule = replace(RULE, digest=replace(QUARTER, per=("amount",)))
    assert closing(rule, DELIVERY, wishes(), NOW).verdict == Pass({"group": {"amount": 50}})
