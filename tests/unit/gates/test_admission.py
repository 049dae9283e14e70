"""What keeps a delivery back: the gates in turn, each told in a table of what came and what became of it."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.conditions import parse
from mtrigger.deliveries import Dead, Delivered, Delivery, Retrying
from mtrigger.gates import NOTHING_YET, GroupState, Hold, Pass, Pause, Silence, Suppress, Wishes
from mtrigger.gates import admission as ask
from mtrigger.gates import after as remember
from mtrigger.quiet import Active, Count, Throttle
from mtrigger.rules import Rule
from support.recording import rule_on
from support.samples import NOW, delivery_at, event_at

NO_WISHES = Wishes()
HOUR = timedelta(hours=1)
EVERY_HOUR = replace(rule_on("shop.orders"), throttle=Throttle(3600.0))
THREE_IN_TEN = replace(rule_on("shop.orders"), count=Count(3, 10.0))
OFFICE = Active(frozenset(range(5)), time(9), time(18), ZoneInfo("UTC"))
SATURDAY = datetime(2026, 1, 31, 12, tzinfo=UTC)


def happening(number: int, seconds: float = 0.0, **document: Any) -> Delivery:
    """What is owed for the change at `number`, which happened so many seconds after NOW."""
    event = replace(event_at(number, document={"_id": number, **document}))
    return delivery_at(number, event=replace(event, time=NOW + timedelta(seconds=seconds)))


def verdict(
    rule: Rule,
    delivery: Delivery,
    state: GroupState = NOTHING_YET,
    wishes: Wishes = NO_WISHES,
    now: Any = NOW,
) -> Pass | Suppress | Hold:
    """What the gates say."""
    return ask(rule, delivery, state, wishes, now).verdict


def sent(rule: Rule, delivery: Delivery, state: GroupState, now: datetime) -> GroupState:
    """The memory once `delivery` was asked about, let through and sent."""
    admitted = ask(rule, delivery, state, NO_WISHES, now)
    assert isinstance(admitted.verdict, Pass), admitted.verdict
    return remember(rule, delivery, admitted.state, Delivered(), now)


# -- counting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "fires"),
    [
        ([0, 1, 2], "--x"),
        ([0, 1, 2, 3, 4, 5], "--x--x"),
        ([0, 5, 10], "---"),
        ([0, 5, 9.999], "--x"),
        ([0, 1, 11, 12, 13], "----x"),
        ([5, 4, 3], "--x"),
        ([100, 1, 2, 3], "----"),
        ([100, 1, 101, 99], "---x"),
        ([0, 0, 0, 0], "--x-"),
    ],
    ids=[
        "three",
        "it begins anew",
        "just too far apart",
        "just near enough",
        "the first has gone by",
        "backwards",
        "long past changes do not count",
        "a late one does while it lies within",
        "at the same moment",
    ],
)
def test_a_rule_fires_for_the_change_that_makes_it_so_many(times: list[float], fires: str) -> None:
    """By the times of the changes, whenever they are read, and in whatever order they come."""
    state, seen = NOTHING_YET, ""
    for number, seconds in enumerate(times):
        admitted = ask(THREE_IN_TEN, happening(number, seconds), state, NO_WISHES, NOW + 100 * HOUR)
        seen += "x" if isinstance(admitted.verdict, Pass) else "-"
        state = admitted.state

    assert seen == fires


def test_what_is_left_out_says_how_many_there_were() -> None:
    """For whom, too, where groups are counted by themselves."""
    per_user = replace(rule_on("shop.logins"), count=Count(3, 600.0, ("user",)))

    assert verdict(per_user, happening(1, user="ann")) == Suppress(
        "counted: 1 of 3 within 10m for user = ann"
    )


def test_who_fires_sees_the_count_and_the_group() -> None:
    """For templates."""
    rule = replace(rule_on("shop.logins"), count=Count(1, 600.0, ("user",)))

    assert verdict(rule, happening(1, user="ann")) == Pass({"count": 1, "group": {"user": "ann"}})


def test_what_cannot_be_read_is_neither_counted_nor_kept_back() -> None:
    """It dies of that and says so: it is not the third of three, and no window or wish hides it."""
    state = NOTHING_YET
    for number in (1, 2):
        state = ask(THREE_IN_TEN, happening(number), state, NO_WISHES, NOW).state
    third = happening(3)
    unreadable = replace(third, event=replace(third.event, flaw="a: an old binary"))

    admitted = ask(THREE_IN_TEN, unreadable, state, NO_WISHES, NOW)

    assert (admitted.verdict, admitted.state) == (Pass(), state)
    assert isinstance(verdict(THREE_IN_TEN, happening(4), state), Pass)
    paused = Wishes(pauses={EVERY_HOUR.name: Pause(EVERY_HOUR.name, NOW, drop=True)})
    within = GroupState(sent_at=NOW, sent_by="another")
    old = replace(EVERY_HOUR, max_age=60.0)
    assert verdict(old, unreadable, within, paused, NOW + HOUR / 2) == Pass()


# -- throttling ----------------------------------------------------------------------------------------------


def test_only_a_successful_send_begins_a_window() -> None:
    """What fails or dies throttles nobody."""
    first, second = happening(1), happening(2)
    admitted = ask(EVERY_HOUR, first, NOTHING_YET, NO_WISHES, NOW)
    assert admitted.verdict == Pass({"held_back": 0})

    for failure in (Retrying("busy", NOW), Dead("no such user")):
        state = remember(EVERY_HOUR, first, admitted.state, failure, NOW)
        assert isinstance(verdict(EVERY_HOUR, second, state), Pass)

    state = remember(EVERY_HOUR, first, admitted.state, Delivered(), NOW)
    assert verdict(EVERY_HOUR, second, state) == Suppress("throttled: one every 1h")


@pytest.mark.parametrize(
    ("later", "throttled"),
    [
        (timedelta(0), True),
        (HOUR - timedelta(milliseconds=1), True),
        (HOUR, False),
        (-timedelta(milliseconds=1), False),
        (-24 * HOUR, False),
    ],
    ids=["at once", "just before its end", "its end", "clocks set back a little", "clocks set back a day"],
)
def test_a_window_lasts_so_long_and_never_longer_when_clocks_are_set_back(
    later: timedelta, throttled: bool
) -> None:
    """Rather one send too many than none for a day."""
    state = sent(EVERY_HOUR, happening(1), NOTHING_YET, NOW)

    assert isinstance(verdict(EVERY_HOUR, happening(2), state, now=NOW + later), Suppress) is throttled


def test_the_next_send_tells_how_many_were_held_back_and_tells_the_same_when_repeated() -> None:
    """A crash between the memory and the outcome sends it again."""
    state = sent(EVERY_HOUR, happening(1), NOTHING_YET, NOW)
    for number in (2, 3):
        state = ask(EVERY_HOUR, happening(number), state, NO_WISHES, NOW + HOUR / 2).state

    assert verdict(EVERY_HOUR, happening(4), state, now=NOW + HOUR) == Pass({"held_back": 2})
    state = sent(EVERY_HOUR, happening(4), state, NOW + HOUR)
    assert verdict(EVERY_HOUR, happening(4), state, now=NOW + HOUR) == Pass({"held_back": 2})
    state = sent(EVERY_HOUR, happening(4), state, NOW + HOUR)
    assert verdict(EVERY_HOUR, happening(5), state, now=NOW + 2 * HOUR) == Pass({"held_back": 0})


def test_what_was_held_back_stays_so_although_the_window_is_over_since() -> None:
    """It is asked about again after a crash: it was counted as held back."""
    state = sent(EVERY_HOUR, happening(1), NOTHING_YET, NOW)
    state = ask(EVERY_HOUR, happening(2), state, NO_WISHES, NOW).state

    again = ask(EVERY_HOUR, happening(2), state, NO_WISHES, NOW + 2 * HOUR)

    assert again.verdict == Suppress("left out already, before a restart, by throttle")
    assert again.state == state


# -- wishes, age, hours --------------------------------------------------------------------------------------


def silence(where: str = "", comment: str = "", hours: int = 4) -> Wishes:
    """One silence of the rule."""
    condition = parse(where) if where else None
    wish = Silence("1", "big-order", NOW, NOW + hours * HOUR, where, condition, "ann", comment)
    return Wishes({"big-order": (wish,)})


def paused(*, drop: bool, reason: str = "") -> Wishes:
    """A pause of the rule."""
    return Wishes({}, {"big-order": Pause("big-order", NOW, drop, reason)})


ANY = rule_on("shop.orders")
UNTIL = "2026-01-31T14:00:00+00:00"


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (silence(), Suppress(f"silenced until {UNTIL}")),
        (silence(comment="deploy"), Suppress(f"silenced until {UNTIL}: deploy")),
        (silence("amount < 50"), Pass()),
        (silence("amount >= 50"), Suppress(f"silenced until {UNTIL}")),
        (silence(hours=0), Pass()),
        (paused(drop=True), Suppress("the rule is paused")),
        (paused(drop=True, reason="storm"), Suppress("the rule is paused: storm")),
        (paused(drop=False), Pass()),
        (Wishes({"other": silence().silences["big-order"]}), Pass()),
    ],
    ids=[
        "silenced",
        "silenced with a comment",
        "silenced for others",
        "silenced for such",
        "no longer silenced",
        "dropped",
        "dropped, and why",
        "kept",
        "another rule",
    ],
)
def test_what_operators_wish(wishes: Wishes, expected: Pass | Suppress) -> None:
    """A pause that keeps is no gate: nothing is handed out then (see the dispatcher)."""
    assert verdict(ANY, happening(1, amount=50), wishes=wishes) == expected


@pytest.mark.parametrize(("age", "passes"), [(0, True), (60, True), (60.001, False)])
def test_changes_that_are_too_old_are_left_out(age: float, passes: bool) -> None:
    """By the time of the change, not of the delivery."""
    rule = replace(rule_on("shop.orders"), max_age=60.0)

    found = verdict(rule, happening(1), now=NOW + timedelta(seconds=age))

    assert found == (Pass() if passes else Suppress("the change is older than 1m (max_age)"))


@pytest.mark.parametrize(
    ("otherwise", "expected"),
    [
        ("hold", Hold((24 + 21) * 3600.0, "outside the rule's active hours")),
        ("skip", Suppress("outside the rule's active hours")),
    ],
)
def test_outside_its_hours_a_rule_holds_or_skips(otherwise: Any, expected: Hold | Suppress) -> None:
    """Saturday noon: until Monday at nine."""
    rule = replace(rule_on("shop.orders"), active=replace(OFFICE, otherwise=otherwise))

    assert verdict(rule, happening(1), now=SATURDAY) == expected


# -- what was let through before -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "wishes", "expected"),
    [
        (1, NO_WISHES, Pass),
        (1, silence(), Suppress),
        (0, silence(), Pass),
        (1, paused(drop=True), Suppress),
        (0, paused(drop=True), Suppress),
    ],
    ids=[
        "a retry",
        "a retry of a silenced rule",
        "an operator's retry of a silenced rule",
        "a retry of a rule that drops",
        "an operator's retry of a rule that drops",
    ],
)
def test_a_retry_is_not_counted_or_throttled_again_but_can_be_silenced(
    attempts: int, wishes: Wishes, expected: type[Any]
) -> None:
    """An operator who wants it tried knows of the silences; a pause is a pause."""
    rule = replace(THREE_IN_TEN, throttle=Throttle(3600.0), max_age=1.0)
    state = GroupState(sent_at=NOW, sent_by="another", held_back=2)
    tried = replace(happening(1), admitted=True, attempts=attempts)

    admitted = ask(rule, tried, state, wishes, NOW + timedelta(minutes=1))

    assert isinstance(admitted.verdict, expected)
    assert admitted.state == state


@pytest.mark.parametrize(("otherwise", "expected"), [("hold", Hold), ("skip", Pass)])
def test_a_retry_waits_for_the_hours_and_is_never_skipped(otherwise: Any, expected: type[Any]) -> None:
    """What was begun within the hours is brought to its end."""
    rule = replace(rule_on("shop.orders"), active=replace(OFFICE, otherwise=otherwise))

    assert isinstance(verdict(rule, replace(happening(1), admitted=True, attempts=1), now=SATURDAY), expected)


# -- their order ---------------------------------------------------------------------------------------------

ALL = replace(
    rule_on("shop.orders"),
    count=Count(1, 10.0),
    max_age=1.0,
    active=replace(OFFICE, otherwise="skip"),
    throttle=Throttle(1e9),
)
SHUT = Wishes(silence().silences, paused(drop=True).pauses)


@pytest.mark.parametrize(
    ("rule", "wishes", "reason"),
    [
        (replace(ALL, count=Count(2, 10.0)), SHUT, "counted"),
        (ALL, SHUT, "the rule is paused"),
        (ALL, silence(), "silenced"),
        (ALL, NO_WISHES, "the change is older"),
        (replace(ALL, max_age=None), NO_WISHES, "outside"),
        (replace(ALL, max_age=None, active=None), NO_WISHES, "throttled"),
    ],
    ids=["count", "pause", "silence", "age", "hours", "throttle"],
)
def test_the_gates_stand_in_this_order(rule: Rule, wishes: Wishes, reason: str) -> None:
    """Each says no; the first is heard. Only what would have been sent counts as held back by a throttle."""
    state = GroupState(sent_at=NOW, sent_by="another")

    admitted = ask(rule, happening(1), state, wishes, NOW + timedelta(seconds=2))

    assert isinstance(admitted.verdict, Suppress)
    assert admitted.verdict.reason.startswith(reason)
    assert admitted.state.held_back == (reason == "throttled")


def test_what_waits_for_the_hours_is_counted_once() -> None:
    """It is asked about every minute with the memory before it: a hold is not remembered."""
    rule = replace(rule_on("shop.orders"), count=Count(1, 10.0), active=OFFICE)

    held = ask(rule, happening(1), NOTHING_YET, NO_WISHES, SATURDAY)

    assert isinstance(held.verdict, Hold)
    assert isinstance(verdict(rule, happening(1), NOTHING_YET, now=SATURDAY + 2 * 24 * HOUR), Pass)


@given(
    at_least=st.integers(1, 4),
    within=st.sampled_from([1.0, 5.0, 20.0]),
    times=st.lists(st.integers(0, 40), max_size=60),
)
def test_counting_is_as_if_every_change_were_remembered(
    at_least: int, within: float, times: list[int]
) -> None:
    """The memory lets go of times; no verdict depends on those. In any order, with any number at once."""
    rule = replace(rule_on("shop.orders"), count=Count(at_least, within))
    state, since_it_fired, fired, expected = NOTHING_YET, list[int](), list[int](), list[int]()
    for number, seconds in enumerate(times):
        since_it_fired.append(seconds)
        if sum(time > max(since_it_fired) - within for time in since_it_fired) >= at_least:
            expected.append(number)
            since_it_fired = []
        admitted = ask(rule, happening(number, float(seconds)), state, NO_WISHES, NOW)
        if isinstance(admitted.verdict, Pass):
            fired.append(number)
        state = admitted.state
        assert len(state.times) < at_least

    assert fired == expected
