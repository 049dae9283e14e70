"""Lanes that wait for a destination: who may probe, in turns, and that all go on when it is up."""

from collections.abc import Set as AbstractSet

import pytest

from mtrigger.actions.breaker import FAILURES
from mtrigger.actions.breakers import Breakers
from mtrigger.running.waiting import WaitingLanes
from mtrigger.stores.base import LineKey

MAIL, HOST = "smtp://mail.example:25", "https://example.com"
ONE, TWO = LineKey("big-order", "email"), LineKey("small-order", "email")


class Lines:
    """Stands for a dispatcher: which lanes it was told to wake, and which of them are there."""

    def __init__(self) -> None:
        self.woken: list[tuple[LineKey, str]] = []
        self.gone: set[LineKey] = set()

    def wake(self, line: LineKey, lanes: AbstractSet[str]) -> int:
        if line in self.gone:
            return 0
        self.woken += [(line, lane) for lane in lanes]
        return len(lanes)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
async def waiting(lines: Lines) -> WaitingLanes:
    """With both destinations down."""
    breakers = Breakers()
    for destination in (MAIL, HOST):
        for _ in range(FAILURES):
            with breakers.reaching(destination) as attempt:
                attempt.failed("refused")
    return WaitingLanes(breakers, lines.wake)


async def test_all_of_a_destination_go_on_when_it_is_up(waiting: WaitingLanes, lines: Lines) -> None:
    """And those that wait for another one do not."""
    waiting.add(MAIL, ONE, "a")
    waiting.add(MAIL, TWO, "b")
    waiting.add(HOST, ONE, "c")
    assert waiting.number(MAIL) == 2
    waiting.go_on(MAIL)
    assert lines.woken == [(ONE, "a"), (TWO, "b")]
    assert (waiting.number(MAIL), waiting.number(HOST)) == (0, 1)
    waiting.go_on(MAIL)
    assert len(lines.woken) == 2


async def test_when_rules_change_everybody_is_asked_again(waiting: WaitingLanes, lines: Lines) -> None:
    """They may be for another server now."""
    waiting.add(MAIL, ONE, "a")
    waiting.add(HOST, TWO, "b")
    waiting.ask_again()
    assert lines.woken == [(ONE, "a"), (TWO, "b")]
    assert (waiting.number(MAIL), waiting.number(HOST)) == (0, 0)


async def test_one_may_probe_and_the_lines_take_turns(waiting: WaitingLanes, lines: Lines) -> None:
    """A line with a thousand deliveries that bring the server down does not keep another one from trying, and
    one that has failed comes last."""
    for lane in ("a", "b", "c"):
        waiting.add(MAIL, ONE, lane)
    waiting.add(MAIL, TWO, "d")
    for _ in range(3):
        waiting.probe(MAIL)
        line, lane = lines.woken[-1]
        waiting.add(MAIL, line, lane)
    assert lines.woken == [(ONE, "a"), (TWO, "d"), (ONE, "b")]
    assert waiting.number(MAIL) == 4


async def test_a_line_that_is_gone_takes_no_turn(waiting: WaitingLanes, lines: Lines) -> None:
    """Its rule was removed: what it owes waits in the outbox."""
    waiting.add(MAIL, ONE, "a")
    waiting.add(MAIL, ONE, "b")
    waiting.add(MAIL, TWO, "c")
    lines.gone.add(ONE)
    waiting.probe(MAIL)
    assert lines.woken == [(TWO, "c")]
    waiting.probe(MAIL)
    assert waiting.number(MAIL) == 0


async def test_a_lane_that_was_handed_out_waits_no_longer(waiting: WaitingLanes, lines: Lines) -> None:
    """An operator wanted it tried now; it may wait for something else by then."""
    waiting.add(MAIL, ONE, "a")
    waiting.add(MAIL, ONE, "b")
    waiting.remove(ONE, "a")
    waiting.remove(ONE, "a")
    waiting.go_on(MAIL)
    assert lines.woken == [(ONE, "b")]


async def test_what_came_up_meanwhile_is_not_waited_for(waiting: WaitingLanes, lines: Lines) -> None:
    """Between being refused and waiting, somebody else has reached it: nobody would tell of that again."""
    waiting.add("smtp://other.example:25", ONE, "a")
    assert lines.woken == [(ONE, "a")]
    assert waiting.number("smtp://other.example:25") == 0
