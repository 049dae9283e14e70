"""One world for a test of faults: documents that walk, an engine that can be killed, and what it delivered.

The rule, the receiver and the judgement are the same for every fault; a test only says what goes wrong while
the documents walk. Everything is real: the server, the installed command, the HTTP requests.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

from faults import walk
from faults.oracle import (
    DocumentKey,
    Happened,
    Receipt,
    Sample,
    Transition,
    expected,
    violations,
    with_images,
)
from mtrigger.deliveries import delivery_id
from support.command import MtriggerCommand, Running
from support.http_sink import HttpSink
from support.polling import eventually

Document = dict[str, Any]

RULE = """
name: walk
on:
  collection: [{collections}]
  operations: [insert, update, delete]
do:
  - webhook:
      url: {url}/walk
      body:
        namespace: "{{{{ event.database }}}}.{{{{ event.collection }}}}"
        id: "{{{{ event.key._id }}}}"
        operation: "{{{{ event.operation }}}}"
        step: "{{{{ 5 if event.operation == 'delete' else document.step }}}}"
        before: "{{{{ before.step if before else 0 }}}}"
retry: {{attempts: 1000, first_delay: 20ms, max_delay: 200ms}}
"""

PATIENCE_SECONDS = 90.0
"""How long the engine may take, once the faults are over, until everything is delivered."""


@dataclass(slots=True)
class World:
    """Documents in three databases of the deployment at `uri`, watched through `engine_uri`."""

    command: MtriggerCommand
    sink: HttpSink
    client: AsyncMongoClient[Document]
    engine_uri: str
    name: str
    documents: Sequence[DocumentKey]
    lease: str = "2s"
    began: Timestamp = field(default_factory=lambda: Timestamp(0, 0))
    samples: list[Sample] = field(default_factory=list)
    kills: int = 0

    @property
    def state(self) -> str:
        """The name of the state database."""
        return f"{self.name}_state"

    @property
    def collections(self) -> list[str]:
        """The names of the five collections."""
        return collections_of(self.name)

    # -- before --------------------------------------------------------------------------------------------

    async def prepare(self, *, images: bool) -> None:
        """Make the collections (with stored images or without) and the rule."""
        for namespace in self.collections:
            database, _, collection = namespace.partition(".")
            await self.client[database].create_collection(
                collection, changeStreamPreAndPostImages={"enabled": images}
            )
        folder = self.command.folder / "triggers"
        folder.mkdir()
        text = RULE.format(collections=", ".join(self.collections), url=self.sink.url)
        (folder / "walk.yaml").write_text(text)
        self.began = (await self.client.admin.command("hello"))["operationTime"]

    # -- while it runs -------------------------------------------------------------------------------------

    def watch(self) -> Running:
        """Start the engine, and do not wait for it."""
        environment = {"MTRIGGER_URI": self.engine_uri, "MTRIGGER_STATE_DB": self.state}
        return self.command.start("watch", "--rules", "triggers/", "--lease", self.lease, env=environment)

    async def walk(self, seconds: float, seed: int) -> None:
        """Let every document walk its whole path within `seconds`."""
        await walk.walk(self.client, walk.schedule(self.documents, seed), seconds)

    def kill(self, running: Running) -> None:
        """kill -9 an engine that must still be running."""
        assert running.code is None, f"the engine ended by itself with {running.code}:\n{running.output}"
        running.kill()
        self.kills += 1

    @asynccontextmanager
    async def sampled(self) -> AsyncIterator[None]:
        """Look at the checkpoint and the outbox behind it again and again."""
        async with asyncio.TaskGroup() as tasks:
            sampling = tasks.create_task(self._sample())
            yield
            sampling.cancel()

    async def _sample(self) -> None:
        state, seen = self.client[self.state], ""
        while True:
            try:
                checkpoint = await state["checkpoints"].find_one()
                token = checkpoint["token"] if checkpoint else None
                if token and token["_data"] != seen:
                    seen = token["_data"]
                    rows = await state["deliveries"].count_documents({"position": {"$lte": seen}})
                    self.samples.append(Sample(seen, rows))
            except (ConnectionFailure, OperationFailure):
                continue  # no primary at the moment: that is part of the test
            finally:
                await asyncio.sleep(0.05)

    async def endure(self, disturb: Callable[[], Awaitable[None]], *, seconds: float, seed: int) -> list[str]:
        """Let the documents walk while `disturb` does its worst to one engine, then wait until all is
        delivered. Returns what was wrong; whatever `disturb` has broken it must have mended."""
        await self.prepare(images=True)
        running = self.watch()
        await asyncio.to_thread(running.wait_for_line, "watching .* from")
        async with self.sampled():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.walk(seconds, seed))
                await disturb()
            await self.finish(running)
        return await self.judge(images=True)

    # -- afterwards ----------------------------------------------------------------------------------------

    async def finish(self, running: Running) -> None:
        """Wait until everything was delivered, and end the engine in good order."""
        wanted = len(self.documents) * 8
        await eventually(lambda: self._delivered(running, wanted), PATIENCE_SECONDS)
        assert await asyncio.to_thread(running.terminate) == 0, running.output

    async def _delivered(self, running: Running, wanted: int) -> bool:
        assert running.code is None, f"the engine ended by itself with {running.code}:\n{running.output}"
        deliveries = self.client[self.state]["deliveries"]
        return await deliveries.count_documents({"status": "delivered"}) >= wanted

    def receipts(self) -> list[Receipt]:
        """What came in, in order."""
        return list(self._receipts())

    def _receipts(self) -> Iterator[Receipt]:
        for request in list(self.sink.requests):
            told = request.json()
            yield Receipt(
                delivery=request.headers["webhook-id"],
                transition=Transition(DocumentKey(told["namespace"], told["id"]), told["step"]),
                operation=told["operation"],
                before=told["before"],
                accepted=request.status == 200,
            )

    async def happened(self) -> Happened:
        """The history of the server, read from the beginning by the driver's own change stream."""
        cluster = (await self.client[self.state]["checkpoints"].find_one() or {})["cluster_id"]
        wanted = [
            {"$match": {"ns.db": {"$in": sorted({name.partition(".")[0] for name in self.collections})}}}
        ]
        tokens: dict[Transition, str] = {}
        lives: dict[DocumentKey, int] = {}
        count, idle = len(expected(self.documents)), 0
        async with await self.client.watch(
            wanted, start_at_operation_time=self.began, max_await_time_ms=500
        ) as stream:
            while len(tokens) < count and idle < 10:  # what was never written cannot be waited for
                change = await stream.try_next()
                if change is None:
                    idle += 1
                    continue
                document = DocumentKey(
                    f"{change['ns']['db']}.{change['ns']['coll']}", change["documentKey"]["_id"]
                )
                lives[document] = step = lives.get(document, 0) + 1
                tokens[Transition(document, step)] = change["_id"]["_data"]
        ids = {
            transition: delivery_id(cluster, token, "walk", "webhook") for transition, token in tokens.items()
        }
        return Happened(tokens, ids)

    async def judge(self, *, images: bool) -> list[str]:
        """Everything that is wrong: the oracle's verdict, and whether the walk itself was walked."""
        happened = await self.happened()
        unwalked = [
            f"never happened: {transition}"
            for transition in expected(self.documents)
            if transition not in happened.tokens
        ]
        receipts = self.receipts()
        wrong = with_images(receipts) if images else []
        return [*unwalked, *violations(happened, receipts, self.samples), *wrong]


@asynccontextmanager
async def world_at(
    uri: str,
    command: MtriggerCommand,
    sink: HttpSink,
    *,
    documents: int,
    engine_uri: str = "",
    name: str = "chaos",
    lease: str = "2s",
) -> AsyncIterator[World]:
    """A world in the deployment at `uri`, which the engine reaches at `engine_uri` if that is another way."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, tz_aware=True)
    async with client:
        try:
            yield World(command, sink, client, engine_uri or uri, name, documents_of(name, documents), lease)
        finally:
            command.end_all()
            for database in await client.list_database_names():
                if database.startswith(f"{name}_"):
                    await client.drop_database(database)


def collections_of(name: str) -> list[str]:
    """Five collections in three databases."""
    return [f"{name}_a.one", f"{name}_a.two", f"{name}_b.one", f"{name}_b.two", f"{name}_c.one"]


def documents_of(name: str, count: int) -> list[DocumentKey]:
    """`count` documents, spread over the collections; their ids are numbers of their own."""
    collections = collections_of(name)
    return [DocumentKey(collections[number % len(collections)], number) for number in range(count)]
