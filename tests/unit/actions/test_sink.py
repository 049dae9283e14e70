"""The action `sink`: what messages become in a collection, and which do not fit."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.services import Services
from mtrigger.actions.sink import KIND, Sink
from mtrigger.actions.sink_settings import SinkConfig
from mtrigger.effects import Effect
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.works import work_for_document

TEMPLATES = Templates(None)
BODY = {
    "order_id": Int64(7),
    "amount": Decimal128("15000.50"),
    "customer": {"id": 3, "name": "Ada"},
    "items": [{"sku": "a", "n": 1}, {"sku": "b"}],
    "at": datetime(2026, 1, 1, tzinfo=UTC),
}


def sink(**settings: Any) -> Sink:
    """The action with these settings, which are without mistakes."""
    config = SinkConfig(into="shop.orders", **settings)
    assert list(KIND.mistakes(config, TEMPLATES)) == []
    return KIND.open(config, Services(TEMPLATES))  # type: ignore[return-value]  # it is one


def message(body: Any, **fields: Any) -> dict[str, Any]:
    """A message as actions see it."""
    return {"id": "m-1", "key": None, "headers": {}, "body": body, "topic": "SOE-ORDERS", **fields}


async def effect(body: Any = BODY, about: dict[str, Any] | None = None, **settings: Any) -> Effect:
    """What it makes of a message; `about` are its fields besides the body."""
    return await sink(**settings).run(work_for_document({}, message=message(body, **(about or {}))))


@pytest.mark.parametrize(
    ("settings", "fields", "key"),
    [
        ({}, {"key": "k"}, "k"),
        ({}, {}, "m-1"),
        ({"key": "order_id"}, {"key": "k"}, 7),
        ({"key": "customer.id"}, {}, 3),
        ({"key": "$.items[1].sku"}, {}, "b"),
        ({"key": ["customer.id", "order_id"]}, {}, {"id": 3, "order_id": 7}),
        ({"mode": "insert"}, {"key": "k"}, "m-1"),
        ({"mode": "insert", "key": "order_id"}, {"key": "k"}, 7),
    ],
    ids=["key", "id", "field", "path", "JSONPath", "several", "insert", "insert by field"],
)
async def test_the_id_is_the_key(settings: dict[str, Any], fields: dict[str, Any], key: Any) -> None:
    """The message's, or what the rule says it is; the fields of the body stay."""
    made = await effect(BODY, fields, **settings)
    assert made.value == {"_id": key, **BODY}
    if settings.get("mode") == "insert":
        assert (made.operation, made.filter, made.own_id) == ("insert", {}, "key" not in settings)
    else:
        assert (made.operation, made.filter, made.upsert) == ("replace", {"_id": {"$eq": key}}, True)


async def test_an_id_of_the_body_gives_way_to_the_key() -> None:
    """One document has one `_id`."""
    made = await effect({"_id": 1, "a": 2}, {"key": "k"})
    assert made.value == {"_id": "k", "a": 2}
    made = await effect({"_id": 1, "a": 2}, {"key": "k"}, key="_id")
    assert made.value == {"_id": 1, "a": 2}


async def test_fields_are_found_by_their_paths() -> None:
    """One value, or an array where there may be several; what is not there is left out."""
    paths = {
        "customer": "$.customer.name",
        "first": "$.items[0].sku",
        "skus": "$.items[*].sku",
        "ns": "$.items[*].n",
        "anywhere": "$..sku",
        "nothing": "$.customer.age",
        "none": "$.items[*].price",
        "beyond": "$.items[2].sku",
        "total": "$.amount",
        "no_array": "$.items.sku",
    }
    made = await effect(BODY, {"key": 1}, fields=paths)
    assert made.value == {
        "_id": 1,
        "customer": "Ada",
        "first": "a",
        "skus": ["a", "b"],
        "ns": [1],
        "anywhere": ["a", "b"],
        "total": Decimal128("15000.50"),
    }


@pytest.mark.parametrize(
    ("body", "fields", "settings", "said"),
    [
        ("text", {}, {}, "the message's body is a text, and a document is needed"),
        (None, {}, {}, "the message's body is null, and a document is needed"),
        ([BODY], {}, {}, "the message's body is an array"),
        (Decimal128("1"), {}, {}, "the message's body is of type Decimal128"),
        ({}, {}, {"key": "order_id"}, "key: the message's body has no field `order_id`"),
        ({"a": {}}, {}, {"key": "a.b"}, "has no field `a.b`"),
        ({"a": None}, {}, {"key": "a"}, "`a` of the message's body is null"),
        ({"a": [1]}, {}, {"key": "a"}, "`a` of the message's body is an array"),
        ({}, {"key": [1]}, {}, "the message's key is an array"),
        ({"$set": 1}, {}, {}, "field `$set` cannot be a document's"),
        (None, {"headers": {"deleted": True}}, {}, "neither its key nor a body"),
        (None, {"headers": {"deleted": True}}, {"mode": "insert"}, "body is null"),
    ],
    ids=[
        *("text", "null", "array", "number", "no key", "no inner key", "null key", "array key"),
        *("key of the message", "operator", "gone without key", "gone in a journal"),
    ],
)
async def test_what_does_not_fit_is_for_good(
    body: Any, fields: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    """With what is wrong, and where."""
    with pytest.raises(PermanentError) as raised:
        await effect(body, fields, **settings)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("body", "settings", "key"),
    [(None, {}, 7), (None, {"key": "order_id"}, 7), ({"order_id": 8}, {"key": "order_id"}, 8), (BODY, {}, 7)],
    ids=["no body", "no body for the key", "by the body", "by the message"],
)
async def test_what_is_gone_is_deleted(body: Any, settings: dict[str, Any], key: Any) -> None:
    """The header `deleted` says so; there may be nothing but the key. No schema is asked."""
    schema = {"required": ["never"]}
    made = await effect(body, {"key": 7, "headers": {"deleted": True}}, **{"schema": schema, **settings})
    assert (made.operation, made.filter, made.value) == ("delete", {"_id": {"$eq": key}}, {})


@pytest.mark.parametrize("header", [False, None, 1, "true", "false"])
async def test_only_true_says_that_something_is_gone(header: Any) -> None:
    """Any producer may write headers."""
    assert (await effect(BODY, {"key": 7, "headers": {"deleted": header}})).operation == "replace"


async def test_a_journal_keeps_what_is_gone_too() -> None:
    """An insert takes nothing away."""
    made = await effect(BODY, {"headers": {"deleted": True}}, mode="insert")
    assert made.operation == "insert"


HOSTILE = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.dictionaries(st.sampled_from(["$gt", "$set", "$each", "_id", "a", "b.c"]), inner)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)


@given(body=HOSTILE, key=HOSTILE)
async def test_whatever_a_message_holds_it_is_only_a_value(body: Any, key: Any) -> None:
    """It is refused, or stored under its key as it is: never an operator, never another document's."""
    try:
        made = await effect(body, {"key": key})
    except PermanentError:
        return
    stored = "m-1" if key is None else key
    assert made.filter == {"_id": {"$eq": stored}}
    assert made.value == {"_id": stored, **{name: value for name, value in body.items() if name != "_id"}}
    assert not any(name.startswith("$") for name in made.value)


async def test_a_schema_is_held_against_the_body_before_its_fields_are_taken() -> None:
    """The path in the body is named."""
    schema = {"properties": {"items": {"items": {"required": ["n"]}}}}
    with pytest.raises(PermanentError, match=r"\$\.items\[1\]: 'n' is a required property"):
        await effect(BODY, {"key": 1}, schema=schema, fields={"a": "$.amount"})


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({"key": ""}, "key.0", "names with dots"),
        ({"key": "a..b"}, "key.0", "names with dots"),
        ({"key": "$.a[*]"}, "key.0", "a key is one value"),
        ({"key": "$..a"}, "key.0", "a key is one value"),
        ({"key": "$"}, "key.0", "the whole body"),
        ({"key": "$.a["}, "key.0", "cannot be read"),
        ({"key": ["a.id", "b.id"]}, "key", "two of these paths end in `id`"),
        ({"fields": {}}, "fields", "is empty"),
        ({"fields": {"_id": "$.a"}}, "fields._id", "named by `key`"),
        ({"fields": {"a.b": "$.a"}}, "fields.a.b", "no name of a field"),
        ({"fields": {"$a": "$.a"}}, "fields.$a", "no name of a field"),
        ({"fields": {"a": "a"}}, "fields.a", "`$.a`"),
        ({"fields": {"a": "$.a[?("}}, "fields.a", "cannot be read"),
        ({"fields": {"a": "$"}}, "fields.a", "the whole body"),
        ({"schema": {"properties": {"a": {"type": "objekt"}}}}, "schema.properties.a.type", "no JSON Schema"),
    ],
)
def test_mistakes_are_told_with_their_places(settings: dict[str, Any], place: str, said: str) -> None:
    """Before anything runs."""
    config = SinkConfig(into="shop.orders", **settings)
    found = {
        ".".join(map(str, mistake.path)): mistake.message for mistake in KIND.mistakes(config, TEMPLATES)
    }
    assert list(found) == [place]
    assert said in found[place]


def test_a_preview_shows_the_write() -> None:
    """Operation, target, key and value."""
    work = work_for_document({}, message=message({"a": Decimal128("1.5")}, key=7))
    shown = sink().preview(work)
    assert shown.summary == "sink: replace in shop.orders"
    assert shown.parts["Key"] == '{"_id": {"$eq": 7}}'
    assert "numberDecimal" in shown.parts["Value"]
    gone = sink().preview(work_for_document({}, message=message(None, key=7, headers={"deleted": True})))
    assert "Value" not in gone.parts
