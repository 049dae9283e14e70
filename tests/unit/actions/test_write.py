"""The action `write`: what documents can say in it, and what they cannot."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mtrigger.actions.services import Services
from mtrigger.actions.write import KIND, Write
from mtrigger.actions.write_settings import WriteConfig
from mtrigger.effects import Effect
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.works import DELIVERY_ID, work_for_document

TEMPLATES = Templates(None)


def write(**settings: Any) -> Write:
    """A write with these settings, which are without mistakes."""
    config = WriteConfig(into=settings.pop("into", "shop.copies"), **settings)
    assert list(KIND.mistakes(config, TEMPLATES)) == []
    return KIND.open(config, Services(TEMPLATES))  # type: ignore[return-value]  # it is one


async def effect(document: dict[str, Any], **settings: Any) -> Effect:
    """What a write with these settings makes of a document."""
    return await write(**settings).run(work_for_document(document))


def mistakes(**settings: Any) -> dict[str, str]:
    """The mistakes of these settings, by their places."""
    config = WriteConfig(into="shop.copies", **settings)
    return {".".join(map(str, mistake.path)): mistake.message for mistake in KIND.mistakes(config, TEMPLATES)}


VALUES = [
    Decimal128("15000.50"),
    Int64(2**40),
    7,
    1.5,
    True,
    None,
    "text with {{ braces }}",
    datetime(2026, 1, 1, tzinfo=UTC),
    ObjectId("65b8f0f0f0f0f0f0f0f0f0f0"),
    Binary(b"\x00\xff", 5),
    Regex("^x", "i"),
    [1, {"a": [Decimal128("1")]}],
    {"a": {"b": ObjectId("65b8f0f0f0f0f0f0f0f0f0f0")}},
]


@pytest.mark.parametrize("value", VALUES, ids=[f"{n} {type(v).__name__}" for n, v in enumerate(VALUES)])
async def test_a_value_keeps_its_type(value: Any) -> None:
    """One `{{ … }}` alone is the value itself, at any depth."""
    made = await effect(
        {"_id": 1, "v": value}, insert={"v": "{{ document.v }}", "in": [{"v": "{{document.v}}"}]}
    )
    assert made.value["v"] == value
    assert made.value["in"] == [{"v": value}]
    assert type(made.value["v"]) is type(value)


async def test_what_is_no_template_stays_what_it_is_in_the_rule_file() -> None:
    """Numbers, flags, null; and text beside a template is text."""
    made = await effect({"_id": 1}, insert={"a": 1, "b": True, "c": None, "d": "no {{ document._id }}"})
    assert made.value == {"_id": DELIVERY_ID, "a": 1, "b": True, "c": None, "d": "no 1"}
    assert made.own_id


async def test_an_insert_may_bring_its_id() -> None:
    """Then that it exists says nothing about this delivery."""
    made = await effect({"_id": 1}, insert="{{ document }}")
    assert (made.value, made.own_id) == ({"_id": 1}, False)


@pytest.mark.parametrize(
    ("settings", "matched", "value"),
    [
        (
            {"update": {"_id": "{{ document._id }}", "n": 1}, "key": "_id"},
            {"_id": {"$eq": 7}},
            {"$set": {"n": 1}},
        ),
        (
            {"update": {"a": 1, "b": 2, "c": 3}, "key": ["a", "b"], "upsert": True},
            {"a": {"$eq": 1}, "b": {"$eq": 2}},
            {"$set": {"c": 3}},
        ),
        (
            {"update": {"n": 1}, "key": {"ref.id": "{{ document._id }}"}},
            {"ref.id": {"$eq": 7}},
            {"$set": {"n": 1}},
        ),
        (
            {"update": {"ref": {"id": 3}, "n": 1}, "key": "ref.id"},
            {"ref.id": {"$eq": 3}},
            {"$set": {"ref": {"id": 3}, "n": 1}},
        ),
        (
            {"replace": "{{ document }}", "key": "_id", "upsert": True},
            {"_id": {"$eq": 7}},
            {"_id": 7, "x": {"$gt": ""}},
        ),
        ({"delete": {"_id": "{{ document._id }}", "a": 1}}, {"_id": {"$eq": 7}, "a": {"$eq": 1}}, {}),
        (
            {
                "update": {"$inc": {"n": 1}, "$push": {"l": {"$each": "{{ [1, 2] }}", "$slice": -5}}},
                "key": {"a": 1},
            },
            {"a": {"$eq": 1}},
            {"$inc": {"n": 1}, "$push": {"l": {"$each": [1, 2], "$slice": -5}}},
        ),
        (
            {"update": {"$pull": {"l": {"n": {"$lt": 3}, "m": "{{ document.x }}"}}}, "key": {"a": 1}},
            {"a": {"$eq": 1}},
            {"$pull": {"l": {"n": {"$lt": 3}, "m": {"$eq": {"$gt": ""}}}}},
        ),
    ],
    ids=["field", "fields", "own key", "dotted", "replace", "delete", "operators", "pull"],
)
async def test_what_is_written_where(
    settings: dict[str, Any], matched: dict[str, Any], value: dict[str, Any]
) -> None:
    """Plain fields are `$set`, but for those that name the target."""
    made = await effect({"_id": 7, "x": {"$gt": ""}}, **settings)
    assert (made.filter, made.value) == (matched, value)
    assert made.upsert == settings.get("upsert", False)
    assert made.namespace == "shop.copies"


HOSTILE = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.dictionaries(st.sampled_from(["$each", "$gt", "$where", "$slice", "$set", "a", "b.c"]), inner)
        | st.lists(inner)
    ),
    max_leaves=8,
)

EVERYWHERE = {
    "$set": {"a": "{{ document.x }}"},
    "$setOnInsert": {"b": "{{ document.x }}"},
    "$push": {"c": "{{ document.x }}", "d": {"$each": ["{{ document.x }}"]}},
    "$addToSet": {"e": "{{ document.x }}"},
    "$pull": {"f": "{{ document.x }}", "g": {"h": "{{ document.x }}"}},
}


@given(HOSTILE)
def test_no_document_can_change_the_shape_of_a_write(hostile: Any) -> None:
    """Whatever it holds stands where a value stands: behind `$eq`, in `$each`, or in a field."""
    if hostile is None or isinstance(hostile, list):
        return  # neither can name a document: see below
    made = write(update=EVERYWHERE, key={"k": "{{ document.x }}"})._effect(
        work_for_document({"_id": 1, "x": hostile})
    )
    assert made.filter == {"k": {"$eq": hostile}}
    assert made.value == {
        "$set": {"a": hostile},
        "$setOnInsert": {"b": hostile},
        "$push": {"c": {"$each": [hostile]}, "d": {"$each": [hostile]}},
        "$addToSet": {"e": {"$each": [hostile]}},
        "$pull": {"f": {"$eq": hostile}, "g": {"h": {"$eq": hostile}}},
    }


@pytest.mark.parametrize(
    ("document", "settings", "said"),
    [
        ({"k": None}, {"delete": {"k": "{{ document.k }}"}}, "`k` is null"),
        ({"k": None}, {"update": {"$inc": {"n": 1}}, "key": {"k": "{{ document.k }}"}}, "`k` is null"),
        ({"k": [1, 2]}, {"delete": {"k": "{{ document.k }}"}}, "`k` is an array"),
        ({"k": [1]}, {"replace": "{{ document }}", "key": "k"}, "`k` is an array"),
        ({}, {"delete": {"k": "{{ document.k }}"}}, "document has no field 'k'"),
        ({}, {"replace": "{{ document }}", "key": "k"}, "no field `k`"),
        ({"k": 5}, {"insert": "{{ document.k }}"}, "a document is needed"),
        ({"k": {"$set": 1}}, {"insert": "{{ document.k }}"}, "cannot begin with `\\$`"),
        ({"k": {"$set": 1}}, {"replace": "{{ document.k }}", "key": {"a": 1}}, "cannot begin with `\\$`"),
    ],
    ids=[
        "null delete",
        "null key",
        "array delete",
        "array key",
        "missing",
        "no key",
        "no document",
        "insert $",
        "replace $",
    ],
)
async def test_what_a_document_cannot_give_is_dead(
    document: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    """A null key would mean every document without that field; and a document that has an array where others
    have a key would be the target of all whose key is in it."""
    with pytest.raises(PermanentError, match=said):
        await effect(document, **settings)


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({"update": {"$incr": {"a": 1}}, "key": {"b": 1}}, "update.$incr", "did you mean `$inc`"),
        ({"update": {"$where": {"a": 1}}, "key": {"b": 1}}, "update.$where", "is no update operator"),
        ({"update": {"$inc": {"a": 1}, "b": 1}, "key": {"b": 1}}, "update.b", "put it under `$set`"),
        ({"update": {"$inc": 1}, "key": {"b": 1}}, "update.$inc", "takes fields"),
        ({"update": {"$inc": {"a": 1}}, "key": "a"}, "key", "`key` is a mapping"),
        ({"update": {"$set": {"a": {"$inc": 1}}}, "key": {"b": 1}}, "update.$set.a.$inc", "not allowed"),
        ({"update": {"$push": {"a": {"$slice": 1}}}, "key": {"b": 1}}, "update.$push.a", "needs `$each`"),
        ({"update": {"$pull": {"a": {"$in": [1]}}}, "key": {"b": 1}}, "update.$pull.a.$in", "not allowed"),
        (
            {"update": {"$rename": {"a": "{{ document.b }}"}}, "key": {"b": 1}},
            "update.$rename.a",
            "no templates here",
        ),
        ({"update": {"a": 1}, "key": "b"}, "key.0", "no field `b`"),
        ({"update": {"a": 1}, "key": {"b": None}}, "key.b", "is null"),
        ({"replace": {"a": 1}, "key": {"b": [1]}}, "key.b", "is an array"),
        ({"delete": {"a": None}}, "delete.a", "is null"),
        ({"update": {"a": 1}, "key": {}}, "key", "any document"),
        ({"update": {"a": 1}, "key": {"$where": "1"}}, "key.$where", "not allowed"),
        ({"delete": {"$expr": "1"}}, "delete.$expr", "not allowed"),
        ({"delete": {}}, "delete", "is empty"),
        ({"insert": {"a": [{"$function": 1}]}}, "insert.a.0.$function", "not allowed"),
        ({"insert": "text"}, "insert", "write a mapping"),
        ({"insert": {"a": "{{ documnt.a }}"}}, "insert.a", "did you mean 'document'"),
        ({"insert": {"a": "{{ document.a | upperr }}"}}, "insert.a", "upper"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    settings: dict[str, Any], place: str, said: str
) -> None:
    """At its place."""
    assert said in mistakes(**settings)[place]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "none of them"),
        ({"insert": {"a": 1}, "delete": {"a": 1}}, "insert and delete"),
        ({"insert": {"a": 1}, "key": "a"}, "a new document has none"),
        ({"insert": {"a": 1}, "upsert": True}, "`upsert` goes with update and replace"),
        ({"update": {"a": 1}}, "needs a `key`"),
        ({"insert": {"a": 1}, "into": "shop.*"}, "no wildcards"),
        ({"insert": {"a": 1}, "into": "shop.{{ document.a }}"}, "no templates"),
        ({"insert": {"a": 1}, "into": "shop"}, "database.collection"),
        ({"insert": {"a": 1}, "into": "shop.system.js"}, "MongoDB's own"),
        ({"insert": {"a": 1}, "into": "admin.users"}, "MongoDB's own"),
        ({"insert": {"a": 1}, "into": "shop.a$b"}, "no collection name"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str) -> None:
    """One operation, one fixed collection."""
    with pytest.raises(ValidationError, match=said):
        WriteConfig(**{"into": "shop.copies", **settings})


def test_the_preview_is_extended_json() -> None:
    """Operation, target, key and value."""
    action = write(update={"$inc": {"n": "{{ document.n }}"}}, key={"k": "{{ document._id }}"}, upsert=True)
    preview = action.preview(work_for_document({"_id": ObjectId(b"123456789012"), "n": Decimal128("1.5")}))
    assert preview.summary == "write: update in shop.copies"
    assert preview.parts["Operation"] == "update, made if it is not there"
    assert json.loads(preview.parts["Key"]) == {"k": {"$eq": {"$oid": "313233343536373839303132"}}}
    assert json.loads(preview.parts["Value"]) == {"$inc": {"n": {"$numberDecimal": "1.5"}}}


def test_it_tells_what_it_reads_and_where_it_writes() -> None:
    """For the stream's pre-images, and for the guard against loops."""
    config = WriteConfig(into="shop.a", update={"x": "{{ before.y }}"}, key={"k": "{{ document.z }}"})
    assert KIND.reads(config, TEMPLATES) == frozenset({"before", "document"})
    assert KIND.writes(config) == {"shop.a"}
