"""Lanes against a simple model: an outbox that is a list, and attempts that are remembered.

The machine does, in any order, what a process does: events come, pages are asked for and arrive later,
attempts begin, fail and end, their outcomes are written later still, operators reopen what is dead or waits.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mtrigger.deliveries import Delivery, Retrying
from mtrigger.running.lanes import LARGEST_HELD, Line
from mtrigger.stores.base import LARGEST_READ
from support.samples import NOW, delivery_at

CAPACITY = 3
LANES = st.sampled_from("abc")


def drain(line: Line) -> list[Delivery]:
    """Everything that may run now, one after the other."""
    done = []
    while (delivery := line.next(NOW)) is not None:
        line.finish(delivery)
        done.append(delivery)
    return done


def sized(delivery: Delivery, size: int) -> Delivery:
    """The delivery with an event of `size` bytes."""
    return replace(delivery, event=replace(delivery.event, size=size))


class LineMachine(RuleBasedStateMachine):
    """One line, the outbox behind it, and the world around."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(CAPACITY)
        self.now = NOW
        self.number = 0
        self.outbox: dict[str, Delivery] = {}  # open rows
        self.lanes: dict[str, str] = {}
        self.positions: dict[str, str] = {}
        self.durable_not_offered: list[Delivery] = []
        self.page: tuple[list[Delivery], int, int] | None = None
        self.running: dict[str, Delivery] = {}
        self.unwritten: dict[str, Delivery | None] = {}
        self.dead: dict[str, Delivery] = {}
        self.settled: set[str] = set()
        self.extra = 0
        self.last_started: dict[str, str] = {}
        self.out_of_turn: set[str] = set()

    # -- the stream -----------------------------------------------------------------------------------------

    @rule(lane=LANES, size=st.sampled_from([0, 1_000, LARGEST_HELD // 2, 2 * LARGEST_HELD]))
    def becomes_durable(self, lane: str, size: int) -> None:
        """The planner has written a row; the offer follows a moment later."""
        self.number += 1
        delivery = sized(delivery_at(self.number, lane=lane), size)
        self.outbox[delivery.id] = delivery
        self.lanes[delivery.id], self.positions[delivery.id] = lane, delivery.position
        self.durable_not_offered.append(delivery)

    @precondition(lambda self: self.durable_not_offered)
    @rule()
    def is_offered(self) -> None:
        """In order, all that was written."""
        for delivery in self.durable_not_offered:
            self.line.offer(delivery)
        self.durable_not_offered.clear()

    # -- the outbox -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.page is None and self.line.incomplete and self.line.room)
    @rule()
    def a_page_is_read(self) -> None:
        """The database answers with what is open at this moment; the answer is on its way."""
        behind, room, mark = self.line.page()
        rows = sorted(self.outbox.values(), key=lambda row: row.position)
        self.page = ([row for row in rows if row.position > behind][:room], room, mark)

    @precondition(lambda self: self.page is not None)
    @rule()
    def a_page_arrives(self) -> None:
        assert self.page is not None
        rows, asked, mark = self.page
        self.page = None
        self.line.load(rows, asked, mark, NOW)

    # -- attempts -------------------------------------------------------------------------------------------

    @rule()
    def an_attempt_begins(self) -> None:
        """What is doubtful is looked up once all outcomes are written, as the dispatcher does."""
        delivery = self.line.next(self.now)
        if delivery is None:
            return
        assert delivery.id not in self.running, "handed out twice"
        lane = delivery.lane
        assert all(other.lane != lane for other in self.running.values()), "two of one lane at once"
        doubtful = self.line.is_doubtful(delivery)
        if doubtful:
            self.outcomes_are_written()
            if delivery.id not in self.outbox:
                self.line.finish(delivery)
                return
        assert delivery.id in self.outbox, "run although it was settled"
        if not doubtful and delivery.id not in self.out_of_turn:
            assert delivery.position >= self.last_started.get(lane, ""), "overtaken in its lane"
            self.last_started[lane] = delivery.position
        self.running[delivery.id] = delivery

    @precondition(lambda self: self.running)
    @rule(data=st.data(), end=st.sampled_from(["done", "retry", "dead"]))
    def an_attempt_ends(self, data: st.DataObject, end: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        delivery = self.running.pop(key)
        assert key not in self.settled, "settled twice"
        if end == "retry":
            waiting = delivery.after(
                Retrying("busy", self.now + timedelta(seconds=data.draw(st.integers(0, 5))))
            )
            self.line.retry(waiting)
            self.outbox[key] = waiting
            return
        self.settled.add(key)
        self.unwritten[key] = delivery if end == "dead" else None
        self.line.finish(delivery)

    @precondition(lambda self: self.unwritten)
    @rule()
    def outcomes_are_written(self) -> None:
        for key, dead in self.unwritten.items():
            self.outbox.pop(key, None)
            if dead is not None:
                self.dead[key] = dead
        self.unwritten.clear()

    @rule(seconds=st.integers(1, 5))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # -- operators ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def a_dead_one_is_reopened(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.dead)))
        delivery = replace(self.dead.pop(key), attempts=0, due_at=None)
        self.settled.discard(key)
        self.out_of_turn.add(key)
        self.outbox[key] = delivery
        self.extra += 1
        self.line.reopen(delivery)

    @rule(data=st.data())
    def a_waiting_one_is_reopened(self, data: st.DataObject) -> None:
        """Its row is read; it may be running, in its lane, or just done by the time the wish arrives."""
        open_rows = [key for key, row in self.outbox.items() if row.attempts]
        if open_rows:
            key = data.draw(st.sampled_from(sorted(open_rows)))
            self.out_of_turn.add(key)
            self.extra += 1
            self.line.reopen(replace(self.outbox[key], attempts=0, due_at=None))

    @precondition(lambda self: not self.running and not self.durable_not_offered and self.page is None)
    @rule()
    def starts_again(self) -> None:
        """A crash: what is open is loaded from the first on."""
        self.unwritten.clear()
        self.settled -= self.outbox.keys()
        self.dead = {key: row for key, row in self.dead.items() if key not in self.outbox}
        self.line = Line(CAPACITY, behind="" if self.outbox else None)
        self.last_started.clear()
        self.out_of_turn.clear()
        self.extra = 0

    # -- promises -------------------------------------------------------------------------------------------

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.line.running == len(self.running)
        assert len(self.line) <= 2 * CAPACITY + self.extra

    def teardown(self) -> None:
        """Whatever has happened: in the end everything that is owed is run, and each once."""
        self.is_offered()
        if self.page is not None:
            self.a_page_arrives()
        for _ in range(10_000):
            self.now += timedelta(seconds=10)
            for delivery in list(self.running.values()):
                del self.running[delivery.id]
                self.settled.add(delivery.id)
                self.unwritten[delivery.id] = None
                self.line.finish(delivery)
            self.outcomes_are_written()
            if self.line.wants_more:
                self.a_page_is_read()
                self.a_page_arrives()
            self.an_attempt_begins()
            if not self.running and self.line.idle:
                break
        assert not self.outbox, "forgotten"
        assert self.line.next_due() is None


TestLanes = LineMachine.TestCase
TestLanes.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


def test_a_lane_waits_for_its_first_delivery_and_others_do_not() -> None:
    """Order per document holds across retries; another document is not held up."""
    line = Line(10)
    first, second, other = delivery_at(1, lane="a"), delivery_at(2, lane="a"), delivery_at(3, lane="b")
    for delivery in (first, second, other):
        line.offer(delivery)
    assert line.next(NOW) == first
    due_at = NOW + timedelta(seconds=5)
    waiting = first.after(Retrying("busy", due_at))
    line.retry(waiting)

    assert line.next(NOW) == other
    assert line.next(NOW) is None
    assert line.next_due() == due_at
    assert line.next(due_at) == waiting
    line.finish(waiting)
    assert line.next(due_at) == second


def test_beyond_the_capacity_nothing_newer_is_taken_before_what_waits_in_the_outbox() -> None:
    """Else a newer change of a document could overtake an older one."""
    line = Line(2)
    deliveries = [delivery_at(number) for number in range(1, 6)]
    for delivery in deliveries[:3]:
        line.offer(delivery)
    assert (len(line), line.incomplete, line.room) == (2, True, 0)
    assert drain(line) == deliveries[:2]
    line.offer(deliveries[3])

    behind, room, mark = line.page()
    assert (behind, room) == (deliveries[1].position, 2)
    line.load(deliveries[2:4], room, mark, NOW)

    assert drain(line) == deliveries[2:4]
    assert line.incomplete, "a full page need not be the last"
    behind, room, mark = line.page()
    line.load([], room, mark, NOW)
    assert line.idle


def test_a_page_that_was_asked_for_before_something_was_refused_is_not_the_last() -> None:
    """The page may have been read before the refused delivery was written."""
    line = Line(4, behind="")
    _, room, mark = line.page()
    line.offer(delivery_at(1))

    line.load([], room, mark, NOW)

    assert line.incomplete


def test_a_page_never_passes_over_what_was_refused_after_it_was_read() -> None:
    """What was refused lies before what the page holds: the line must not go on behind it."""
    line = Line(4, behind="")
    older, newer = delivery_at(1), delivery_at(2)
    _, room, mark = line.page()
    line.reopen(older)  # dead when the page was read

    line.load([newer], room, mark, NOW)

    assert line.next(NOW) is None
    behind, room, mark = line.page()
    assert behind < older.position
    line.load([older, newer], room, mark, NOW)
    assert drain(line) == [older, newer]
    assert line.idle


def test_a_page_that_overtakes_an_offer_makes_the_offer_doubtful() -> None:
    """The row is there before its writer knows: it may be loaded, run and done when the offer comes."""
    line = Line(4, behind="")
    delivery = delivery_at(1)
    _, room, mark = line.page()
    line.load([delivery], room, mark, NOW)
    assert drain(line) == [delivery]

    line.offer(delivery)

    assert line.next(NOW) == delivery
    assert line.is_doubtful(delivery)
    line.finish(delivery)
    assert not line.is_doubtful(delivery)


def test_reopening_what_is_lined_up_already_does_not_line_it_up_twice() -> None:
    """A retry whose time had come, and then the operator's wish: one attempt, not two at once."""
    line = Line(4)
    delivery = delivery_at(1)
    line.offer(delivery)
    line.next(NOW)
    line.retry(delivery.after(Retrying("busy", NOW)))
    other = delivery_at(2, lane="b")
    line.offer(other)
    assert line.next(NOW) == other  # the retry is lined up behind it now

    line.reopen(delivery)

    assert line.next(NOW) == delivery
    assert line.next(NOW) is None


def test_reopening_ends_a_wait_at_once() -> None:
    """That is what the operator wants."""
    line = Line(4)
    delivery = delivery_at(1)
    line.offer(delivery)
    line.next(NOW)
    line.retry(delivery.after(Retrying("busy", NOW + timedelta(hours=1))))
    assert line.next(NOW) is None

    line.reopen(delivery)

    assert line.next(NOW) == delivery
    assert line.next_due() is None


def test_a_running_delivery_is_not_started_again_by_an_operator() -> None:
    """It is being tried at that very moment."""
    line = Line(4)
    delivery = delivery_at(1)
    line.offer(delivery)
    line.next(NOW)

    line.reopen(delivery)

    assert line.next(NOW) is None
    line.finish(delivery)
    assert line.idle


def test_a_reopened_delivery_that_is_still_to_be_loaded_comes_in_its_turn_and_once() -> None:
    """Were it taken at once, the page that holds it would bring it a second time."""
    line = Line(4, behind="")
    older, reopened = delivery_at(1), delivery_at(2)
    line.reopen(reopened)
    assert line.next(NOW) is None

    _, room, mark = line.page()
    line.load([older, reopened], room, mark, NOW)

    assert drain(line) == [older, reopened]


@pytest.mark.parametrize(("held", "wants"), [(0, True), (1, True), (2, False), (3, False), (4, False)])
def test_more_is_loaded_when_half_of_the_room_is_free(held: int, wants: bool) -> None:
    """Not for every single place that becomes free."""
    line = Line(4, behind="")
    line.load([delivery_at(number) for number in range(1, held + 1)], held, 0, NOW)

    assert line.wants_more is wants


def test_more_is_loaded_when_all_that_is_held_waits() -> None:
    """Documents that fail must not hold up the others while there is room."""
    line = Line(4, behind="")
    line.load([delivery_at(number, lane=str(number)) for number in (1, 2, 3)], 3, 0, NOW)
    assert not line.wants_more
    for _ in range(3):
        delivery = line.next(NOW)
        assert delivery is not None
        line.retry(delivery.after(Retrying("busy", NOW + timedelta(hours=1))))

    assert line.wants_more


def test_large_events_are_held_by_their_bytes() -> None:
    """Of 1,000 places for 1 MB each, 32 are filled; what is beyond stays in the outbox."""
    line = Line(1_000)
    for number in range(1, 101):
        line.offer(sized(delivery_at(number, lane=str(number)), 1_000_000))

    assert len(line) == LARGEST_HELD // 1_000_000
    assert line.incomplete
    assert not line.wants_more


def test_an_event_larger_than_all_that_may_be_held_is_still_taken_alone() -> None:
    """Otherwise it would never have its turn."""
    line = Line(1_000)
    one, two = (sized(delivery_at(number), 2 * LARGEST_HELD) for number in (1, 2))
    line.offer(one)
    line.offer(two)
    assert len(line) == 1

    assert drain(line) == [one]
    _, room, mark = line.page()
    assert line.wants_more
    line.load([two], room, mark, NOW)
    assert drain(line) == [two]


def test_a_page_that_is_full_of_bytes_is_not_the_last_one() -> None:
    """The outbox stops reading there; what lies behind is asked for in its turn."""
    line = Line(1_000, behind="")
    _, room, mark = line.page()
    page = [sized(delivery_at(number), LARGEST_READ // 4) for number in range(1, 5)]
    line.load(page, room, mark, NOW)

    assert line.incomplete
    assert drain(line) == page
    _, room, mark = line.page()
    line.load([], room, mark, NOW)
    assert not line.incomplete


def test_a_line_that_moves_is_worth_waiting_for_and_no_other() -> None:
    """One that is full but runs makes room. One that all waits in, or that has overflowed, is not waited for,
    nor one that could not hold so many at all."""
    line = Line(3)
    for number in (1, 2, 3):
        line.offer(delivery_at(number, lane=str(number)))
    assert line.will_take(2)
    assert not line.will_take(4)

    handed_out = list(iter(lambda: line.next(NOW), None))
    assert line.will_take(2)
    line.finish(handed_out[0])
    assert not line.will_take(1)  # there is room
    assert line.will_take(2)

    for delivery in handed_out[1:]:
        line.retry(delivery.after(Retrying("down", NOW + timedelta(hours=1))))
    assert not line.will_take(2)
    line.offer(delivery_at(4))
    line.offer(delivery_at(5))
    assert line.incomplete
    assert not line.will_take(2)


def test_a_delivery_is_known_to_be_owed_since_it_was_stored_or_loaded() -> None:
    """What an operator discards later than that is another matter."""
    line = Line(3, behind="")
    _, room, mark = line.page()
    later = NOW + timedelta(hours=1)
    old, new = delivery_at(1, created_at=NOW), delivery_at(2, created_at=later + timedelta(seconds=1))
    line.load([old], room, mark, later)
    line.offer(new)

    assert line.known_since(old) == later
    assert line.known_since(new) == new.created_at


def test_lanes_are_woken_before_their_time() -> None:
    """Those that were named and wait, the ones that are due first before the others; no others."""
    line = Line(10)
    deliveries = [delivery_at(number, lane=lane) for number, lane in enumerate("abcd", start=1)]
    for delivery in deliveries:
        line.offer(delivery)
    for seconds, delivery in zip((30, 20, 10), deliveries, strict=False):
        assert line.next(NOW) is delivery
        line.retry(replace(delivery, due_at=NOW + timedelta(seconds=seconds)))

    assert line.wake({"a", "b", "d", "unknown"}) == 2
    assert [delivery.lane for delivery in drain(line)] == ["d", "b", "a"]
    assert line.next_due() == NOW + timedelta(seconds=10)
    assert line.wake({"a"}) == 0
