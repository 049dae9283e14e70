"""From events and rules to what is owed."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import Int64, ObjectId, json_util
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.base import ActionConfig
from mtrigger.conditions import parse
from mtrigger.document_keys import id_text
from mtrigger.events import ABSENT, ChangeEvent
from mtrigger.matching import Matcher, touches
from mtrigger.planning import LookUps, deliveries, filled_in, in_its_lane, lane, owed
from mtrigger.pushdown.lookups import EVERYTHING, Cover
from mtrigger.quiet import Absent, Count, Digest, Throttle
from mtrigger.rules import Collections, Rule, RuleAction
from support.samples import NOW, event_at

ACTIONS = tuple(RuleAction(name, "log", ActionConfig()) for name in ("email", "log"))
BIG = Rule("big", Collections(("shop.orders",)), ACTIONS, condition=parse("amount > 10000"))


# -- filled in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "updated", "removed", "document"),
    [
        ({"_id": 1, "a": 1}, {}, (), {"_id": 1, "a": 1}),
        ({"_id": 1, "a": 9}, {"a": 2}, (), {"_id": 1, "a": 2}),
        ({"_id": 1}, {"a": 2}, (), {"_id": 1, "a": 2}),
        ({"_id": 1, "a": {"b": 9, "c": 3}}, {"a.b": 2}, (), {"_id": 1, "a": {"b": 2, "c": 3}}),
        ({"_id": 1}, {"a.b.c": 2}, (), {"_id": 1, "a": {"b": {"c": 2}}}),
        ({"_id": 1, "a": [1, 2, 3]}, {"a.1": 9}, (), {"_id": 1, "a": [1, 9, 3]}),
        ({"_id": 1, "a": [{"b": 1}]}, {"a.0.b": 9}, (), {"_id": 1, "a": [{"b": 9}]}),
        ({"_id": 1, "a": [1]}, {"a.5": 9}, (), {"_id": 1, "a": [1]}),  # shortened since
        ({"_id": 1, "a": [1]}, {"a.b": 9}, (), {"_id": 1, "a": [1]}),  # another shape since
        ({"_id": 1, "a": 5}, {"a.b": 9}, (), {"_id": 1, "a": 5}),
        ({"_id": 1, "a": {"0": 1}}, {"a.0": 9}, (), {"_id": 1, "a": {"0": 9}}),
        ({"_id": 1, "a": 5, "b": 6}, {}, ("a",), {"_id": 1, "b": 6}),
        ({"_id": 1, "a": {"b": 1, "c": 2}}, {}, ("a.b",), {"_id": 1, "a": {"c": 2}}),
        ({"_id": 1, "a": [{"b": 1}]}, {}, ("a.0.b",), {"_id": 1, "a": [{}]}),
        ({"_id": 1}, {}, ("a.b", "c"), {"_id": 1}),
        ({"_id": 1, "a": [1]}, {}, ("a.7.b", "a.x"), {"_id": 1, "a": [1]}),
        ({"_id": 1, "a": 1}, {"b": 2}, ("a",), {"_id": 1, "b": 2}),
        ({"_id": 1, "a": [{}, {}]}, {"a.0.b": 1, "a.1.b": 2}, (), {"_id": 1, "a": [{"b": 1}, {"b": 2}]}),
        ({"_id": 1}, {"a": {"b": 1}, "a.c": 2}, ("a.b",), {"_id": 1, "a": {"c": 2}}),
    ],
)
def test_a_looked_up_document_shows_what_its_update_did(
    found: Mapping[str, Any],
    updated: Mapping[str, Any],
    removed: tuple[str, ...],
    document: Mapping[str, Any],
) -> None:
    """Read a moment later it may have changed again: what this update set and removed is certain."""
    event = event_at(1, operation="update", updated=updated, removed=removed)

    filled = filled_in(event, found)

    assert filled.document == document
    assert filled.image == "look-up"


def test_a_document_that_is_gone_is_known_by_its_key_and_its_update() -> None:
    """A deleted order's last change may still be worth a mail."""
    event = event_at(
        7, operation="update", updated={"amount": 20000, "ship.city": "Busan"}, removed=("note",)
    )

    filled = filled_in(event, None)

    assert filled.document == {"_id": 7, "amount": 20000, "ship": {"city": "Busan"}}
    assert filled.image == "partial"


def test_filling_in_changes_neither_what_was_found_nor_the_event() -> None:
    """Two events of one document share what was found."""
    found: dict[str, Any] = {"_id": 1, "a": {"b": [1, {"c": 1}]}, "s": {"x": 1}}
    updated: dict[str, Any] = {"a.b.1.c": 2, "n": {"x": 1}, "n.y": 2}
    event = event_at(1, operation="update", updated=updated, removed=("a.x", "s.x", "n.x"))

    filled_in(event, found)

    assert found == {"_id": 1, "a": {"b": [1, {"c": 1}]}, "s": {"x": 1}}
    assert event.updated == {"a.b.1.c": 2, "n": {"x": 1}, "n.y": 2}
    assert event.document is None


# -- look-ups ------------------------------------------------------------------------------------------------


def test_each_missing_document_is_looked_up_once() -> None:
    """Whatever the type of its id, for everything that is asked of it; what nobody wants is not looked up."""
    ids: list[Any] = [1, Int64(1), 1.0, "1", {"a": 1}, [1], ObjectId(b"123456789012"), None]
    updates = [event_at(n, operation="update", key=key) for n, key in enumerate(ids[:-1], 1)]
    updates.append(replace(event_at(8, operation="update"), key={"_id": None}))
    other = event_at(9, operation="update", namespace="shop.carts", key=1)
    unwanted = event_at(10, operation="update", key="unwanted")
    big = Cover({"amount": {"$gt": 100}})
    events = [*updates, *updates, other]

    wanted = LookUps.of(
        [*((event, EVERYTHING) for event in events), (updates[0], big), (unwanted, None)]
    ).wanted

    # 1 and 1.0 are one id to MongoDB, but each event is found by the text of its own
    assert sorted(map(str, wanted[("shop", "orders")][EVERYTHING].values())) == sorted(map(str, ids))
    assert list(wanted[("shop", "orders")][big].values()) == [1]
    assert list(wanted[("shop", "carts")][EVERYTHING].values()) == [1]


# -- owed ----------------------------------------------------------------------------------------------------


def test_every_action_of_every_rule_that_holds_is_owed_once() -> None:
    """In the order of the events, then of the rules, then of the actions."""
    small = Rule("small", Collections(("shop.*",)), ACTIONS[:1], condition=parse("amount > 5"))
    events = [
        event_at(n, document={"_id": n, "amount": amount}) for n, amount in ((1, 20000), (2, 6), (3, 1))
    ]

    matcher = Matcher([BIG, small])
    found = deliveries([(event, matcher.matches(event, NOW)) for event in events], "set:1", "main/0", NOW)

    assert [(one.event.key["_id"], one.rule, one.action) for one in found] == [
        (1, "big", "email"),
        (1, "big", "log"),
        (1, "small", "email"),
        (2, "small", "email"),
    ]
    assert len({one.id for one in found}) == 4
    assert all(one.position == one.event.token for one in found)


def test_ids_do_not_depend_on_when_an_event_is_read() -> None:
    """That is what makes reading it twice harmless; another cluster's event is another one."""
    first, again = (owed(event_at(1), [BIG], "set:1", "main/0", now) for now in (NOW, NOW.replace(year=2030)))
    elsewhere = owed(event_at(1), [BIG], "set:2", "main/0", NOW)

    assert [one.id for one in first] == [one.id for one in again]
    assert [one.lane for one in first] == [one.lane for one in again]
    assert not {one.id for one in first} & {one.id for one in elsewhere}


def test_changes_of_one_document_share_a_lane_and_others_do_not() -> None:
    """By namespace and whole key; a rule may ask for one lane, or for none."""
    a, again = event_at(1, key=5), event_at(2, key=5, operation="delete")
    others = [event_at(3, key=6), event_at(4, key="5"), event_at(5, key=5, namespace="shop.carts")]

    assert lane(a, BIG) == lane(again, BIG)
    assert len({lane(event, BIG) for event in (a, *others)}) == 4
    assert len({lane(event, replace(BIG, ordering="rule")) for event in (a, again, *others)}) == 1
    assert len({lane(event, replace(BIG, ordering="none")) for event in (a, again, *others)}) == 5


# -- matching ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "namespace", "included"),
    [
        (("shop.orders",), "shop.orders", True),
        (("shop.orders",), "shop.orders2", False),
        (("shop.orders",), "shopxorders", False),
        (("shop.*",), "shop.a.b", True),
        (("shop.*",), "shopping.a", False),
        (("*.orders",), "eu.orders", True),
        (("*.orders",), "eu.x.orders", False),  # that is collection x.orders of database eu
        (("shop.orders_*",), "shop.orders_2026", True),
        (("shop.orders_*",), "shop.orders", False),
        (("sh*.o*s",), "shop.order.lines", True),
        (("a.b", "c.*"), "c.d", True),
        (("shop.a+b",), "shop.aab", False),
        (("shop.*",), "shop.with\nnewline", True),
    ],
)
def test_collections_are_named_exactly_or_by_wildcard(
    patterns: tuple[str, ...], namespace: str, included: bool
) -> None:
    """A `*` stands for anything but the dot between database and collection."""
    assert Collections(patterns).include(namespace) is included


def test_a_rule_that_is_switched_off_holds_for_nothing() -> None:
    """Its deliveries are not owed."""
    event = event_at(1, document={"_id": 1, "amount": 20000})

    assert Matcher([BIG]).matches(event, NOW) == [BIG]
    assert Matcher([replace(BIG, enabled=False)]).matches(event, NOW) == []


@pytest.mark.parametrize(
    ("event", "fields", "touched"),
    [
        (event_at(operation="update", updated={"amount": 1}), ("amount",), True),
        (event_at(operation="update", updated={"amounts": 1}), ("amount",), False),
        (event_at(operation="update", updated={"a.b.c": 1}), ("a.b",), True),
        (event_at(operation="update", updated={"a": {"b": 1}}), ("a.b",), True),
        (event_at(operation="update", updated={"items.3.qty": 1}), ("items.qty",), True),
        (event_at(operation="update", updated={"items.3.qty": 1}), ("items.3",), True),
        (event_at(operation="update", updated={"items.3.qty": 1}), ("items.price",), False),
        (event_at(operation="update", removed=("note",)), ("note",), True),
        (event_at(operation="update", truncated=("items",)), ("items.qty",), True),
        (event_at(operation="insert"), ("amount",), True),
        (event_at(operation="delete"), ("amount",), True),
        (event_at(operation="replace"), ("amount",), True),
        (event_at(operation="replace", document={"a": 1, "b": 2}, before={"a": 1, "b": 1}), ("a",), False),
        (event_at(operation="replace", document={"a": 1}, before={"a": 1, "b": 1}), ("b",), True),
    ],
)
def test_a_rule_on_fields_hears_of_the_updates_that_touch_them(
    event: ChangeEvent, fields: tuple[str, ...], touched: bool
) -> None:
    """Above, below or at the path; what cannot be told apart counts as touched."""
    assert touches(event, fields) is touched


USUAL_IDS = (
    st.binary(min_size=12, max_size=12).map(ObjectId)
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([-(2**31) - 1, -(2**31), 2**31 - 1, 2**31, True, None, 1.0, Int64(1), b"1"])
    | st.text()
)


@given(USUAL_IDS)
def test_ids_and_lanes_are_those_of_canonical_extended_json(value: Any) -> None:
    """Rows keep lanes: written by hand or by the driver, the text of a key is the same."""
    canonical = json_util.CANONICAL_JSON_OPTIONS
    key = json_util.dumps({"_id": value}, json_options=canonical)
    expected = hashlib.sha256(f"shop.orders\0{key}".encode()).hexdigest()[:20]

    assert id_text(value) == json_util.dumps(value, json_options=canonical)
    assert lane(replace(event_at(1), key={"_id": value}), BIG) == expected


# -- once, and silences --------------------------------------------------------------------------------------

ONCE = replace(BIG, name="once", fire="once", condition=None)


def test_once_is_owed_for_the_document_and_not_for_the_event() -> None:
    """Whenever and however often it changes; in one batch for the first of its events."""
    events = [event_at(1, key=1), event_at(2, operation="replace", key=1), event_at(3, key=2)]
    matched = [(event, [ONCE]) for event in events]
    found = deliveries(matched, "set:1", "main/0", NOW)

    assert [(delivery.event.key["_id"], delivery.position) for delivery in found] == [
        *((1, events[0].token) for _ in ACTIONS),
        *((2, events[2].token) for _ in ACTIONS),
    ]
    assert all(delivery.kept for delivery in found)
    assert {delivery.id for delivery in found} == {
        delivery.id for event in events for delivery in owed(event, [ONCE], "set:1", "main/7", NOW)
    }


@pytest.mark.parametrize(
    "other",
    [event_at(1, key=1.0), event_at(1, key="1"), event_at(1, key=1, namespace="shop.items")],
    ids=["type", "text", "collection"],
)
def test_once_tells_documents_apart(other: ChangeEvent) -> None:
    """By the types of BSON, and by their collection."""
    first, second = (owed(event, [ONCE], "set:1", "main/0", NOW)[0] for event in (event_at(1, key=1), other))
    assert first.id != second.id


def test_what_comes_owes_nothing_to_a_rule_that_waits_for_nothing_to_come() -> None:
    """The silence does, live and when it is replayed."""
    rule = replace(BIG, absent=Absent(60.0))
    assert owed(event_at(1), [rule], "set:1", "main/0", NOW) == []
    silent = replace(event_at(1), operation=ABSENT)
    assert len(owed(silent, [rule], "set:1", "main/0", NOW)) == len(ACTIONS)


BY_CUSTOMER = replace(BIG, throttle=Throttle(60.0, ("customer",)))
BY_REGION = replace(BIG, count=Count(5, 60.0, ("region",)))
GATHERED = replace(BIG, digest=Digest(60.0, "", ZoneInfo("UTC"), ("region",)))


@pytest.mark.parametrize(
    ("stored_for", "rule"),
    [
        (BIG, BY_CUSTOMER),
        (BY_CUSTOMER, BIG),
        (BY_CUSTOMER, BY_REGION),
        (GATHERED, BY_REGION),
        (GATHERED, BIG),
    ],
    ids=["throttled since", "not throttled any more", "other groups", "counted instead", "not gathered"],
)
def test_what_is_owed_takes_the_lane_that_the_rule_has_now(stored_for: Rule, rule: Rule) -> None:
    """Groups of other paths are others, also where the values are the same."""
    event = replace(event_at(1), document={"_id": 1, "customer": 7, "region": 7})
    delivery = owed(event, [stored_for], "cluster", "partition", NOW)[0]
    assert delivery.lane != lane(event, rule)

    moved = in_its_lane(delivery, rule)

    assert moved == replace(delivery, lane=lane(event, rule))
    assert in_its_lane(moved, rule) is moved


def test_a_group_is_kept_of_a_document_that_is_stored_nowhere() -> None:
    """It was there when the lane was made."""
    delivery = owed(replace(event_at(1), document={"customer": 7}), [BY_CUSTOMER], "c", "p", NOW)[0]
    without = replace(delivery, event=replace(delivery.event, document=None))

    assert in_its_lane(without, BY_CUSTOMER) is without
