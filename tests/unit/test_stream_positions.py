"""The position behind a reply, when a server sends what no server should (NODE-7042, old servers)."""

import logging
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from mtrigger.pushdown import StreamPlan
from mtrigger.reading.stream import ChangeStream, StreamPosition
from support.samples import token_at

PLAN = StreamPlan("shop", {}, "abc")


def at(number: int, plan_hash: str = "abc") -> StreamPosition:
    """The position behind the event with this number; 0 is a time alone, before all of them."""
    token = {"_data": token_at(number)} if number else None
    return StreamPosition(token, Timestamp(1_769_853_600, number), plan_hash if number else "")


class Scripted(ChangeStream):
    """A stream whose server sends these replies: the numbers of events, and the post-batch token's."""

    __slots__ = ("replies",)
    replies: list[tuple[list[int], int | None]]

    async def _command(self, command: dict[str, Any]) -> RawBSONDocument:
        if "killCursors" in command:
            return RawBSONDocument(bson.encode({"ok": 1}))
        numbers, behind = self.replies.pop(0)
        changes = [
            {"_id": {"_data": token_at(number)}, "operationType": "insert", "ns": {"db": "a", "coll": "b"}}
            for number in numbers
        ]
        token = {"postBatchResumeToken": {"_data": token_at(behind)}} if behind is not None else {}
        return RawBSONDocument(bson.encode({"cursor": {"id": 1, "firstBatch": changes, **token}, "ok": 1}))


async def read(*replies: tuple[list[int], int | None]) -> list[StreamPosition]:
    """The positions behind some replies."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("mongodb://127.0.0.1:1/", connect=False)
    async with client:
        stream = Scripted(client, PLAN, at(0), "test")
        stream.replies = list(replies)
        positions = [(await stream.read()).position for _ in replies]
        await stream.close()
    return positions


async def test_a_token_that_goes_back_is_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Fault 67: the position stays, and moves again with the next token that is later."""
    with caplog.at_level(logging.WARNING):
        positions = await read(([], 5), ([], 4), ([], 3), ([], 5), ([], 6))

    assert positions == [at(5), at(5), at(5), at(5), at(6)]
    assert len(caplog.records) == 1


async def test_without_a_post_batch_token_the_last_event_is_the_position() -> None:
    """Fault 67: an old server; an empty reply leaves the position where it was."""
    assert await read(([], None), ([1, 2], None), ([], None)) == [at(0), at(2), at(2)]


async def test_a_post_batch_token_before_the_last_event_does_not_repeat_the_event() -> None:
    """Fault 67: the event was read, so the position lies behind it."""
    assert await read(([1, 2, 3], 2), ([4], 3)) == [at(3), at(4)]


@pytest.mark.parametrize(
    ("one", "other", "before"),
    [
        (at(1), at(2), True),
        (at(2), at(1), False),
        (at(1), at(1), False),
        (at(1, "other"), at(2), True),
        (at(2, "other"), at(1), False),
        (at(1).by_time(), at(2), True),
        (at(2).by_time(), at(2), False),
        (at(2), at(2).by_time(), False),
    ],
)
def test_places_are_compared_by_token_or_by_time(
    one: StreamPosition, other: StreamPosition, before: bool
) -> None:
    """Tokens of two pipelines, and a time, can be compared by their time alone."""
    assert one.is_before(other) is before
