"""From the change stream into the outbox: nothing is missed or owed twice, whatever ends the watcher."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger import watcher as watcher_module
from mtrigger.actions.base import ActionConfig
from mtrigger.deliveries import Delivery
from mtrigger.deployment.connecting import connect, examine
from mtrigger.embedded import EmbeddedServer
from mtrigger.matching import Matcher
from mtrigger.planner import HandOver
from mtrigger.position.recovering import Policies
from mtrigger.pushdown import plan
from mtrigger.reading import stream as stream_module
from mtrigger.rules import Rule, RuleAction
from mtrigger.stores.base import Checkpoint, Query, Store
from mtrigger.stores.mongo import MongoStore
from mtrigger.watcher import Watched, Watcher
from support.polling import eventually
from support.recording import rule_on
from support.samples import NOW, PARTITION

Document = dict[str, Any]
STATE = "state_of_watcher"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams answer and positions are saved more often than in earnest."""
    monkeypatch.setattr(stream_module, "MAX_AWAIT_MS", 50)
    monkeypatch.setattr(watcher_module, "CHECKPOINT_EVERY", 0.05)
    monkeypatch.setattr(watcher_module, "IDLE_CHECKPOINT_EVERY", 0.1)


@pytest.fixture
async def watching(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[Document]]:
    """The client that mtrigger itself would make."""
    async with connect(mongod.uri) as client:
        yield client
        await client.drop_database(STATE)


@pytest.fixture
async def store(watching: AsyncMongoClient[Document]) -> MongoStore:
    store = MongoStore(watching, STATE)
    await store.open()
    return store


def watched(*rules: Rule) -> Watched:
    return Watched(Matcher(rules), plan(rules, STATE))


async def first_position(client: AsyncMongoClient[Document], store: Store) -> Checkpoint:
    """The stored one, or now."""
    deployment = await examine(client, "")
    start = Checkpoint(PARTITION, None, deployment.now, deployment.cluster_id, "", NOW)
    return await store.checkpoint(PARTITION) or await store.begin(start)


def into(offered: list[Delivery]) -> HandOver:
    """Whatever becomes durable goes into this list."""

    async def take(deliveries: Sequence[Delivery], patience: float) -> None:
        offered.extend(deliveries)

    return take


@asynccontextmanager
async def running(
    client: AsyncMongoClient[Document], store: Store, offered: list[Delivery], *rules: Rule
) -> AsyncIterator[Watcher]:
    """A watcher as the engine runs it, stopped in good order in the end."""
    checkpoint = await first_position(client, store)
    watcher = Watcher(client, store, into(offered), checkpoint, watched(*rules), Policies(STATE))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watcher.run())
        yield watcher
        watcher.stop()


def about(offered: Sequence[Delivery]) -> list[Any]:
    """The keys of the documents."""
    return [delivery.event.key["_id"] for delivery in offered]


async def saved_up_to(store: Store, token: str) -> None:
    async def saved() -> bool:
        stored = await store.checkpoint(PARTITION)
        return stored is not None and stored.position >= token

    await eventually(saved)


async def test_changes_made_before_the_stream_opens_for_the_first_time_are_seen(
    watching: AsyncMongoClient[Document], store: MongoStore, database: AsyncDatabase[Document]
) -> None:
    """The first position is durable before anything is read: a crash in between starts there, not at a
    later now."""
    await first_position(watching, store)
    await database.orders.insert_one({"_id": 1})
    offered: list[Delivery] = []

    async with running(watching, store, offered, rule_on(f"{database.name}.orders")):
        await eventually(lambda: offered)

    assert about(offered) == [1]


async def test_a_stop_in_good_order_saves_a_position_behind_all_that_was_stored(
    watching: AsyncMongoClient[Document], store: MongoStore, database: AsyncDatabase[Document]
) -> None:
    """The next start reads nothing again and misses nothing."""
    rule = rule_on(f"{database.name}.orders")
    offered: list[Delivery] = []
    async with running(watching, store, offered, rule):
        await database.orders.insert_many([{"_id": number} for number in range(20)])
        await eventually(lambda: len(offered) == 20)
    stored = await store.checkpoint(PARTITION)
    assert stored is not None
    assert stored.position >= offered[-1].position
    await database.orders.insert_one({"_id": 20})

    async with running(watching, store, offered, rule):
        await eventually(lambda: len(offered) == 21)

    assert about(offered) == list(range(21))


async def test_what_was_stored_before_a_crash_is_read_again_and_owed_once(
    watching: AsyncMongoClient[Document],
    store: MongoStore,
    database: AsyncDatabase[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed between the outbox and the checkpoint: ids tell what is there already."""
    rule = rule_on(f"{database.name}.orders")
    checkpoint = await first_position(watching, store)
    offered: list[Delivery] = []
    with monkeypatch.context() as patched:
        patched.setattr(store, "advance", lambda _checkpoint: asyncio.Event().wait())
        watcher = Watcher(watching, store, into(offered), checkpoint, watched(rule), Policies(STATE))
        task = asyncio.create_task(watcher.run())
        await database.orders.insert_many([{"_id": number} for number in range(10)])
        await eventually(lambda: len(offered) == 10)
        task.cancel()
        await asyncio.wait({task})
    assert await store.checkpoint(PARTITION) == checkpoint
    await database.orders.insert_one({"_id": 10})

    again: list[Delivery] = []
    async with running(watching, store, again, rule):
        await eventually(lambda: again)

    assert about(again) == [10]
    assert await store.count(Query()) == 11


async def test_a_position_is_never_saved_before_what_is_owed_up_to_it(
    watching: AsyncMongoClient[Document],
    store: MongoStore,
    database: AsyncDatabase[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the outbox takes its time, idle positions wait behind the events."""
    rule = rule_on(f"{database.name}.orders")
    release = asyncio.Event()
    add = store.add
    asked: list[Sequence[Delivery]] = []

    async def slow_add(deliveries: Sequence[Delivery]) -> Any:
        asked.append(deliveries)
        await release.wait()
        return await add(deliveries)

    monkeypatch.setattr(store, "add", slow_add)
    offered: list[Delivery] = []
    async with running(watching, store, offered, rule) as watcher:
        await database.orders.insert_one({"_id": 1})
        await eventually(lambda: asked)
        await eventually(lambda: watcher._queue.qsize() > 1)  # idle positions have come meanwhile
        stored = await store.checkpoint(PARTITION)
        assert stored is not None
        assert stored.position < asked[0][0].position
        release.set()
        await eventually(lambda: offered)
        await saved_up_to(store, offered[0].position)


async def test_the_position_is_saved_while_nothing_matches(
    watching: AsyncMongoClient[Document], store: MongoStore, database: AsyncDatabase[Document]
) -> None:
    """A quiet rule must not fall out of the oplog."""
    async with running(watching, store, [], rule_on(f"{database.name}.orders")):
        await saved_up_to(store, "82")
        first = await store.checkpoint(PARTITION)
        assert first is not None
        await database.carts.insert_one({"_id": 1})

        async def moved() -> bool:
            stored = await store.checkpoint(PARTITION)
            return stored is not None and stored.position > first.position

        await eventually(moved)


@pytest.mark.parametrize("with_images", [False, True])
async def test_updates_are_looked_up_together_unless_the_collection_keeps_images(
    watching: AsyncMongoClient[Document],
    store: MongoStore,
    database: AsyncDatabase[Document],
    with_images: bool,
) -> None:
    """One find for a batch and a collection; none where the event carries the document."""
    for name in ("orders", "carts"):
        images = {"changeStreamPreAndPostImages": {"enabled": with_images}}
        await database.command({"create": name, **images})
        await database[name].insert_many([{"_id": number, "amount": 0} for number in range(30)])
    await first_position(watching, store)
    await database.orders.update_many({}, {"$set": {"amount": 20_000}})
    await database.carts.update_many({}, {"$set": {"amount": 20_000}})
    rule = rule_on(f"{database.name}.*", when="amount > 10000")
    offered: list[Delivery] = []
    await database.command("profile", 2)

    async with running(watching, store, offered, rule):
        await eventually(lambda: len(offered) == 60)

    await database.command("profile", 0)
    looks = Counter(
        [look["command"]["find"] async for look in database["system.profile"].find({"op": "query"})]
    )
    assert {delivery.event.document["amount"] for delivery in offered if delivery.event.document} == {20_000}
    assert {delivery.event.image for delivery in offered} == {"post-image" if with_images else "look-up"}
    assert (looks["orders"], looks["carts"]) == ((0, 0) if with_images else (1, 1))


async def test_documents_that_rules_do_not_want_are_not_fetched(
    watching: AsyncMongoClient[Document], store: MongoStore, database: AsyncDatabase[Document]
) -> None:
    """Of a thousand orders that are packed, ten are big; other rules, once in force, want others."""
    await database.orders.insert_many([{"_id": number, "amount": number % 100} for number in range(1_000)])
    await first_position(watching, store)
    await database.orders.update_many({}, {"$set": {"status": "packed"}})
    offered: list[Delivery] = []
    await database.command("profile", 2)

    updates, orders = frozenset({"update"}), f"{database.name}.orders"
    big = rule_on(orders, when="amount == 99", operations=updates)
    small = rule_on(orders, name="small", when="amount == 0", operations=updates)
    async with running(watching, store, offered, big) as watcher:
        await eventually(lambda: len(offered) == 10)
        watcher.use(watched(small))
        await database.orders.update_many({}, {"$set": {"status": "sent"}})
        await eventually(lambda: len([one for one in offered if one.rule == "small"]) >= 10)

    await database.command("profile", 0)
    looks = [look async for look in database["system.profile"].find({"op": "query"})]
    assert 20 <= sum(look["nreturned"] for look in looks) < 100  # some changes are read through both streams


async def test_an_update_whose_document_is_gone_is_judged_by_what_it_set(
    watching: AsyncMongoClient[Document], store: MongoStore, database: AsyncDatabase[Document]
) -> None:
    """Deleted before it was looked up: the big order was there all the same."""
    await database.orders.insert_one({"_id": 1, "amount": 1})
    await first_position(watching, store)
    await database.orders.update_one({"_id": 1}, {"$set": {"amount": 20_000}})
    await database.orders.delete_one({"_id": 1})
    offered: list[Delivery] = []

    async with running(watching, store, offered, rule_on(f"{database.name}.orders", when="amount > 10000")):
        await eventually(lambda: offered)

    assert [(one.event.document, one.event.image) for one in offered] == [
        ({"_id": 1, "amount": 20_000}, "partial")
    ]


async def test_rules_are_swapped_while_changes_come(
    watching: AsyncMongoClient[Document], store: MongoStore, database: AsyncDatabase[Document]
) -> None:
    """Another condition, so another stream: no change that both hold for is missed or owed twice, and what
    only the new one wants comes from then on."""
    big = rule_on(f"{database.name}.orders", when="amount > 100")
    bigger = rule_on(f"{database.name}.orders", f"{database.name}.carts", when="amount > 50")
    offered: list[Delivery] = []
    async with running(watching, store, offered, big) as watcher:
        for number in range(200):
            await database.orders.insert_one({"_id": number, "amount": 200})
            if number == 100:
                watcher.use(watched(bigger))
        await database.orders.insert_one({"_id": "small", "amount": 60})
        await database.carts.insert_one({"_id": "cart", "amount": 200})
        await eventually(lambda: "cart" in about(offered))

    assert about(offered) == [*range(200), "small", "cart"]


async def test_rules_that_begin_to_need_pre_images_have_them_from_the_next_change_on(
    watching: AsyncMongoClient[Document], store: MongoStore, database: AsyncDatabase[Document]
) -> None:
    """Also with the change that the old stream was just waiting for; and back again nothing is missed."""
    await database.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
    await database.orders.insert_one({"_id": 1, "amount": 0})
    reading = {
        name: replace(
            rule_on(f"{database.name}.orders", operations=frozenset({"update"})),
            actions=(RuleAction("log", "log", ActionConfig(), reads=frozenset({name})),),
        )
        for name in ("document", "before")
    }
    offered: list[Delivery] = []

    async def update(amount: int) -> Any:
        """The document before the update, as it is with what is owed."""
        await database.orders.update_one({"_id": 1}, {"$set": {"amount": amount}})
        await eventually(lambda: offered and offered[-1].event.updated == {"amount": amount})
        return offered[-1].event.before

    async with running(watching, store, offered, reading["document"]) as watcher:
        assert [await update(1), await update(2)] == [None, None]
        watcher.use(watched(reading["before"]))
        assert [await update(3), await update(4)] == [{"_id": 1, "amount": 2}, {"_id": 1, "amount": 3}]
        watcher.use(watched(reading["document"]))
        await update(5)
        await update(6)

    assert [one.event.updated["amount"] for one in offered] == [1, 2, 3, 4, 5, 6]


async def test_a_part_that_dies_ends_the_watcher_with_its_error(
    watching: AsyncMongoClient[Document],
    store: MongoStore,
    database: AsyncDatabase[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the position stays where it was."""

    async def broken(deliveries: object) -> None:
        raise ZeroDivisionError("broken outbox")

    monkeypatch.setattr(store, "add", broken)
    checkpoint = await first_position(watching, store)
    rule = rule_on(f"{database.name}.orders")
    watcher = Watcher(watching, store, never_called, checkpoint, watched(rule), Policies(STATE))
    task = asyncio.create_task(watcher.run())
    await database.orders.insert_one({"_id": 1})

    with pytest.raises(ExceptionGroup, match="unhandled errors") as raised:
        await task

    assert "broken outbox" in str(raised.value.exceptions[0])
    stored = await store.checkpoint(PARTITION)
    assert stored is not None
    offered: list[Delivery] = []
    async with running(watching, MongoStore(watching, STATE), offered, rule):
        await eventually(lambda: offered)


async def never_called(deliveries: object, patience: float) -> None:
    raise AssertionError("nothing became durable")
