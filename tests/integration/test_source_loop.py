"""A source at work on a real MongoDB: what is stored, in which order, and what is stored twice: nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deliveries import Status
from mtrigger.errors import ConnectionLostError, OwnershipError, SourceError
from mtrigger.messages import Message
from mtrigger.ownership.standby import owned
from mtrigger.sources.definition import Destination, Mode, Query, Source
from mtrigger.sources.landing import CollectionLanding, Landing, TopicLanding
from mtrigger.sources.pages import RejectedRow, Row
from mtrigger.sources.places import SourcePlace, TablePlace, checkpoint_of, place_in, plan_of, stream_of
from mtrigger.sources.progress import Step
from mtrigger.sources.rejected_rows import nobody
from mtrigger.sources.rejections import Rejections
from mtrigger.sources.source_loop import SourceLoop
from mtrigger.sources.source_rows import Pass, SourceRows
from mtrigger.stores.base import Checkpoint, Record
from mtrigger.stores.base import Query as Wanted
from mtrigger.stores.mongo import MongoStore
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.log import TopicLog
from mtrigger.topics.mongo_log import MongoLog
from support.table_in_memory import TableInMemory, order

Document = dict[str, Any]


@dataclass
class World:
    """A source whose table lies in memory, and a database for its rows and its state."""

    database: AsyncDatabase[Document]
    table: TableInMemory = field(default_factory=TableInMemory)
    source: Source = field(
        default_factory=lambda: Source(
            "shop",
            Query("sqlite://", ("orders",), mode="incrementing", incrementing="order_id", poll=0.02),
            Destination(),
        )
    )
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.into(Destination(f"{self.database.name}.orders"))
        self.store = MongoStore(self.database.client, self.database.name)

    def into(self, destination: Destination, mode: Mode = "incrementing") -> None:
        """Let the source be of this mode, and its rows go there."""
        self.table.growing = mode == "incrementing"
        query = replace(self.source.query, mode=mode)
        self.source = replace(self.source, query=query, destination=destination)

    def told(self, step: Step) -> None:
        self.steps.append(step)

    async def work(self, with_loop: Callable[[SourceLoop], Awaitable[Any]]) -> Any:
        """What `with_loop` returns, given the loop of a source that is ours."""
        await self.store.open()
        async with owned(self.store, self._place, 15.0, asyncio.Event()) as stream:
            assert stream is not None
            rows = SourceRows(self.database, self.source.name, StateOutage(None))
            rejections = Rejections(self.source.name, stream.store, nobody)
            loop = SourceLoop(
                self.source, stream, lambda _: self.table, self._landing(), rows, rejections, self
            )
            return await with_loop(loop)

    async def once(self) -> bool:
        """Read what is there."""
        return bool(await self.work(lambda loop: loop.run_once(asyncio.Event())))

    async def until(self, happened: Callable[[], Awaitable[bool]]) -> None:
        """Read for ever, until something has happened."""

        async def stopped(loop: SourceLoop) -> None:
            stop = asyncio.Event()
            running = asyncio.ensure_future(loop.run(stop))
            try:
                async with asyncio.timeout(60):
                    while not await happened():
                        assert not running.done(), running.result()
                        await asyncio.sleep(0.01)
            finally:
                stop.set()
                await running

        await self.work(stopped)

    async def _place(self) -> Checkpoint:
        first = checkpoint_of(self.source.name, plan_of(self.source.query), SourcePlace(), datetime.now(UTC))
        return await self.store.begin(first)

    def _landing(self) -> Landing:
        if self.source.destination.collection:
            return CollectionLanding(self.database.client, self.source.destination)
        return TopicLanding(self.topic, self.source.name, self.source.destination)

    async def topic(self, name: str) -> TopicLog:
        log = MongoLog(self.database, name, StateOutage(None))
        await log.open()
        return log

    async def messages(self) -> list[tuple[Any, Any]]:
        """Key and amount of all messages of the topic, in order; the amount None for a deletion."""
        log, found = await self.topic("ORDERS"), list[Message]()
        while page := await log.read(found[-1].offset if found else 0, 1000):
            found += page
        return [
            (message.key, None if message.headers.get("deleted") else message.body["amount"])
            for message in found
        ]

    async def documents(self) -> dict[Any, Any]:
        """The amounts in the collection, by their keys."""
        return {found["_id"]: found.get("amount") async for found in self.database.orders.find()}

    async def at(self) -> TablePlace:
        """Where the table stands, as it is stored."""
        found = await self.store.checkpoint(stream_of(self.source.name))
        assert found is not None
        return place_in(found).of("orders")

    async def dead(self) -> list[Record]:
        """The dead letters."""
        return await self.store.find(Wanted(statuses=(Status.DEAD,)), 100)


class _KilledError(Exception):
    """The process ends here."""


class _Losing:
    """Stores nothing, and loses the cancellation that meets it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def land(self, _table: str, _rows: Sequence[Row], _run: str) -> list[RejectedRow]:
        self.begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return []


@pytest.fixture
def world(database: AsyncDatabase[Document]) -> World:
    """A source of nothing yet."""
    return World(database)


async def test_all_rows_are_stored_and_then_the_place(world: World) -> None:
    """Once; the next time only what is new is read."""
    world.table.rows = [order(number) for number in range(35)]
    assert await world.once()
    assert await world.documents() == dict.fromkeys(range(35), 1)
    assert await world.at() == TablePlace({"behind": 35}, passes=1, rows=35)
    assert (world.steps[-1].rows, world.steps[-1].expected, world.steps[-1].first) == (35, 35, True)
    world.table.rows.append(order(35))
    assert await world.once()
    assert await world.documents() == dict.fromkeys(range(36), 1)
    assert await world.at() == TablePlace({"behind": 36}, passes=2, rows=36)


async def test_rows_that_could_not_be_stored_are_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place stays before them."""
    world.table.rows = [order(number) for number in range(25)]

    async def full(_self: CollectionLanding, _table: str, _rows: Sequence[Row], _run: str) -> Any:
        raise SourceError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(CollectionLanding, "land", full)
        assert not await world.once()
    assert (await world.at()).place == {}
    assert await world.once()
    assert await world.documents() == dict.fromkeys(range(25), 1)


async def test_a_row_that_a_topic_cannot_hold_is_rejected_alone(world: World) -> None:
    """Those around it are published in their order."""
    world.into(Destination(topic="ORDERS"))
    world.table.rows = [order(0), Row(1, {"order_id": 1, "text": "x" * 15_500_000}, "1"), order(2)]
    assert not await world.once()
    assert await world.messages() == [(0, 1), (2, 1)]
    (dead,) = await world.dead()
    assert dead.error.startswith("it cannot be published: ")


async def test_a_row_is_upserted_and_what_others_have_added_stays(world: World) -> None:
    """Whether documents are inserted first or upserted at once, and when a row comes twice at a time."""
    await world.database.orders.insert_one({"_id": 1, "amount": 0, "note": "keep"})
    world.table.rows = [order(number) for number in (0, 1, 2)] + [order(1, 7)]
    assert await world.once()
    assert await world.database.orders.find_one({"_id": 1}) == {
        "_id": 1,
        "order_id": 1,
        "amount": 7,
        "note": "keep",
    }
    assert await world.documents() == {0: 1, 1: 7, 2: 1}


async def test_a_row_that_is_marked_as_deleted_is_deleted(world: World) -> None:
    """And comes back when it is not marked any more."""
    world.table.rows = [order(1), order(2), order(1, deleted=True)]
    assert await world.once()
    assert await world.documents() == {2: 1}
    world.table.rows += [order(1, 5)]
    assert await world.once()
    assert await world.documents() == {1: 5, 2: 1}


async def test_pages_that_are_read_again_add_nothing(world: World) -> None:
    """The place is lost, as after a crash right after the rows were stored."""
    world.table.rows = [order(number) for number in range(25)]
    await world.once()
    await world.store.reset(stream_of("shop"))
    assert await world.once()
    assert await world.documents() == dict.fromkeys(range(25), 1)


async def test_a_topic_has_every_state_of_a_row_once(world: World) -> None:
    """However often the rows are read; key, headers and body are the row's."""
    world.into(Destination(topic="ORDERS"))
    world.table.rows = [order(number) for number in range(25)] + [order(3, 2), order(4, deleted=True)]
    await world.once()
    await world.store.reset(stream_of("shop"))
    await world.once()
    expected = [(number, 1) for number in range(25)] + [(3, 2), (4, None)]
    assert await world.messages() == expected
    first = (await (await world.topic("ORDERS")).read(0, 1))[0]
    assert first.headers == {"table": "orders", "source": "shop"}
    assert first.body == {"order_id": 0, "amount": 1}


async def test_bulk_publishes_all_rows_each_time(world: World) -> None:
    """And none twice within one time, whatever happens in its middle."""
    world.into(Destination(topic="ORDERS"), "bulk")
    world.table.rows = [order(number) for number in range(25)]
    world.table.fails_at, world.table.failure = 3, ConnectionLostError("gone")
    await world.once()
    assert await world.messages() == [(number, 1) for number in range(25)]
    await world.once()
    assert await world.messages() == 2 * [(number, 1) for number in range(25)]


@pytest.mark.parametrize("destination", ["collection", "topic"])
async def test_a_snapshot_tells_what_has_changed_and_what_is_gone(world: World, destination: str) -> None:
    """And nothing where nothing has."""
    into = Destination(topic="ORDERS") if destination == "topic" else world.source.destination
    world.into(into, "snapshot")
    world.table.rows = [order(number) for number in range(25)]
    await world.once()
    await world.once()
    told: list[tuple[int, int | None]] = [(number, 1) for number in range(25)]
    world.table.rows = [order(number) for number in range(25) if number not in (0, 13, 24)]
    world.table.rows[5] = order(6, 2)
    world.table.rows.insert(3, order(99))
    await world.once()
    told += [(99, 1), (6, 2), (0, None), (13, None), (24, None)]
    world.table.rows[6] = order(6)
    world.table.rows.append(order(13))
    await world.once()
    told += [(6, 1), (13, 1)]
    if destination == "topic":
        assert await world.messages() == told
    else:
        kept = [*range(1, 24), 99]
        assert await world.documents() == dict.fromkeys(kept, 1)
    assert (await world.at()).passes == 4


async def test_a_snapshot_that_is_cut_short_deletes_nothing(world: World) -> None:
    """What was not seen because reading ended early is not gone."""
    world.into(world.source.destination, "snapshot")
    world.table.rows = [order(number) for number in range(25)]
    await world.once()
    world.table.fails_at, world.table.failure = 5, SourceError("the column is gone")
    assert not await world.once()
    assert await world.documents() == dict.fromkeys(range(25), 1)
    assert (await world.at()).error == "the column is gone"


@pytest.mark.parametrize("destination", ["collection", "topic"])
@pytest.mark.parametrize("left", [[], [order(1, 5)]], ids=["gone", "as before"])
async def test_what_a_snapshot_stored_and_had_no_time_to_remember_is_told_again(
    world: World, left: list[Row], destination: str
) -> None:
    """Killed in between; when the next process reads, the row is gone, or what it was before."""
    into = Destination("", "ORDERS") if destination == "topic" else world.source.destination
    world.into(into, "snapshot")
    world.table.rows = left
    await world.once()
    world.table.rows = [order(1, 7)]
    with patch.object(Pass, "remember", side_effect=_KilledError), pytest.raises(_KilledError):
        await world.once()
    world.table.rows = left
    assert await world.once()
    expected = {row.key: row.values["amount"] for row in left}
    found = dict(await world.messages()) if destination == "topic" else await world.documents()
    assert {key: amount for key, amount in found.items() if amount is not None} == expected


async def test_a_row_that_a_snapshot_rejects_is_not_gone(world: World) -> None:
    """It is there, in a state that cannot be stored: the last good one stays."""
    world.into(world.source.destination, "snapshot")
    world.table.rows = [order(number) for number in range(5)]
    await world.once()
    world.table.bad = {3}
    await world.once()
    assert await world.documents() == dict.fromkeys(range(5), 1)
    assert len(await world.dead()) == 1


async def test_rejected_rows_are_dead_letters_and_the_others_are_stored(world: World) -> None:
    """One for each row, however often it is read; by what the reader, BSON or the collection refuses."""
    await world.database.create_collection("orders", validator={"amount": {"$lt": 100}})
    await world.database.orders.create_index("order_id", unique=True)
    await world.database.orders.insert_one({"_id": "x", "order_id": 4, "amount": 1})
    rows = [order(number) for number in range(6)]
    rows[2] = order(2, 1000)
    rows[5] = Row(5, {"order_id": 5, "amount": 2**70}, "")
    world.table.rows, world.table.bad = rows, {1}
    assert not await world.once()
    assert await world.documents() == {0: 1, 3: 1, "x": 1}
    dead = {record.delivery.event.key["_id"]: record for record in await world.dead()}
    assert {
        (record.delivery.rule, record.delivery.action, record.delivery.partition) for record in dead.values()
    } == {("source:shop", "store", "source/shop")}
    errors = {key: record.error for key, record in dead.items()}
    keys = sorted(errors)
    assert [key.partition(": ")[2] for key in keys] == ['"1"}', '"2"}', '"4"}', '"5"}']
    assert errors[keys[0]] == "it is bad"
    assert errors[keys[1]] == "the validator of the collection refuses it"
    assert errors[keys[2]].startswith("another document has the same order_id")
    assert errors[keys[3]].startswith("it cannot be stored: ")
    assert (await world.at()).rejected == 4
    await world.store.reset(stream_of("shop"))
    assert await world.once()  # nothing new is wrong
    assert len(await world.dead()) == 4


async def test_a_rejected_row_is_read_again_when_somebody_asks(world: World) -> None:
    """As it is then; the delivery is settled, or dead once more."""
    world.table.rows, world.table.bad = [order(1), order(2), order(3)], {1, 2, 3}
    await world.once()
    world.table.bad = {2}
    world.table.rows = [order(1, 9), order(2)]
    assert await world.store.reopen(Wanted()) == 3

    async def settled() -> bool:
        found = await world.store.find(Wanted(), 10)
        return (
            sum(record.status is Status.DELIVERED for record in found) == 2 and len(await world.dead()) == 1
        )

    await world.until(settled)
    assert await world.documents() == {1: 9}
    (record,) = await world.dead()
    assert [attempt.detail for attempt in record.log] == ["it is bad", "it is bad"]


async def test_a_database_that_is_away_is_waited_for(world: World) -> None:
    """And reading goes on behind the last page that was stored."""
    world.table.rows = [order(number) for number in range(35)]
    world.table.fails_at, world.table.failure = 3, ConnectionLostError("the server closed the connection")

    async def all_there() -> bool:
        return await world.database.orders.count_documents({}) == 35

    await world.until(all_there)
    assert world.table.pages_read < 8


async def test_a_table_that_cannot_be_read_says_so_until_it_can(world: World) -> None:
    """The error stands with its place."""
    world.table.rows = [order(1)]
    world.table.fails_at, world.table.failure = 1, SourceError("the column order_id is gone")
    assert not await world.once()
    assert await world.at() == TablePlace(error="the column order_id is gone")
    assert await world.once()
    assert await world.at() == TablePlace({"behind": 1}, passes=1, rows=1)


@pytest.mark.parametrize(
    "into",
    [Destination("", "a b"), Destination("shop.a$b"), Destination("", "x" * 200)],
    ids=["space", "dollar", "long"],
)
async def test_a_name_that_cannot_be_is_the_trouble_of_its_table(world: World, into: Destination) -> None:
    """Names of tables can make one at any time; no other source may end of it."""
    world.into(into)
    world.table.rows = [order(1)]
    assert not await world.once()
    assert "rows cannot be" in (await world.at()).error


async def test_a_cancellation_that_the_driver_loses_ends_the_loop_all_the_same(world: World) -> None:
    """`asyncio.wait_for` loses one that meets a reply: the source would be read on for ever by a process that
    is ending."""
    world.table.rows = [order(1)]
    losing = _Losing()

    async def cancelled(loop: SourceLoop) -> None:
        running = asyncio.ensure_future(loop.run(asyncio.Event()))
        await losing.begun.wait()
        running.cancel()
        async with asyncio.timeout(60):
            await asyncio.wait({running})
        assert running.cancelled()

    with patch.object(World, "_landing", lambda _: losing):
        await world.work(cancelled)


async def test_another_way_of_finding_new_rows_begins_anew(world: World) -> None:
    """A place of the old one means nothing."""
    world.table.rows = [order(1)]
    await world.once()
    world.source = replace(world.source, query=replace(world.source.query, incrementing="id"))
    world.table.rows = [order(1, 5)]
    await world.once()
    assert await world.documents() == {1: 5}


async def test_whoever_lost_the_source_writes_nothing_more(world: World) -> None:
    """An operator has begun it anew meanwhile: the place there is left alone."""
    world.table.rows = [order(number) for number in range(10)]

    async def lose(loop: SourceLoop) -> None:
        checkpoint = await world.store.checkpoint(stream_of("shop"))
        assert checkpoint is not None
        await world.store.put(checkpoint)
        with pytest.raises(OwnershipError):
            await loop.run_once(asyncio.Event())

    await world.work(lose)
    assert (await world.at()).rows == 0
