"""Messages as events, and where a group of rules stands."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.consuming.standing import begun_anew, is_whole, missed
from mtrigger.events import ChangeEvent
from mtrigger.grouping import group_of
from mtrigger.message_paths import as_written, in_message
from mtrigger.messages import Message
from mtrigger.planning import lane, owed
from mtrigger.scopes import scope_of
from mtrigger.topics.log import Extent
from mtrigger.topics.message_events import Group, Place, event_of
from support.recording import rule_on

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
GROUP = Group("ORDERS", "g")
MESSAGE = Message(
    ObjectId("6650f0c2a1b2c3d4e5f60718"), {"a": 1, "c": {"id": 7}}, "k", NOW, {"h": "x"}, offset=3
)
RULE = rule_on(name="r")


def event(message: Message = MESSAGE, resets: int = 0, group: Group = GROUP) -> ChangeEvent:
    """The event that `message` is."""
    return event_of(message, group, resets, "state", NOW)


def ids(event: ChangeEvent) -> list[str]:
    """The ids of what it owes."""
    return [delivery.id for delivery in owed(event, [RULE], "c", GROUP.stream, NOW)]


def test_what_a_message_owes_is_known_by_the_message_and_its_reading() -> None:
    """Not by its number, which another reader may see otherwise; other groups owe for themselves."""
    assert ids(event()) == ids(event(replace(MESSAGE, offset=99, time=None)))
    others = [
        event(resets=1),
        event(replace(MESSAGE, id="6650f0c2a1b2c3d4e5f60718")),
        event(group=Group("ORDERS", "h")),
        event(group=Group("ORDERSg", "")),
    ]
    assert len({tuple(ids(other)) for other in (event(), *others)}) == 5


@given(
    st.lists(
        st.tuples(st.integers(0, 0xFFFF), st.integers(1, 2**63 - 1)), min_size=2, max_size=2, unique=True
    )
)
def test_events_sort_by_reading_and_number(places: list[tuple[int, int]]) -> None:
    """And positions with them: behind the message, before the next."""
    first, second = sorted(places)
    tokens = [event(replace(MESSAGE, offset=offset), resets).token for resets, offset in (first, second)]
    assert tokens == sorted(tokens)
    assert Place(*first).token["_data"] < tokens[0] < Place(*second).token["_data"] < tokens[1]


def test_an_event_survives_its_row() -> None:
    """Nothing of a message is lost in the outbox."""
    made = event()
    assert ChangeEvent.from_row(made.to_row()) == made
    assert made.namespace == "state.topics.ORDERS"
    assert made.size > 50


def test_a_place_is_read_back_and_nothing_else_is_one() -> None:
    """A token that is none says nothing."""
    place = Place(2, 17)
    assert Place.of_token(place.token) == place
    assert [Place.of_token(token) for token in (None, {}, {"_data": "82"}, {"offset": "1", "resets": 0})] == [
        None
    ] * 4
    assert Group.named(GROUP.stream) == GROUP
    for name in ("main/0", "topic/ORDERS", "topic/ORDERS/g/h", "source/ORDERS/g"):
        with pytest.raises(ValueError, match="names no group"):
            Group.named(name)


def test_messages_of_a_key_are_a_lane() -> None:
    """One without a key is by itself."""
    other, keyless = replace(MESSAGE, id=2), replace(MESSAGE, key=None)
    assert lane(event(), RULE) == lane(event(other), RULE)
    assert lane(event(), RULE) != lane(event(replace(other, key="l")), RULE)
    assert lane(event(keyless), RULE) != lane(event(replace(keyless, id=2)), RULE)


def test_actions_see_the_message_and_its_body() -> None:
    """A body that is no mapping is no document."""
    scope = scope_of(RULE, event(), {}, NOW)
    assert scope["document"] == {"a": 1, "c": {"id": 7}}
    assert scope["message"] == {
        "id": MESSAGE.id,
        "key": "k",
        "time": NOW,
        "headers": {"h": "x"},
        "body": MESSAGE.body,
        "source": {},
        "topic": "ORDERS",
        "offset": 3,
    }
    assert scope_of(RULE, event(replace(MESSAGE, body=[1])), {}, NOW)["document"] == {}


def test_groups_are_shown_as_a_rule_writes_them() -> None:
    """Whatever the path, it means the same when it is written so."""
    assert group_of(event(), ("body.c.id", "key", "headers.h")) == {
        "c.id": 7,
        "message.key": "k",
        "message.headers.h": "x",
    }


@given(
    st.lists(st.sampled_from(["body", "message", "key", "_id", "id", "headers", "x"]), min_size=1, max_size=4)
)
def test_a_path_that_is_shown_leads_to_the_same_place(names: list[str]) -> None:
    """So it may be copied into a rule."""
    try:
        there = in_message(tuple(names))
    except ValueError:
        return
    assert in_message(tuple(as_written(".".join(there)).split("."))) == there


@pytest.mark.parametrize(
    ("source", "depth", "through"),
    [
        ({}, 0, ()),
        ({"depth": 0, "through": ["a"]}, 1, ("a",)),
        ({"depth": 3, "through": ["a", "b"]}, 4, ("a", "b")),
        ({"depth": -1, "through": ["a"]}, 0, ()),
        ({"depth": "3"}, 0, ()),
        ({"depth": True}, 0, ()),
        ({"depth": 2**40}, 0, ()),
        ({"depth": 1, "through": "a"}, 2, ()),
    ],
)
def test_a_message_says_what_caused_it(source: Any, depth: int, through: tuple[str, ...]) -> None:
    """Any producer may write there what it likes: what makes no sense is no cause."""
    (delivery,) = owed(event(replace(MESSAGE, source=source)), [RULE], "c", GROUP.stream, NOW)
    assert (delivery.depth, delivery.through) == (depth, through)


def read(*offsets: int) -> list[Message]:
    """Messages with these numbers."""
    return [replace(MESSAGE, offset=offset) for offset in offsets]


def extent(first: int, following: int) -> Extent:
    """A topic that keeps what lies between."""
    return Extent(first, following, following - first, 0, None)


@pytest.mark.parametrize(
    ("behind", "offsets", "first", "gone"),
    [
        (4, (5, 6), 1, 0),
        (4, (7, 8), 7, 2),  # 5 and 6 were let go
        (4, (7, 8), 1, 0),  # nobody had 5 and 6
        (4, (5, 8), 8, 2),  # let go while it was read
        (4, (5, 8), 100, 2),  # and more of it since
        (4, (6, 7), 6, 1),
        (0, (51,), 51, 50),
    ],
)
def test_what_was_not_kept_is_counted(behind: int, offsets: tuple[int, ...], first: int, gone: int) -> None:
    """A number without a message is no loss unless the topic has let go of it."""
    place, messages = Place(0, behind), read(*offsets)
    assert missed(place, messages, extent(first, 200)) == gone
    assert is_whole(place, messages) == (offsets[-1] - behind == len(offsets))


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    """And as a reading of its own: its messages may have the ids of earlier ones."""
    assert begun_anew(Place(0, 9), extent(1, 3)) == Place(1, 0)
    assert begun_anew(Place(0, 3), extent(3, 3)) == Place(1, 2)
    assert begun_anew(Place(0, 2), extent(1, 3)) is None
    assert begun_anew(Place(0, 0), extent(1, 1)) is None
