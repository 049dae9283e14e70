"""What rules would do, tried without a store: the same decisions as live, with all of their memory."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from bson.decimal128 import Decimal128
from bson.timestamp import Timestamp

from mtrigger.actions.base import ActionConfig
from mtrigger.events import ChangeEvent
from mtrigger.quiet import Absent, Digest, LoopGuard, Throttle
from mtrigger.rules import Rule, RuleAction
from mtrigger.trying.trials import Trial, Tried
from support.recording import rule_on
from support.samples import NOW, event_at

START = 1_769_853_600
RULE = rule_on("shop.tanks", name="tanks")
SILENT = replace(
    RULE,
    absent=Absent(10.0, ("_id",)),
    resolved=(RuleAction("resolved-log", "log", ActionConfig()),),
)


def at(second: int, key: str = "a") -> ChangeEvent:
    """A change of one tank so many seconds after the start."""
    event = event_at(1, operation="replace", namespace="shop.tanks", key=key)
    time = Timestamp(START + second, 1)
    token = f"82{time.time:08X}{time.inc:08X}2B{key.encode().hex().upper()}"
    return replace(event, token=token, cluster_time=time, time=NOW + timedelta(seconds=second))


def came(trial: Trial, rule: Rule, *events: ChangeEvent) -> list[str]:
    """What each of the events, all of which the rule wants, came to."""
    return [trial.consider(rule, event, event.time, fires=True).came for event in events]


def silences(trial: Trial, rule: Rule, second: int) -> list[str]:
    """The tanks that are told to be silent when the stream has come to this second."""
    return [told(one) for one in trial.silences(rule, Timestamp(START + second, 1))]


def told(tried: Tried) -> str:
    """Of which tank, and what came of it."""
    assert tried.event is not None
    return f"{tried.event.key['_id']} {tried.came}"


def test_a_rule_that_keeps_itself_busy_is_paused() -> None:
    """From the change on that is one too many, for every document; the reason is the live one."""
    rule = replace(RULE, loop_guard=LoopGuard(at_most=2, within=10))
    trial = Trial()
    assert came(trial, rule, at(0), at(1), at(1, "b"), at(2), at(3, "b")) == [
        "fires",
        "fires",
        "fires",
        "held",
        "held",
    ]
    tried = trial.consider(rule, at(90, "c"), NOW, fires=True)
    assert tried.reason.startswith("the rule is paused: it goes round in circles: ")


def test_changes_that_come_slowly_do_not_pause_a_rule() -> None:
    """What counts lies within the guard's time."""
    rule = replace(RULE, loop_guard=LoopGuard(at_most=2, within=10))
    assert came(Trial(), rule, *(at(second) for second in range(0, 60, 6))) == ["fires"] * 10


def test_each_silence_is_told_once_in_the_order_in_which_they_were_due() -> None:
    """A group that went on is not silent; one that was told is told again once something came."""
    trial = Trial()
    assert came(trial, SILENT, at(0), at(1, "b"), at(5)) == ["ignored"] * 3
    assert silences(trial, SILENT, 10) == []
    assert silences(trial, SILENT, 15) == ["b fires", "a fires"]
    assert silences(trial, SILENT, 1_000) == []
    assert came(trial, SILENT, at(1_001), at(1_002, "c")) == ["resolves", "ignored"]
    assert silences(trial, SILENT, 1_011) == ["a fires"]
    assert silences(trial, SILENT, 2_000) == ["c fires"]


def test_a_silence_that_ends_with_the_next_change_was_one_before() -> None:
    """Nobody looked in between, and yet it is over."""
    trial = Trial()
    assert came(trial, SILENT, at(0), at(30)) == ["ignored", "resolves"]


def test_a_rule_without_groups_waits_from_the_beginning_on() -> None:
    """Although nothing ever came."""
    trial = Trial()
    rule = replace(SILENT, absent=Absent(10.0))
    trial.begin(rule, Timestamp(START, 1))
    assert [tried.came for tried in trial.silences(rule, Timestamp(START + 9, 1))] == []
    assert [tried.came for tried in trial.silences(rule, Timestamp(START + 10, 1))] == ["fires"]


@pytest.mark.parametrize(
    ("digest", "opens"),
    [
        (Digest(10.0, "", ZoneInfo("UTC")), [True, False, False, True, False]),
        (Digest(None, "* * * * *", ZoneInfo("UTC")), [True, False, False, False, True]),
        (Digest(None, "* * * * *", ZoneInfo("UTC"), ("_id",)), [True, True, False, False, True]),
    ],
    ids=["every", "cron", "grouped"],
)
def test_what_is_gathered_together_is_one_digest(digest: Digest, opens: list[bool]) -> None:
    """Its first change is told apart."""
    rule, trial = replace(RULE, digest=digest), Trial()
    events = (at(0), at(1, "b"), at(9), at(10), at(61) if digest.cron else at(11))
    tried = [trial.consider(rule, event, event.time, fires=True) for event in events]
    assert [one.came for one in tried] == ["fires"] * 5
    assert [one.opens for one in tried] == opens


def test_a_throttle_counts_what_was_let_through_as_sent() -> None:
    """By the times of the changes; the next one knows how many were held back."""
    rule, trial = replace(RULE, throttle=Throttle(10.0)), Trial()
    assert came(trial, rule, at(0), at(5, "b"), at(9)) == ["fires", "suppressed", "suppressed"]
    tried = trial.consider(rule, at(10), at(10).time, fires=True)
    assert (tried.came, tried.facts["held_back"]) == ("fires", 2)


def test_a_digest_tells_of_all_that_was_gathered_so_far() -> None:
    """As it would be sent: the listed documents are bounded, the count and the sums are not."""
    digest = Digest(60.0, "", ZoneInfo("UTC"), max=2, sums=("level",))
    rule, trial = replace(RULE, digest=digest), Trial()
    levels = (1, Decimal128("2.5"), "many")
    events = [replace(at(n), document={"_id": "a", "level": level}) for n, level in enumerate(levels)]
    facts = [trial.consider(rule, event, event.time, fires=True).facts for event in events]
    assert [one["count"] for one in facts] == [1, 2, 3]
    assert [len(one["documents"]) for one in facts] == [1, 2, 2]
    assert facts[-1]["more"] == 1
    assert facts[-1]["sums"] == {"level": Decimal128("3.5")}
    later = replace(at(61), document={"_id": "a", "level": 7})
    assert trial.consider(rule, later, later.time, fires=True).facts["sums"] == {"level": 7}
