"""The limit of a rule across its lines: never exceeded, always reached, and shared in turns."""

from collections import Counter, deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.running.limits import RuleLimits
from mtrigger.stores.base import LineKey

MAIL, HOOK, LOG = (LineKey("big-order", action) for action in ("email", "webhook", "log"))
OTHER = LineKey("small-order", "log")


@dataclass
class Dispatching:
    """What a dispatcher does with the limits, and in which order attempts began."""

    limits: RuleLimits
    owed: Counter[LineKey]
    running: deque[LineKey] = field(default_factory=deque)
    began: list[LineKey] = field(default_factory=list)

    def pump(self, line: LineKey) -> None:
        while self.owed[line]:
            if not self.limits.admits(line.rule):
                self.limits.waits(line)
                return
            self.owed[line] -= 1
            self.limits.began(line)
            self.running.append(line)
            self.began.append(line)

    def end_one(self, place: int = 0) -> None:
        self.running.rotate(-place)
        for line in self.limits.ended(self.running.popleft()):
            self.pump(line)


def dispatching(most: dict[str, int], **owed: int) -> Dispatching:
    """A dispatcher that has looked once at every line of the rule."""
    limits = RuleLimits()
    limits.use(most)
    begun = Dispatching(limits, Counter({LineKey("big-order", name): count for name, count in owed.items()}))
    for line in list(begun.owed):
        begun.pump(line)
    return begun


@given(
    most=st.integers(1, 4),
    owed=st.lists(st.integers(0, 6), min_size=3, max_size=3),
    ends=st.lists(st.integers(0, 3), min_size=18, max_size=18),
)
def test_the_limit_is_kept_and_reached_and_everything_is_done(
    most: int, owed: list[int], ends: list[int]
) -> None:
    """In whatever order attempts end: as many run as are allowed, as long as so many are owed."""
    begun = dispatching({"big-order": most}, **dict(zip(("email", "webhook", "log"), owed, strict=True)))
    for place in ends:
        assert len(begun.running) == min(most, len(begun.running) + begun.owed.total())
        if begun.running:
            begun.end_one(place)
    assert not begun.running
    assert len(begun.began) == sum(owed)


def test_lines_take_turns() -> None:
    """A webhook with one delivery does not wait for a thousand mails."""
    begun = dispatching({"big-order": 1}, email=1_000, webhook=2, log=1)
    for _ in range(6):
        begun.end_one()
    assert begun.began == [MAIL, MAIL, HOOK, LOG, MAIL, HOOK, MAIL]


@pytest.mark.parametrize(("before", "after"), [({}, {"big-order": 2}), ({"big-order": 5}, {"big-order": 2})])
def test_a_smaller_limit_counts_what_runs_already(before: dict[str, int], after: dict[str, int]) -> None:
    """A reload never ends an attempt, and begins none before there is room."""
    begun = dispatching(before, email=5)
    begun.limits.use(after)
    begun.owed[HOOK] = 1
    begun.pump(HOOK)
    for _ in range(3):
        begun.end_one()
        assert HOOK not in begun.began
    begun.end_one()
    assert begun.began[-1] == HOOK


def test_rules_do_not_share_a_limit() -> None:
    """Nor has a rule one that names none."""
    begun = dispatching({"big-order": 1}, email=1)
    begun.owed[OTHER] = 100
    begun.pump(OTHER)
    assert not begun.limits.admits("big-order")
    assert begun.running.count(OTHER) == 100
