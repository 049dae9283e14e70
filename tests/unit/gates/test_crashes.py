"""Crashes between a memory and the outcome it belongs to, in a model of how outcomes of a group are written.

What the outbox does stands here in a few lines: memories are durable before outcomes, both in order; a
delivery that was let through is durable before the next one is asked about, and so are so many left out.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from mtrigger.deliveries import Delivered, Delivery
from mtrigger.gates import LEFT_OUT_KNOWN, NOTHING_YET, GroupState, Pass, Wishes, admission, after
from mtrigger.quiet import Count, Throttle
from mtrigger.rules import Rule
from support.recording import rule_on
from support.samples import NOW, delivery_at, event_at

Verdicts = dict[str, int]
"""What became of each delivery: -1 left out, else how many held back its (last) send told of."""

RULES = [
    replace(rule_on("shop.orders"), throttle=Throttle(30.0)),
    replace(rule_on("shop.orders"), count=Count(3, 30.0)),
    replace(rule_on("shop.orders"), count=Count(2, 30.0), throttle=Throttle(30.0)),
]


@dataclass(frozen=True)
class Crash:
    """After so many deliveries were asked about since the start: how many of the outcomes that are not
    durable yet do become so, and how many of the memories behind those."""

    after: int
    outcomes: int
    memories: int


def deliveries(gaps: list[float]) -> list[Delivery]:
    """One of each change, so many seconds apart."""
    made, time = [], NOW
    for number, gap in enumerate(gaps):
        time += timedelta(seconds=gap)
        made.append(delivery_at(number, event=replace(event_at(number), time=time)))
    return made


def handled(
    rule: Rule, waiting: list[Delivery], state: GroupState, crash: Crash | None
) -> tuple[Verdicts, GroupState, list[str]]:
    """What is durable, outcomes and memory, once all were handled or the process crashed; and every send."""
    durable: Verdicts = {}
    kept, sends = state, []
    unwritten: list[tuple[str, int, GroupState]] = []
    for number, delivery in enumerate(waiting):
        if crash is not None and number == crash.after:
            break
        admitted = admission(rule, delivery, state, Wishes(), delivery.event.time)
        state, told = admitted.state, -1
        if isinstance(admitted.verdict, Pass):
            sends.append(delivery.id)
            told = admitted.verdict.facts.get("held_back", 0)
            state = after(rule, delivery, state, Delivered(), delivery.event.time)
        unwritten.append((delivery.id, told, state))
        last = crash is not None and number + 1 == crash.after
        if (told >= 0 or len(unwritten) >= LEFT_OUT_KNOWN) and not last:
            durable |= {key: told for key, told, _ in unwritten}
            kept, unwritten = state, []
    if crash is None:
        return durable | {key: told for key, told, _ in unwritten}, state, sends
    outcomes = min(crash.outcomes, len(unwritten))
    durable |= {key: told for key, told, _ in unwritten[:outcomes]}
    memories = unwritten[: outcomes + crash.memories]
    return durable, memories[-1][2] if memories else kept, sends


def crashes() -> st.SearchStrategy[Crash]:
    """Somewhere."""
    return st.builds(Crash, st.integers(1, 40), st.integers(0, 70), st.integers(0, 70))


@given(
    rule=st.sampled_from(RULES),
    gaps=st.lists(st.sampled_from([0.0, 1.0, 5.0, 29.0, 31.0]), max_size=200),
    planned=st.lists(crashes(), max_size=6),
)
@example(rule=RULES[1], gaps=[0.0, 1.0, 1.0], planned=[Crash(1, 0, 1)])  # between memory and outcome of what
@example(rule=RULES[1], gaps=[0.0, 1.0, 1.0], planned=[Crash(3, 2, 1)])  # was left out, and was let through
def test_crashes_change_nothing_but_that_a_send_may_be_repeated(
    rule: Rule, gaps: list[float], planned: list[Crash]
) -> None:
    """What becomes of each delivery, and what each mail tells, is as if nothing had happened; nothing is
    counted twice, or lost; at most one send is repeated for each crash."""
    waiting = deliveries(gaps)
    undisturbed, memory, sends = handled(rule, waiting, NOTHING_YET, None)

    done: Verdicts = {}
    state, repeated = NOTHING_YET, []
    for crash in [*planned, None]:
        open_ = [delivery for delivery in waiting if delivery.id not in done]
        durable, state, sent = handled(rule, open_, state, crash)
        done |= durable
        repeated += sent

    assert done == undisturbed
    assert state == memory
    assert sorted(set(repeated)) == sorted(sends)
    assert len(repeated) <= len(sends) + len(planned)


def test_asked_twice_with_the_memory_it_left_a_delivery_is_told_the_same_whenever_it_is() -> None:
    """Also an hour later, by a clock that was set back, or outside the window it was asked in."""
    for rule in RULES:
        state = NOTHING_YET
        for delivery in deliveries([0.0, 1.0, 1.0, 31.0, 1.0, 1.0, 1.0]):
            first = admission(rule, delivery, state, Wishes(), delivery.event.time)
            for hours in (-1, 0, 1):
                again = _asked_at(rule, delivery, first.state, delivery.event.time + timedelta(hours=hours))
                assert type(again[0]) is type(first.verdict)
                assert again[1] == first.state
            state = first.state
            if isinstance(first.verdict, Pass):
                state = after(rule, delivery, state, Delivered(), delivery.event.time)


def _asked_at(rule: Rule, delivery: Delivery, state: GroupState, now: datetime) -> tuple[object, GroupState]:
    admitted = admission(rule, delivery, state, Wishes(), now)
    return admitted.verdict, admitted.state


def test_a_memory_survives_its_row() -> None:
    """And one that another version wrote is read as far as it goes."""
    state = GroupState("1", ("2", "3"), (NOW,), NOW, "1", 4, 5)

    assert GroupState.of_fields({**state.to_fields(), "rule": "big-order"}) == state
    assert GroupState.of_fields({}) == NOTHING_YET
