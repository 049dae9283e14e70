"""What look-ups are asked for besides the id, and when for the id alone."""

from dataclasses import replace
from typing import Any

import pytest

from mtrigger.conditions import Condition, parse, parse_mapping
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.pushdown import lookups
from mtrigger.pushdown.lookups import (
    EVERYTHING,
    KEYS_FOR_A_DOCUMENT,
    MOST_TRIED,
    Cover,
    LookUpCovers,
    look_up,
)
from mtrigger.rules import Rule
from support.recording import rule_on
from support.samples import event_at


def update(*touched: str, **others: Any) -> ChangeEvent:
    """An update that set these paths."""
    return event_at(7, operation="update", updated=dict.fromkeys(touched, 1), **others)


def rules_of(*whens: Any) -> list[Rule]:
    def condition(when: Any) -> Condition | None:
        return parse_mapping(when) if isinstance(when, dict) else parse(when) if when else None

    return [replace(rule_on("shop.orders"), condition=condition(when)) for when in whens]


def asked(event: ChangeEvent, *whens: Any) -> dict[str, Any] | None:
    """What the document of `event` is asked for, with a rule for each of the conditions."""
    cover = LookUpCovers(Matcher(rules_of(*whens))).of(event)
    return None if cover is None else cover.filter


@pytest.mark.parametrize(
    ("whens", "found"),
    [
        (["a > 5"], {"a": {"$gt": 5}}),
        (["a.b.c > 5"], {"a.b.c": {"$gt": 5}}),
        (["a > 5", "a > 3", "a > 9"], {"a": {"$gt": 3}}),
        (["a == 'x'", "a in ['y', 'z']"], {"a": {"$in": ["x", "y", "z"]}}),
        (["a > 5 and b == 1"], {"b": {"$eq": 1}}),
        (["a > 5 and status == 1"], {"a": {"$gt": 5}}),
        (["a > 5 or b == 1"], {"$or": [{"a": {"$gt": 5}}, {"b": {"$eq": 1}}]}),
        (["a > 5", "b == 1"], {"$or": [{"a": {"$gt": 5}}, {"b": {"$eq": 1}}]}),
        (["a == 1 and b == 1", "b == 2"], {"b": {"$in": [1, 2]}}),
        (["became(a > 5)"], {"a": {"$gt": 5}}),
        ([{"l": {"$elemMatch": {"p": 1, "q": {"$gt": 2}}}}], {"l": {"$elemMatch": {"p": {"$eq": 1}}}}),
        (["false", "a > 5"], {"a": {"$gt": 5}}),
        (["a == 'x' and b > 'm'"], {"a": {"$eq": "x"}}),
    ],
)
def test_look_ups_ask_for_what_the_rules_imply(whens: list[Any], found: dict[str, Any]) -> None:
    """Of each rule one thing, the narrowest, and what most of them share."""
    assert asked(update("status"), *whens) == found


@pytest.mark.parametrize(
    "whens",
    [
        [""],
        ["a > 5", ""],
        ["status == 1"],
        ["a > 5 or status == 1"],
        ["a > 5", "status == 1"],
        ["_id == 7"],
        ["before.a > 5"],
        ["event.operation == 'update'"],
        ["$..a == 1"],
        ["a + 1 > 5"],
        ["a != 5"],
        ["not (a > 5)"],
        ["changed(a)"],
        ["a == null"],
        ["a in [1, null]"],
        [{"a": {"$lt": {"$maxKey": 1}}}],
        [{"a": {"$gt": {"$minKey": 1}}}],
        [{"a": None}],
        ["a > 'm'"],
        [{"a": {"$gte": ["m"]}}],
        [" or ".join(f"f{n} == 1" for n in range(100))],
    ],
)
def test_where_a_rule_may_hold_for_a_document_that_does_not_come_all_come(whens: list[Any]) -> None:
    """No condition, one about what the update says itself, one that a missing field meets, one that depends
    on the collation of the collection, or too many to ask for."""
    assert asked(update("status"), *whens) == {}


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (update("status"), {"a": {"$gt": 5}}),
        (update("status.a"), {"a": {"$gt": 5}}),
        (update("a.b"), {}),
        (update("a.0.b", "status"), {}),
        (update(removed=("a.b",)), {}),
        (update(truncated=("a",)), {}),
        (replace(update("status"), key={"_id": 7, "a": 1}), {}),
        (replace(update("status"), key={"_id": 7, "a.b": 1}), {}),
        (replace(update("status"), flaw="a: invalid"), {}),
        (replace(update(), left_out=("updated",)), {}),
        (update("status", namespace="shop.carts"), None),
    ],
)
def test_nothing_is_asked_of_what_the_event_says_itself(
    event: ChangeEvent, found: dict[str, Any] | None
) -> None:
    """Its fields and its key are certain; what else it touched, nobody knows if it could not be read."""
    assert asked(event, "a > 5") == found


@pytest.mark.parametrize(
    ("updated", "whens", "found"),
    [
        ({"status": "new"}, ["a > 5", "status == 'paid'"], {"a": {"$gt": 5}}),
        ({"status": "paid"}, ["a > 5", "status == 'paid'"], {}),
        ({"status": "new"}, ["a > 5", "status == 'paid' or status == 'lost'"], {"a": {"$gt": 5}}),
        ({"status": "new"}, ["a > 5", "status == 'paid' or b == 1"], {}),
        ({"status": "new"}, ["a > 5", "status != 'paid'"], {}),
        ({"status": "new"}, ["a > 5", "status == null"], {}),
        (
            {"status": "new"},
            ["a > 5", *(f"status == '{n}'" for n in range(lookups.MOST_TRIED))],
            {"a": {"$gt": 5}},
        ),
        ({"status": "new"}, ["a > 5", *(f"status == '{n}'" for n in range(MOST_TRIED + 1))], {}),
        ({"status": "new"}, ["status == 'paid'"], None),
        ({"status": "new"}, ["status.code == 1"], None),
        ({"status": {"code": 1}}, ["status.code == 1"], {}),
        ({"status.code": 2}, ["status.code == 1"], {}),
        ({"status": {"code": 2}, "status.code": 1}, ["status.code == 1"], {}),
        ({"_id": 8}, ["_id == 7"], {}),
    ],
)
def test_a_rule_that_the_update_rules_out_does_not_count(
    updated: dict[str, Any], whens: list[str], found: dict[str, Any] | None
) -> None:
    """What was set as a whole is certain; of a few rules each update is asked that."""
    assert asked(replace(update(), updated=updated), *whens) == found


def test_what_an_update_removed_is_missing() -> None:
    """As a whole, that is; and so it does not hold."""
    assert asked(update(removed=("status",)), "a > 5", "status == 'paid'") == {"a": {"$gt": 5}}
    assert asked(update(removed=("status.x",)), "a > 5", "status == 'paid'") == {}


def test_rules_that_hold_for_nothing_need_no_document() -> None:
    """`false` may come of a value that is filled in when rules are read."""
    assert asked(update("status"), "false", "a > 5 and false") is None


def test_only_rules_whose_fields_an_update_touches_are_asked_for() -> None:
    """One that names other fields does not hold, whatever its condition."""
    paid, any_change = rules_of("a > 5", "")
    covers = LookUpCovers(Matcher([replace(paid, fields=("status",)), replace(any_change, fields=("note",))]))

    assert [covers.of(update(name)) for name in ("note", "other")] == [EVERYTHING, None]
    status = covers.of(update("status"))
    assert status is not None
    assert status.filter == {"a": {"$gt": 5}}


def test_a_cover_is_made_once() -> None:
    """However many updates of a kind there are, and whatever else they touch that no rule asks about."""
    covers = LookUpCovers(Matcher(rules_of("a > 5", "b == 1 and a > 6")))
    first, *others = (covers.of(update(*names)) for names in (("x",), ("y", "z"), ("b",), ("b.c", "x")))

    assert first is others[0]
    assert others[1] is others[2]
    assert first is not others[1]


def test_there_is_an_end_to_making_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates that are all different must not keep the engine from its work."""
    monkeypatch.setattr(lookups, "MOST_RULES_READ", 50)
    covers = LookUpCovers(Matcher(rules_of("a > 5 and b == 1 and c == 1 and d == 1")))

    found = [covers.of(update(name)) for name in ("x", "d", "c", "b", "a", "x")]

    assert EVERYTHING in found
    assert found[0] is found[-1]
    assert found[0] is not EVERYTHING


def test_updates_of_different_kinds_are_looked_up_together() -> None:
    """One `find`, with a branch for each kind."""
    big, named = Cover({"a": {"$gt": 5}}, 1), Cover({"$or": [{"b": 1}, {"c": 1}]}, 2)

    assert look_up({EVERYTHING: [1, 2]}) == {"_id": {"$in": [1, 2]}}
    assert look_up({big: [1]}) == {"_id": {"$in": [1]}, "a": {"$gt": 5}}
    assert look_up({big: [1], EVERYTHING: [2], named: [3, 4]}) == {
        "$or": [
            {"_id": {"$in": [3, 4]}, "$or": [{"b": 1}, {"c": 1}]},
            {"_id": {"$in": [1]}, "a": {"$gt": 5}},
            {"_id": {"$in": [2]}},
        ]
    }


def test_a_filter_larger_than_what_it_spares_is_not_sent() -> None:
    """A thousand keys for the sake of one document; and hardly used branches of an `$or`."""
    keys = Cover({"a": {"$in": list(range(1_000))}}, 1_000)
    few, enough = [1], list(range(1_000 // KEYS_FOR_A_DOCUMENT))

    assert look_up({keys: few}) == {"_id": {"$in": few}}
    assert look_up({keys: enough}) == {"_id": {"$in": enough}, **keys.filter}
    many = {Cover({"a": number}, 1): [number] for number in range(100)}
    assert len(look_up(many)["$or"]) == lookups.MOST_COVERS + 1
