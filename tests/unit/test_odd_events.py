"""Events with an enormous key, parts left out, or what cannot be read: what is made of them."""

from dataclasses import replace
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.base import ActionConfig
from mtrigger.conditions import parse
from mtrigger.events import ChangeEvent, Part
from mtrigger.matching import Matcher
from mtrigger.planning import deliveries, lacks_document
from mtrigger.resume_tokens import LONGEST_TOKEN, cluster_time_of, position_of
from mtrigger.rules import Collections, Rule, RuleAction
from support.samples import NOW, event_at, token_at

RULE = Rule(
    "big-order",
    Collections(("shop.orders",)),
    (RuleAction("log", "log", ActionConfig()),),
    fields=("amount",),
    condition=parse("amount > 10000"),
)


def fires(event: ChangeEvent) -> bool:
    return bool(deliveries([(event, Matcher([RULE]).matches(event, NOW))], "set:test", "main/0", NOW))


def test_an_ordinary_token_is_the_position() -> None:
    """As it is: positions are compared with those in the outbox."""
    assert position_of(token_at(7)) == token_at(7)


@given(st.lists(st.tuples(st.integers(1, 50), st.text("0123456789ABCDEF")), min_size=2))
def test_positions_of_enormous_tokens_are_short_and_keep_their_order(tails: list[tuple[int, str]]) -> None:
    """What orders two events stands at the beginning."""
    tokens = sorted({f"{token_at(number)}{tail:A<9000}" for number, tail in dict(tails).items()})
    positions = [position_of(token) for token in tokens]
    assert positions == sorted(set(positions))
    assert max(map(len, positions)) <= LONGEST_TOKEN + 64
    assert [cluster_time_of(position) for position in positions] == [cluster_time_of(t) for t in tokens]


def test_what_was_left_out_or_unreadable_survives_the_row() -> None:
    """And an ordinary row says nothing of it."""
    odd = replace(event_at(1), left_out=("before", "raw"), flaw="x: bad", raw=b"bytes")
    assert ChangeEvent.from_row(bson.decode(bson.encode(odd.to_row()))) == odd
    assert {"left_out", "flaw", "raw"}.isdisjoint(event_at(1).to_row())


@pytest.mark.parametrize(
    ("operation", "left_out", "expected"),
    [
        ("insert", (), False),
        ("insert", ("document",), True),
        ("replace", ("document", "before"), True),
        ("update", ("before",), True),
        ("update", (), True),
        ("delete", ("document",), False),
        ("delete", (), False),
    ],
)
def test_a_document_is_looked_up_when_it_is_missing_and_may_be_there(
    operation: str, left_out: tuple[Part, ...], expected: bool
) -> None:
    """Never for a delete: what is found there now is another document."""
    event = replace(event_at(1, operation=operation), document=None, left_out=left_out)
    assert lacks_document(event) is expected
    assert not lacks_document(replace(event, key={}))
    assert not lacks_document(replace(event, document={"_id": 1}))


def test_an_update_whose_new_values_were_too_large_concerns_every_field() -> None:
    """One delivery too many is better than one too few; the condition still decides."""
    update = event_at(1, operation="update", removed=("note",), image="look-up")
    over: dict[str, Any] = {"_id": 1, "amount": 20000}
    assert not fires(replace(update, document=over))
    assert fires(replace(update, document=over, left_out=("updated",)))
    assert not fires(replace(update, document={"_id": 1, "amount": 5}, left_out=("updated",)))


def test_an_event_that_cannot_be_read_is_owed_to_every_rule_that_could_want_it() -> None:
    """Whatever fields and conditions say; but not to rules of other collections and operations."""
    bad = replace(event_at(1, operation="update", document={"_id": 1}), flaw="amount: bad")
    assert fires(bad)
    assert not fires(replace(bad, operation="delete"))
    assert not fires(replace(bad, collection="customers"))
