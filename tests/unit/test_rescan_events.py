"""Documents found by a rescan, as events: their places, their identity, and the rules that want them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bson.timestamp import Timestamp

from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.planning import owed
from mtrigger.resume_tokens import cluster_time_of
from mtrigger.rules import Rule
from support.rules_folder import RulesFolder
from support.samples import NOW, event_at

NOTED = Timestamp(1_769_853_600, 5)


def found(key: Any, place: int = 1, collection: str = "orders", noted: Timestamp = NOTED) -> ChangeEvent:
    """A document with this id, found as the `place`-th one."""
    return ChangeEvent.of_document(("shop", collection), {"_id": key, "amount": 12_000}, noted, place)


def test_its_place_lies_between_what_was_before_and_what_comes_after() -> None:
    """Changes until the noted time sort before it, changes from then on behind it; the places in order."""
    places = [found(key, place).token for place, key in enumerate(["z", "a", 5, None, {"a": 1}], 1)]
    places += [found("m", place).token for place in (99, 100, 10**11)]

    assert places == sorted(places)
    assert event_at(4).token < places[0]
    assert places[-1] < event_at(5).token
    assert {cluster_time_of(place) for place in places} == {NOTED}


def test_its_identity_depends_on_the_noted_time_the_collection_and_the_id_alone() -> None:
    """Read again after a crash, perhaps at another place, it owes nothing twice; another rescan owes anew."""
    event = found("a", 7)
    assert replace(event, document={"_id": "a", "amount": 0}).identity == found("a", 8).identity
    others = [
        found("b"),
        found("a", collection="others"),
        found("a", noted=Timestamp(NOTED.time, 6)),
        found(1),
        found("1"),
        found({"a": 1}),
    ]
    assert len({event.identity, *(other.identity for other in others)}) == 7


def test_an_event_of_the_stream_is_identified_by_its_token() -> None:
    """As ever."""
    assert event_at(3).identity == event_at(3).token


def test_it_survives_being_stored() -> None:
    """Whatever reads the row back finds the same event."""
    event = found({"a": [1, None]}, 3)
    assert ChangeEvent.from_row(event.to_row()) == event
    assert ChangeEvent.from_row(event.to_row()).identity == event.identity


@pytest.fixture
def rule(tmp_path: Path) -> Callable[[str], Rule]:
    """Reads the one rule in a text."""
    return RulesFolder(tmp_path).rule


@pytest.mark.parametrize(
    ("on", "when", "wanted"),
    [
        ("{collection: shop.orders}", "amount > 10000", True),
        ("{collection: shop.orders}", "amount > 20000", False),
        ("{collection: shop.orders}", None, True),
        ("{collection: shop.orders, operations: [replace]}", None, True),
        ("{collection: shop.orders, operations: [delete]}", None, False),
        ("{collection: shop.orders, operations: [delete, insert]}", None, True),
        ("{collection: shop.orders, fields: [region]}", "amount > 10000", True),
        ("{collection: shop.orders}", "changed(amount)", False),
        ("{collection: shop.orders}", "not changed(amount)", False),
        ("{collection: shop.orders}", "became(amount > 10000)", False),
        ("{collection: shop.orders}", "not exists(before.amount)", False),
        ("{collection: shop.orders}", 'event.operation == "rescan"', True),
        ("{collection: shop.others}", None, False),
        ("{dead_letters: true}", None, False),
    ],
)
def test_a_rule_judges_it_by_its_condition_alone(
    rule: Callable[[str], Rule], on: str, when: str | None, wanted: bool
) -> None:
    """Not what asks how a document became what it is, and not what wants deletions only."""
    condition = f"when: {when!r}\n" if when else ""
    judged = rule(f"name: r\non: {on}\n{condition}do: [{{log: x}}]\n")
    assert (Matcher([judged]).matches(found("a"), NOW) == [judged]) is wanted


def test_what_it_owes_stands_in_the_lane_of_its_document(rule: Callable[[str], Rule]) -> None:
    """An update that comes through the stream afterwards waits for it."""
    judged = rule("name: r\non: {collection: shop.orders}\ndo: [{log: x}]\n")
    (first,) = owed(found(5), [judged], "set:test", "main/0", NOW)
    (again,) = owed(found(5, 2), [judged], "set:test", "main/0", NOW)
    (later,) = owed(event_at(9, operation="update", key=5), [judged], "set:test", "main/0", NOW)

    assert first.id == again.id
    assert first.lane == later.lane
    assert first.position < later.position
