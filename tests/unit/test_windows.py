"""The heads of a line with a digest: which there are, when they are due, and that no lane is forgotten."""

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from mtrigger.deliveries import Delivery
from mtrigger.grouping import gathering
from mtrigger.quiet import Digest
from mtrigger.running.windows import Windows
from support.samples import NOW, delivery_at

WINDOW = timedelta(seconds=10)
LANES = gathering(())
CLOSED = NOW + WINDOW


def windows(capacity: int = 100, behind: str | None = None) -> Windows:
    def closes_at(head: Delivery) -> datetime:
        return head.created_at + WINDOW

    return Windows(capacity, Digest(10.0, "", ZoneInfo("UTC")), closes_at, behind=behind)


def gathered(number: int, lane: str = "a", *, age: int = 0, due_at: datetime | None = None) -> Delivery:
    created_at = NOW - timedelta(seconds=age)
    return delivery_at(number, lane=f"{LANES}{lane}", created_at=created_at, due_at=due_at)


def next_at(line: Windows, now: datetime) -> Delivery:
    delivery = line.next(now)
    assert delivery is not None
    return delivery


def test_the_first_of_a_group_begins_a_window_and_the_others_go_with_it() -> None:
    """It is due when the window closes; however many follow, one is held, and not its event."""
    line = windows()
    for number in range(1, 1_000):
        line.offer(gathered(number))
    line.offer(gathered(1_000, "b", age=5))

    assert len(line) == 2
    assert not line.is_ready(NOW)
    assert line.next_due() == CLOSED - timedelta(seconds=5)
    assert next_at(line, CLOSED - timedelta(seconds=5)).id == gathered(1_000, "b").id
    head = next_at(line, CLOSED)
    assert head.id == gathered(1).id
    assert head.event.document is None
    assert line.next(CLOSED) is None


def test_what_comes_while_a_digest_is_sent_begins_the_next_window() -> None:
    """It may have come after the digest was sealed."""
    line = windows()
    line.offer(gathered(1, age=10))
    head = next_at(line, NOW)
    line.offer(gathered(2))
    line.offer(gathered(3))
    line.finish(head)

    assert line.next(NOW) is None
    assert next_at(line, CLOSED).id == gathered(2).id


def test_what_comes_while_a_digest_fails_goes_with_its_next_attempt() -> None:
    """The head waits as any delivery does, and is the head still."""
    line = windows()
    line.offer(gathered(1, age=10))
    head = next_at(line, NOW)
    line.offer(gathered(2))
    line.retry(gathered(1, due_at=CLOSED))
    assert next_at(line, CLOSED).id == head.id
    line.finish(head)
    assert len(line) == 0


def test_an_operator_need_not_wait() -> None:
    """A head that is tried again runs now; what is opened again beside it goes with it."""
    line = windows()
    line.offer(gathered(1, age=10))
    next_at(line, NOW)
    line.retry(gathered(1, due_at=NOW + timedelta(hours=1)))
    line.reopen(gathered(2))
    assert line.next(NOW) is None
    line.reopen(gathered(1))
    assert next_at(line, NOW).id == gathered(1).id


def test_what_was_stored_for_another_digest_is_left_to_loading() -> None:
    """Its lane is none of this line's: it is given its place in the outbox first."""
    line = windows()
    line.offer(delivery_at(1, lane="of a document"))
    assert line.wants_more
    line.reopen(delivery_at(2, lane=f"{gathering(('region',))}x"))
    assert len(line) == 0


def test_heads_are_bounded_and_the_oldest_are_loaded_first() -> None:
    """More groups than there is room for wait in the outbox, whose windows close later anyway."""
    line = windows(capacity=2)
    for number, lane in enumerate("abcd", start=1):
        line.offer(gathered(number, lane, age=10 - number))
    assert len(line) == 2
    assert line.incomplete
    for _ in range(2):
        line.finish(next_at(line, CLOSED))
    assert line.wants_more
    asked, mark = line.asking()
    assert asked == 2
    line.take_heads([gathered(3, "c"), gathered(4, "d")], asked, mark)
    assert line.incomplete  # as many came as were asked for
    assert len(line) == 2


def test_heads_that_there_is_no_room_for_are_asked_for_again() -> None:
    """Those that are held need not be in the outbox any more: fewer came than were asked for, and yet one is
    left."""
    line = windows(capacity=3)
    for number, lane in enumerate("abcd", start=1):
        line.offer(gathered(number, lane))
    line.finish(next_at(line, CLOSED))
    line.take_heads([gathered(4, "d"), gathered(5, "e")], *line.asking())
    assert line.incomplete


def test_what_is_left_while_heads_are_loaded_is_asked_for_again() -> None:
    """The page may have been read before it was stored."""
    line = windows(behind="")
    asked, mark = line.asking()
    line.offer(gathered(1))
    line.take_heads([], asked, mark)
    assert line.wants_more
    line.take_heads([gathered(1)], *line.asking())
    assert not line.incomplete
    assert len(line) == 1


def test_a_head_that_waits_for_its_next_attempt_is_loaded_as_that() -> None:
    """Not its window, which has long closed, but its own time."""
    line = windows(behind="")
    due_at = NOW + timedelta(hours=1)
    line.take_heads([gathered(1, age=100, due_at=due_at)], *line.asking())
    assert line.next_due() == due_at


STEPS = st.lists(st.tuples(st.sampled_from(["offer", "run", "finish", "retry", "load"]), st.integers(0, 4)))


class Outbox:
    """What lies in the outbox and is not sealed, by lane, beside a line with little room."""

    def __init__(self) -> None:
        self.line = windows(capacity=3)
        self.owed = Counter[str]()
        self.running: list[Delivery] = []
        self.number = 0

    def take(self, step: str, place: int) -> None:
        """One thing that may happen."""
        if step == "offer":
            self.number += 1
            self.owed[str(place)] += 1
            self.line.offer(gathered(self.number, str(place)))
        elif step == "run" and (head := self.line.next(CLOSED)) is not None:
            self.owed[head.lane.removeprefix(LANES)] = 0  # sealed
            self.running.append(head)
        elif step == "finish" and self.running:
            self.line.finish(self.running.pop(place % len(self.running)))
        elif step == "retry" and self.running:
            head = self.running.pop(place % len(self.running))
            self.owed[head.lane.removeprefix(LANES)] += 1
            self.line.retry(head)
        elif step == "load" and self.line.wants_more:
            asked, mark = self.line.asking()
            sealed = {head.lane.removeprefix(LANES) for head in self.running}
            heads = [gathered(10_000 + int(lane), lane) for lane in sorted(+self.owed) if lane not in sealed]
            self.line.take_heads(heads[:asked], asked, mark)


@given(STEPS)
def test_nothing_that_is_owed_is_ever_forgotten(steps: list[tuple[str, int]]) -> None:
    """Whatever the order of arrivals, ends, failures and loads: left to itself, the line sends all of it."""
    outbox = Outbox()
    for step, place in steps:
        outbox.take(step, place)
        assert len(outbox.line) <= 3 + 1  # who follows a digest that was sent takes its place
    for _ in range(20):
        for step in ("load", "run", "finish"):
            outbox.take(step, 0)
    assert +outbox.owed == Counter()
