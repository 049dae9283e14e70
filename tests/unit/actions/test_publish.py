"""The action `publish`: what a message holds, and what cannot be one."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from mtrigger.actions.base import Work
from mtrigger.actions.publish import KIND, Publish, PublishConfig
from mtrigger.actions.services import Services
from mtrigger.effects import STATE, Effect
from mtrigger.errors import PermanentError
from mtrigger.templates import RenderError, Templates
from support.works import DELIVERY_ID, work_for_document

TEMPLATES = Templates(None)
ID = ObjectId("65b8f0f0f0f0f0f0f0f0f0f0")
ORDER = {"_id": ID, "amount": Decimal128("15000.50"), "region": "EMEA", "none": None}
MESSAGE = {
    "id": "m-1",
    "key": "ada",
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "headers": {"table": "orders"},
    "body": [1, Int64(2)],
    "source": {},
    "topic": "SOE-ORDERS",
    "offset": 7,
}


def publish(**settings: Any) -> Publish:
    """The action with these settings, which are without mistakes."""
    config = PublishConfig(topic=settings.pop("topic", "BIZ-BIGORDER"), **settings)
    assert list(KIND.mistakes(config, TEMPLATES)) == []
    return KIND.open(config, Services(TEMPLATES))  # type: ignore[return-value]  # it is one


async def effect(work: Work, **settings: Any) -> Effect:
    """What it makes of a delivery."""
    return await publish(**settings).run(work)


async def test_without_more_it_is_the_document_under_its_id() -> None:
    """In its BSON types, with where it comes from; the number is the topic's own to give."""
    work = work_for_document(ORDER)
    made = await effect(work)
    assert (made.database, made.collection, made.operation) == (STATE, "topics.BIZ-BIGORDER", "insert")
    assert made.own_id
    assert made.account == "insert in topics.BIZ-BIGORDER"
    assert made.value == {
        "_id": DELIVERY_ID,
        "key": ID,
        "time": work.scope["now"],
        "headers": {},
        "body": ORDER,
        "source": {
            "rule": "big-order",
            "action": "webhook",
            "delivery": DELIVERY_ID,
            "event": {
                "database": "shop",
                "collection": "orders",
                "operation": "insert",
                "key": {"_id": ID},
                "time": work.scope["event"]["time"],
            },
            "depth": 0,
            "through": ["big-order"],
        },
        "inserted": Timestamp(0, 0),
    }


async def test_values_keep_their_types_and_headers_are_texts() -> None:
    """At any depth; the topic's name may depend on the document."""
    made = await effect(
        work_for_document(ORDER),
        topic="orders-{{ document.region | lower }}",
        message={"total": "{{ document.amount }}", "lines": ["{{ document._id }}", 3, None]},
        key=["{{ document.region }}", "{{ document._id }}"],
        headers={"kind": "order", "amount": "{{ document.amount }}"},
    )
    assert made.collection == "topics.orders-emea"
    assert made.value["body"] == {"total": Decimal128("15000.50"), "lines": [ID, 3, None]}
    assert made.value["key"] == ["EMEA", ID]
    assert made.value["headers"] == {"kind": "order", "amount": "15000.50"}


@pytest.mark.parametrize(
    ("settings", "body", "key"),
    [
        ({"message": "{{ document.amount }}"}, Decimal128("15000.50"), ID),
        ({"message": "of {{ document.amount }}"}, "of 15000.50", ID),
        ({"message": None}, None, ID),
        ({"key": None}, ORDER, None),
        ({"key": "{{ document.none }}"}, ORDER, None),
        ({"key": 7}, ORDER, 7),
    ],
    ids=["value", "text", "null message", "no key", "null key", "fixed key"],
)
async def test_message_and_key(settings: dict[str, Any], body: Any, key: Any) -> None:
    """`key: null` is no key at all."""
    made = await effect(work_for_document(ORDER), **settings)
    assert (made.value["body"], made.value["key"]) == (body, key)


async def test_a_message_is_passed_on_as_it_is() -> None:
    """By a rule of a topic, under its key; its names are there for templates."""
    work = work_for_document({}, message=MESSAGE)
    work = replace(work, several=False)
    made = await effect(work)
    assert (made.value["_id"], made.value["body"], made.value["key"]) == (DELIVERY_ID, [1, Int64(2)], "ada")
    made = await effect(work, message={"from": "{{ message.topic }}", "at": "{{ message.offset }}"})
    assert made.value["body"] == {"from": "SOE-ORDERS", "at": 7}


async def test_several_documents_are_published_together_and_have_no_key() -> None:
    """A digest, or what a schedule finds."""
    facts = {"documents": [ORDER, ORDER], "count": 5, "more": 3, "sums": {"amount": Decimal128("9")}}
    made = await effect(work_for_document(ORDER, **facts))
    assert made.value["body"] == facts
    assert made.value["key"] is None
    made = await effect(
        work_for_document(ORDER, **facts), message={"n": "{{ count }}", "s": "{{ sums.amount }}"}
    )
    assert made.value["body"] == {"n": 5, "s": Decimal128("9")}


async def test_the_cause_is_one_rule_longer() -> None:
    """As deep as the delivery itself, through its rules and this one, each once."""
    work = replace(work_for_document(ORDER), depth=3, through=("a", "big-order", "b"))
    source = (await effect(work)).value["source"]
    assert (source["depth"], source["through"]) == (3, ["a", "big-order", "b"])
    source = (await effect(replace(work, through=("a",)))).value["source"]
    assert source["through"] == ["a", "big-order"]


@pytest.mark.parametrize(
    ("document", "settings", "said"),
    [
        ({"region": "a b"}, {"topic": "orders-{{ document.region }}"}, "'orders-a b' is no name of a topic"),
        ({"region": ""}, {"topic": "{{ document.region }}"}, "'' is no name of a topic"),
        ({"n": "x" * 15_000_000}, {}, "15,000,000 is the most"),
        ({"n": 2**70}, {}, "cannot be encoded as BSON"),
        ({"n\0": 1}, {}, "cannot be encoded as BSON"),
    ],
    ids=["name", "no name", "too large", "number", "field"],
)
async def test_what_cannot_be_a_message_is_for_good(
    document: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    """Trying again would not mend it."""
    with pytest.raises(PermanentError, match=said):
        await effect(work_for_document({"_id": 1, **document}), **settings)


@pytest.mark.parametrize("part", ["topic", "message", "key"])
async def test_a_field_that_is_not_there_is_named_with_its_part(part: str) -> None:
    """As in every template."""
    with pytest.raises(RenderError, match=rf"^{part}: document has no field 'nothing'"):
        await effect(work_for_document(ORDER), **{part: "{{ document.nothing }}"})


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({"topic": "BIG ORDERS"}, "topic", "no name of a topic"),
        ({"topic": "{{ document.region }"}, "topic", "unexpected"),
        ({"message": {"a": ["{{ doc.a }}"]}}, "message.a.0", "there is no 'doc' here"),
        ({"key": "{{ documents | nope }}"}, "key", "No filter named 'nope'"),
        ({"headers": {"a.b": "x"}}, "headers.a.b", "no name of a header"),
        ({"headers": {"$a": "x"}}, "headers.$a", "no name of a header"),
        ({"headers": {"a": "{{ b }}"}}, "headers.a", "there is no 'b' here"),
    ],
    ids=["name", "template", "message", "key", "dot", "dollar", "header"],
)
def test_mistakes_are_told_with_their_places(settings: dict[str, Any], place: str, said: str) -> None:
    """Before anything runs."""
    config = PublishConfig(**{"topic": "T", **settings})
    found = {
        ".".join(map(str, mistake.path)): mistake.message for mistake in KIND.mistakes(config, TEMPLATES)
    }
    assert list(found) == [place]
    assert said in found[place]


def test_what_it_reads_is_known() -> None:
    """So that documents before a change are asked for only where they are read."""
    everything = KIND.reads(PublishConfig(topic="T"), TEMPLATES)
    assert everything is not None
    assert "before" not in everything
    some = PublishConfig(topic="T", message={"was": "{{ before.amount }}"})
    assert KIND.reads(some, TEMPLATES) == frozenset({"before"})
    assert KIND.needs(some) == {"topics"}


def test_a_preview_shows_the_message_as_it_would_be() -> None:
    """Topic, key, headers, and the body as Extended JSON."""
    shown = publish(message={"total": "{{ document.amount }}"}, headers={"a": "b"}).preview(
        work_for_document(ORDER)
    )
    assert shown.summary == "publish: BIZ-BIGORDER"
    assert shown.parts["Topic"] == "BIZ-BIGORDER"
    assert shown.parts["Key"] == f'{{"$oid": "{ID}"}}'
    assert '"a": "b"' in shown.parts["Headers"]
    assert '"$numberDecimal": "15000.50"' in shown.parts["Message"]
