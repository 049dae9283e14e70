"""Large events: fragments become the event they were cut from, and no position lies inside one."""

from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect

from mtrigger.actions.base import ActionConfig
from mtrigger.deployment.connecting import large_events
from mtrigger.errors import PositionError
from mtrigger.pushdown import StreamPlan, pipeline, plan
from mtrigger.reading.large_events import SHORTENING, SMALL_KEYS, SPLIT, Change, Fragments, Manner
from mtrigger.reading.stream import ChangeStream, StreamPosition
from mtrigger.rules import Collections, Rule, RuleAction
from support.samples import token_at

Document = dict[str, Any]

PARTS: Document = {
    "operationType": "update",
    "ns": {"db": "shop", "coll": "orders"},
    "documentKey": {"_id": 1},
    "updateDescription": {"updatedFields": {"amount": 20000}, "removedFields": []},
    "fullDocument": {"_id": 1, "amount": 20000},
    "fullDocumentBeforeChange": {"_id": 1, "amount": 1},
}


def change(number: int, fields: Document) -> Change:
    token = {"_data": token_at(number)}
    return Change({"_id": token, **fields}, token)


def cut(parts: list[Document], first: int) -> list[Change]:
    """The fragments that hold `parts`, numbered from the position `first` on."""
    return [
        change(first + place, {"splitEvent": {"fragment": place + 1, "of": len(parts)}, **part})
        for place, part in enumerate(parts)
    ]


@st.composite
def cuts(draw: st.DrawFn) -> list[Document]:
    """One event, its fields in any order and cut anywhere."""
    names = draw(st.permutations(list(PARTS)))
    ends = sorted(draw(st.sets(st.integers(1, len(names) - 1))))
    bounds = zip([0, *ends], [*ends, len(names)], strict=True)
    return [{name: PARTS[name] for name in names[start:end]} for start, end in bounds]


@given(cuts(), st.data())
def test_any_cut_gives_the_same_event_in_any_batches(parts: list[Document], data: st.DataObject) -> None:
    """Its identity is the first fragment's token, the token behind it the last one's; its neighbours stay."""
    stream = [change(1, {"n": 1}), *cut(parts, 2), change(20, {"n": 2})]
    fragments, whole = Fragments(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        whole += list(fragments.join(stream[:size]))
        stream = stream[size:]
        inside = bool(stream) and stream[0].document.get("splitEvent", {"fragment": 1})["fragment"] > 1
        assert fragments.waiting == inside

    first, event, last = whole
    assert (first.document["n"], last.document["n"]) == (1, 2)
    assert event.document == {"_id": {"_data": token_at(2)}, **PARTS}
    assert event.token == {"_data": token_at(1 + len(parts))}


def test_a_bad_value_in_one_fragment_is_a_flaw_of_the_whole() -> None:
    """And its bytes are kept."""
    one, two = cut([{"a": 1}, {"b": 2}], 1)
    (event,) = Fragments().join([one, two._replace(flaw="b.x: bad", raw=b"bytes")])
    assert (event.flaw, event.raw) == ("b.x: bad", b"bytes")


class Scripted(ChangeStream):
    """A stream whose server sends these replies, each with the token of its last change; None fails."""

    __slots__ = ("replies",)
    replies: list[list[Change] | None]

    async def _command(self, command: dict[str, Any]) -> RawBSONDocument:
        if "killCursors" in command:
            return RawBSONDocument(bson.encode({"ok": 1}))
        changes = self.replies.pop(0)
        if changes is None:
            raise AutoReconnect("gone")
        cursor: Document = {"id": 1, "nextBatch": [dict(change.document) for change in changes]}
        if changes:
            cursor["postBatchResumeToken"] = changes[-1].token
        return RawBSONDocument(bson.encode({"cursor": cursor, "ok": 1}))


@given(cuts(), st.data())
async def test_no_position_ever_lies_inside_an_event(parts: list[Document], data: st.DataObject) -> None:
    """However replies cut the stream: each batch holds what lies up to its position, and nothing beyond."""
    stream = [change(1, {"n": 1}), *cut(parts, 2), change(20, {"n": 2})]
    ends = {token_at(0), token_at(1), token_at(1 + len(parts)), token_at(20)}
    async with AsyncMongoClient[Document]("mongodb://127.0.0.1:1/", connect=False) as client:
        start = StreamPosition({"_data": token_at(0)}, Timestamp(1_769_853_600, 0), "abc")
        reader = Scripted(client, StreamPlan("shop", {}, "abc", {}, "split"), start, "test")
        reader.replies, seen = [], []
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            reader.replies, stream = [*reader.replies, stream[:size]], stream[size:]
        while reader.replies:
            batch = await reader.read()
            assert batch.position.token is not None
            assert batch.position.token["_data"] in ends
            seen += [event.token for event in batch.events]
            assert all(token <= batch.position.token["_data"] for token in seen)
        assert seen == [token_at(1), token_at(2), token_at(20)]


async def test_a_stream_that_breaks_inside_an_event_begins_it_anew() -> None:
    """What came of it is forgotten, because all of it comes again behind the position."""
    one, two = cut([{"operationType": "insert"}, {"fullDocument": {"_id": 1}}], 2)
    async with AsyncMongoClient[Document]("mongodb://127.0.0.1:1/", connect=False) as client:
        start = StreamPosition({"_data": token_at(1)}, Timestamp(1_769_853_600, 1), "abc")
        reader = Scripted(client, StreamPlan("shop", {}, "abc", {}, "split"), start, "test")
        reader.replies = [[one], None, [], [one, two]]
        assert (await reader.read()).position == start
        with pytest.raises(AutoReconnect):
            await reader.read()
        await reader.read()
        (event,) = (await reader.read()).events
        assert (event.operation, event.document) == ("insert", {"_id": 1})
        await reader.close()


@pytest.mark.parametrize("missing", [[0], [1], [0, 1]])
def test_a_position_inside_an_event_is_an_error(missing: list[int]) -> None:
    """A fragment without those before it would be an event with half of its fields."""
    fragments = [
        one for place, one in enumerate(cut([{"a": 1}, {"b": 2}, {"c": 3}], 1)) if place not in missing
    ]
    with pytest.raises(PositionError, match="lies inside an event"):
        list(Fragments().join(fragments))


def test_an_event_that_is_not_finished_is_an_error() -> None:
    """The next event cannot begin before it is whole."""
    half = cut([{"a": 1}, {"b": 2}], 1)[:1]
    with pytest.raises(PositionError):
        list(Fragments().join([*half, change(9, {"n": 1})]))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((6, 0, 5), "whole"),
        ((6, 0, 8), "whole"),
        ((6, 0, 9), "split"),
        ((6, 0, 20), "split"),
        ((6, 1, 0), "whole"),
        ((6, 3, 2), "whole"),
        ((7, 0, 0), "split"),
        ((8, 1, 0), "split"),
    ],
)
def test_servers_from_6_0_9_and_7_0_on_split(version: tuple[int, ...], expected: str) -> None:
    """The quarterly releases in between do not have the stage."""
    assert large_events(version) == expected


def a_rule() -> Rule:
    return Rule("r", Collections(("shop.orders",)), (RuleAction("log", "log", ActionConfig()),))


def stages(found: StreamPlan, manner: Manner) -> list[Document]:
    return pipeline(found, {}, manner)[1:]


def test_the_split_stage_is_the_last_one_and_changes_the_plan() -> None:
    """A token of a stream with the stage is never used without it."""
    split, whole = plan([a_rule()], "mtrigger", "split"), plan([a_rule()], "mtrigger")
    assert stages(split, Manner.PLAIN) == [{"$match": split.match}, SPLIT]
    assert stages(whole, Manner.PLAIN) == [{"$match": whole.match}]
    assert split.hash != whole.hash


def test_each_manner_gets_past_more() -> None:
    """Conditions are held before anything is left out; then without them; then without enormous keys."""
    found = StreamPlan("shop", {"a": 1}, "hash", {"b": 1}, "split")
    assert stages(found, Manner.SHORTENED) == [{"$match": {"a": 1}}, *SHORTENING]
    assert stages(found, Manner.UNCONDITIONED) == [{"$match": {"b": 1}}, *SHORTENING]
    assert stages(found, Manner.SMALL_KEYS) == [{"$match": {"b": 1}}, SMALL_KEYS, *SHORTENING]
    assert [manner.wider() for manner in Manner] == [*list(Manner)[1:], None]
