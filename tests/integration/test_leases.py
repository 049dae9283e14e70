"""Keeping a lease on a real server: doubt, loss, lost replies, standing by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import AsyncMongoClient

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import OwnershipError
from mtrigger.ownership import processes
from mtrigger.ownership.lease import Interrupted, Lease
from mtrigger.ownership.standby import acquire, is_kept, owned
from mtrigger.ownership.tenure import Tenure
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.mongo import MongoStore
from support.fail_points import failing_commands
from support.mongo_proxy import MongoProxy
from support.polling import eventually
from support.samples import PARTITION, checkpoint_at, delivery_at

STATE = "state_of_leases"
QUICK = 0.6
PATIENT = 60.0
EXCEEDED_TIME_LIMIT = 262
APP_NAME = "leases-under-fire"
ELSEWHERE = str(processes.Process("web-2", 7, "1", "another boot:1:2", "ab12cd34"))

Document = dict[str, Any]


@pytest.fixture
async def store(mongod: EmbeddedServer) -> AsyncIterator[MongoStore]:
    """An empty state database with a first position, reached by a client with a name of its own."""
    async with connect(f"{mongod.uri}&appname={APP_NAME}") as client:
        store = MongoStore(client, STATE)
        await store.open()
        await store.begin(checkpoint_at(1))
        yield store
        await client.drop_database(STATE)


@pytest.fixture
async def proxy(mongod: EmbeddedServer) -> AsyncIterator[MongoProxy]:
    """A wire that loses replies."""
    proxy = MongoProxy(urlsplit(mongod.uri).port or 0)
    await proxy.open()
    yield proxy
    await proxy.close()


async def place(store: MongoStore) -> Checkpoint:
    stored = await store.checkpoint(PARTITION)
    return stored if stored is not None else await store.begin(checkpoint_at(1))


async def acquired(store: MongoStore, seconds: float = QUICK) -> Tenure:
    tenure, _ = await acquire(store.leases, partial(place, store), seconds)
    return tenure


@asynccontextmanager
async def kept(tenure: Tenure) -> AsyncIterator[asyncio.Task[None]]:
    """A lease that is renewed beside the test."""
    keeping = asyncio.create_task(tenure.keep())
    try:
        yield keeping
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError, OwnershipError):
            await keeping


async def owned_elsewhere(store: MongoStore, seconds: float = QUICK) -> Lease:
    """A process on another machine has the stream, and is never heard of again."""
    taken = await store.leases.take(PARTITION, await store.leases.current(PARTITION), ELSEWHERE, seconds)
    assert taken is not None
    assert taken.lease is not None
    return taken.lease


async def counter(store: MongoStore) -> int:
    lease = await store.leases.current(PARTITION)
    assert lease is not None
    return lease.counter


async def test_a_lease_that_is_kept_moves_and_lets_everything_pass(store: MongoStore) -> None:
    """Nobody else gets the stream while it does, however long they wait."""
    tenure = await acquired(store)
    async with kept(tenure):
        other = asyncio.create_task(acquired(store))
        started_at = await counter(store)

        async def moved() -> bool:
            return await counter(store) > started_at + 8  # more than two lease times

        await eventually(moved)
        await tenure.passed()
        assert not other.done()
        other.cancel()


async def test_a_holder_that_is_silent_is_replaced_after_its_lease_time(
    store: MongoStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A process on another machine that was killed: nothing can be known of it but its silence."""
    caplog.set_level("INFO")
    silent = await owned_elsewhere(store)
    loop = asyncio.get_running_loop()
    began = loop.time()

    tenure = await acquired(store, PATIENT)

    assert loop.time() - began >= QUICK
    assert tenure.lease.epoch == silent.epoch + 1
    assert "standing by: the stream is watched by web-2 (process 7)" in caplog.text
    assert "taking over from web-2 (process 7)" in caplog.text


async def test_a_holder_that_moves_now_and_then_is_not_replaced(store: MongoStore) -> None:
    """Its counter stood still, but never for the whole lease time."""
    lease = await owned_elsewhere(store)
    candidate = asyncio.create_task(acquired(store))
    for _ in range(8):
        before = await counter(store)
        assert await store.leases.renew(PARTITION, lease)
        await asyncio.wait({candidate}, timeout=QUICK / 2)
        assert await counter(store) == before + 1
        assert not candidate.done()
    assert (await candidate).lease.epoch == lease.epoch + 1


async def test_a_lease_of_a_process_that_is_gone_from_this_machine_is_taken_at_once(
    store: MongoStore,
) -> None:
    """kill -9 and a restart: no lease time is waited for."""
    gone = replace(processes.this_process(), pid=2**22 - 1)
    assert await store.leases.take(PARTITION, None, str(gone), PATIENT) is not None

    tenure = await asyncio.wait_for(acquired(store, PATIENT), PATIENT / 2)

    assert tenure.lease.epoch == 2


async def test_a_lease_that_was_given_back_is_taken_at_once(store: MongoStore) -> None:
    """The one who waits looks often enough."""
    lease = await owned_elsewhere(store, PATIENT)
    candidate = asyncio.create_task(acquired(store))
    await asyncio.wait({candidate}, timeout=0.1)
    await store.leases.release(PARTITION, lease)

    tenure = await asyncio.wait_for(candidate, PATIENT / 2)

    assert tenure.lease.epoch == lease.epoch + 1


async def test_who_was_deposed_raises_everywhere_and_stores_nothing(store: MongoStore) -> None:
    """The one who kept the lease, the ones who wait at the fence, and the ones who come later."""
    tenure = await acquired(store)
    mine = store.owned(tenure)
    await owned_elsewhere(store)
    async with kept(tenure) as keeping:
        with pytest.raises(OwnershipError, match=r"watched by web-2 \(process 7\) now"):
            await keeping

    for write in (mine.add([delivery_at(1)]), mine.advance(checkpoint_at(5)), tenure.passed()):
        with pytest.raises(OwnershipError, match="web-2"):
            await write
    assert await store.known([delivery_at(1).id]) == set()
    with pytest.raises(OwnershipError):
        async with tenure.permit():
            pytest.fail("no attempt may begin")


async def test_an_operator_who_sets_or_removes_the_position_ends_the_owner(store: MongoStore) -> None:
    """With a sentence that says so."""
    for change, words in (
        (store.put(checkpoint_at(3)), "An operator has set"),
        (store.reset(PARTITION), "was removed"),
    ):
        tenure = await acquired(store)
        await change
        async with kept(tenure) as keeping:
            with pytest.raises(OwnershipError, match=words):
                await keeping
        await place(store)


async def test_while_the_lease_cannot_be_renewed_nothing_begins_and_what_runs_is_cut_off(
    store: MongoStore, client: AsyncMongoClient[Document], caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is away for longer than the lease time: when it is back and nobody has taken the
    stream, everything goes on."""
    tenure = await acquired(store)
    mine = store.owned(tenure)
    running, cut_off = asyncio.Event(), asyncio.Event()

    async def attempt() -> None:
        try:
            async with tenure.permit():
                running.set()
                await asyncio.Event().wait()
        except Interrupted:
            cut_off.set()

    async with kept(tenure) as keeping, asyncio.TaskGroup() as tasks:
        tasks.create_task(attempt())
        await running.wait()
        # No error after which the driver drops its connections: that would delay the writes watched here.
        async with failing_commands(client, ["update"], app_name=APP_NAME, errorCode=EXCEEDED_TIME_LIMIT):
            await asyncio.wait_for(cut_off.wait(), PATIENT)
            writing = tasks.create_task(mine.add([delivery_at(1)]))
            for number in range(20):  # whoever has no fence to pass is not kept from writing
                assert await store.add([delivery_at(100 + number)])
            assert not writing.done()
            assert await store.known([delivery_at(1).id]) == set()
        assert await asyncio.wait_for(writing, PATIENT) == {delivery_at(1).id}
        assert not keeping.done()
    assert caplog.text.count("could not be renewed") == 1
    assert "renewed again: going on" in caplog.text


async def test_a_renewal_that_hangs_is_given_up_in_time(
    store: MongoStore, client: AsyncMongoClient[Document], caplog: pytest.LogCaptureFixture
) -> None:
    """A server that takes the command and does not answer: the doubt comes at two thirds all the same, and
    says what helps where it is always that slow."""
    tenure = await acquired(store)

    async def waiting_at_the_fence() -> asyncio.Task[None] | None:
        passing = asyncio.create_task(tenure.passed())
        await asyncio.wait({passing}, timeout=QUICK / 10)
        return None if passing.done() else passing

    async with kept(tenure) as keeping:
        hanging = failing_commands(
            client, ["update"], app_name=APP_NAME, blockConnection=True, blockTimeMS=int(QUICK * 3_000)
        )
        async with hanging:
            passing = await eventually(waiting_at_the_fence)
        await asyncio.wait_for(passing, PATIENT)
        assert not keeping.done()
    assert "no answer within 0.2 s" in caplog.text
    assert "give it more with --lease" in caplog.text


async def test_the_lost_reply_to_a_renewal_costs_nothing(proxy: MongoProxy, store: MongoStore) -> None:
    """Fault 47: it was carried out, and is asked for again."""
    async with connect(f"{proxy.uri}&retryWrites=false") as client:
        tenure = await acquired(MongoStore(client, STATE))
        async with kept(tenure) as keeping:
            before = await counter(store)
            proxy.lose_reply("update")

            async def moved() -> bool:
                return proxy.lost == 1 and await counter(store) > before + 2

            await eventually(moved)
            await tenure.passed()
            assert not keeping.done()


async def test_the_lost_reply_to_taking_a_stream_does_not_lock_us_out(
    proxy: MongoProxy, store: MongoStore
) -> None:
    """It is ours already; nobody has to wait for a lease time."""
    async with connect(f"{proxy.uri}&retryWrites=false") as client:
        proxy.lose_reply("findAndModify")
        tenure = await asyncio.wait_for(acquired(MongoStore(client, STATE), PATIENT), PATIENT / 2)
    assert proxy.lost == 1
    assert tenure.lease.epoch == 1


async def test_the_stream_is_given_back_whatever_the_owner_ended_with(store: MongoStore) -> None:
    """An error or a cancellation: the next one need not wait."""

    async def own_and(error: BaseException) -> None:
        async with owned(store, partial(place, store), PATIENT, asyncio.Event()) as stream:
            assert stream is not None
            raise error

    for error in (ValueError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await own_and(error)
        lease = await store.leases.current(PARTITION)
        assert lease is not None
        assert lease.released


async def test_a_stop_while_standing_by_is_a_stop(store: MongoStore) -> None:
    """The stream stays with whoever has it."""
    lease = await owned_elsewhere(store, PATIENT)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)
    async with owned(store, partial(place, store), PATIENT, stop) as stream:
        assert stream is None
    assert await store.leases.current(PARTITION) == lease


async def test_an_operator_finds_out_whether_somebody_watches(store: MongoStore) -> None:
    """A moving counter says yes, one that stands still for the lease time says no."""
    assert not await is_kept(store.leases, PARTITION)
    tenure = await acquired(store)
    async with kept(tenure):
        assert await is_kept(store.leases, PARTITION)
    assert not await is_kept(store.leases, PARTITION)
    await tenure.release()
    assert not await is_kept(store.leases, PARTITION)
