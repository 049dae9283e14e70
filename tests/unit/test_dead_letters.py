"""A death is told once, to the rules that asked for it, and never for a dead letter's own delivery."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Int64

from mtrigger.actions.log import LogConfig
from mtrigger.conditions import parse
from mtrigger.deliveries import Dead, Delivered, Delivery, Retrying, Suppressed
from mtrigger.events import DEAD_LETTER, ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.resume_tokens import cluster_time_of
from mtrigger.rules import Collections, Rule, RuleAction
from mtrigger.running.dead_letters import LARGEST_COPY, owed, told
from mtrigger.running.lanes import Line
from support.samples import LINE, NOW, delivery_at, event_at, settlement_of

LATER = NOW + timedelta(hours=1)
DOCUMENT = {"_id": 1, "amount": Int64(12_000)}


def rule_of(name: str = "tell", *rules: str, when: str = "", actions: tuple[str, ...] = ("log",)) -> Rule:
    """A rule of dead letters."""
    return Rule(
        name=name,
        collections=Collections(()),
        actions=tuple(RuleAction(action, "log", LogConfig(message="x")) for action in actions),
        operations=frozenset({DEAD_LETTER}),
        condition=parse(when) if when else None,
        dead_letters_of=rules,
    )


def dead_at(number: int = 1, **fields: Any) -> Delivery:
    """A delivery that has been tried three times."""
    return delivery_at(number, event=event_at(number, document=DOCUMENT), attempts=3, **fields)


def letters(dead: Delivery, *rules: Rule, error: str = "550 no", now: datetime = LATER) -> list[Delivery]:
    return owed(dead, error, Matcher(rules), now)


def test_a_dead_letter_says_what_died_and_why() -> None:
    """Everything a mail about it needs, with the document the delivery was about."""
    (letter,) = letters(dead_at(), rule_of())

    assert (letter.rule, letter.action, letter.created_at, letter.attempts) == ("tell", "log", LATER, 0)
    assert letter.event.operation == "dead_letter"
    assert letter.event.namespace == "shop.orders"
    assert letter.event.time == LATER
    assert letter.event.document == {
        "delivery": dead_at().id,
        "rule": "big-order",
        "action": "log",
        "error": "550 no",
        "attempts": 3,
        "operation": "insert",
        "namespace": "shop.orders",
        "key": {"_id": 1},
        "created_at": NOW,
        "document": DOCUMENT,
    }


def test_its_id_depends_on_the_dead_delivery_the_rule_and_the_action_alone() -> None:
    """A death that is written down twice, at another time and with another error, owes nothing new."""
    rule = rule_of(actions=("log", "log-2"))
    once = letters(dead_at(), rule)
    again = letters(replace(dead_at(), attempts=7), rule, error="other", now=LATER + timedelta(days=1))

    assert [letter.id for letter in once] == [letter.id for letter in again]
    others = [*letters(dead_at(2), rule), *letters(dead_at(), replace(rule, name="other"))]
    assert len({letter.id for letter in [*once, *others]}) == 6


def test_what_was_read_back_from_the_outbox_is_the_same_event() -> None:
    """A dead letter is stored and run after a restart like every other delivery."""
    (letter,) = letters(dead_at(), rule_of())
    assert ChangeEvent.from_row(letter.event.to_row()) == letter.event


def test_later_deaths_have_later_positions_like_those_of_the_stream() -> None:
    """So that a line of dead letters is loaded in the order in which they died."""
    times = [NOW, NOW + timedelta(microseconds=1), NOW + timedelta(seconds=1), NOW + timedelta(days=400)]
    positions = [letters(dead_at(), rule_of(), now=time)[0].position for time in times]

    assert positions == sorted(positions)
    assert len(set(positions)) == len(positions)
    assert [cluster_time_of(position).time for position in positions] == [int(t.timestamp()) for t in times]


@pytest.mark.parametrize(
    ("rule", "fires"),
    [
        (rule_of(), True),
        (rule_of("tell", "big-order"), True),
        (rule_of("tell", "small-order", "big-order"), True),
        (rule_of("tell", "small-order"), False),
        (rule_of(when='attempts >= 3 and rule == "big-order"'), True),
        (rule_of(when="attempts > 3"), False),
        (rule_of(when='startswith(error, "550")'), True),
        (rule_of(when="$.document.amount > 10000"), True),
        (rule_of(when='namespace == "shop.orders" and event.operation == "dead_letter"'), True),
        (replace(rule_of(), enabled=False), False),
        (Rule("a-rule-of-changes", Collections(("*.*",)), rule_of().actions), False),
    ],
)
def test_a_rule_is_told_of_the_rules_it_names_when_its_condition_holds(rule: Rule, fires: bool) -> None:
    """`when:` works on the dead letter; no name means every rule."""
    assert [letter.rule for letter in letters(dead_at(), rule)] == ([rule.name] if fires else [])


def test_a_dead_letter_that_dies_is_told_to_nobody() -> None:
    """Else a mail server that is down would be told of, by mail, for ever."""
    (letter,) = letters(dead_at(), rule_of())
    assert letters(letter, rule_of(), rule_of("other")) == []


def test_a_rule_of_dead_letters_sees_no_change() -> None:
    """Whatever collection it is in."""
    for operation in ("insert", "update", "replace", "delete"):
        assert Matcher([rule_of()]).matches(event_at(1, operation=operation), NOW) == []


def test_a_large_document_is_left_with_the_dead_delivery() -> None:
    """Else two copies of 16 MB would not fit into one row."""
    fitting, large = ({"_id": 1, "text": "x" * size} for size in (LARGEST_COPY - 100, LARGEST_COPY))
    copies = []
    for document in (fitting, large):
        (letter,) = letters(replace(dead_at(), event=event_at(1, document=document)), rule_of())
        assert letter.event.document is not None
        copies.append(letter.event.document["document"])
    assert copies == [fitting, None]


def test_only_a_death_owes_anything() -> None:
    """And it counts the attempt that it died of."""
    matcher, delivery = Matcher([rule_of()]), delivery_at(1, attempts=2)
    for outcome in (Delivered(), Retrying("busy", LATER), Suppressed("quiet")):
        assert told(settlement_of(delivery, outcome), matcher).owes == ()
    (letter,) = told(settlement_of(delivery, Dead("no")), matcher).owes
    assert letter.event.document is not None
    assert letter.event.document["attempts"] == 3
    assert letter.created_at == NOW + timedelta(seconds=0.5)
    assert letter.event.time.tzinfo is UTC
    assert (delivery.rule, delivery.action) == LINE


def test_the_letter_of_a_second_death_is_looked_up_before_it_is_run() -> None:
    """It was durable before a crash, was loaded and has just been run; then the delivery dies once more."""
    line = Line(10)
    (first,), (second,) = (letters(dead_at(), rule_of(), now=now) for now in (NOW, LATER))
    line.load([first], asked=10, mark=0, read_at=NOW)
    running = line.next(LATER)
    assert running == first
    line.finish(running)

    line.offer(second)

    assert second.position > first.position
    assert line.is_doubtful(second)
