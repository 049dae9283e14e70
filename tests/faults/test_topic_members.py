"""Members of a group as processes of their own: they come, go, are killed and are stopped for a while."""

import asyncio
import signal
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

import support.topic_member
from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.messages import Message
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.mongo_log import MongoLog
from support.command import Running
from support.polling import eventually

KEYS = 40


class Shop:
    """A topic, and programs that consume it as one group."""

    def __init__(self, uri: str, state: AsyncDatabase[dict[str, Any]]) -> None:
        self.lease = 10.0
        self._uri = uri
        self._state = state
        self._log = MongoLog(state, "ORDERS", StateOutage(None))
        self.running: list[Running] = []
        self.published = 0

    async def publish(self, count: int) -> None:
        await self._log.open()
        numbers = range(self.published, self.published + count)
        await self._log.publish([Message(n, n, f"key-{n % KEYS}") for n in numbers])
        self.published += count

    def start(self, name: str) -> Running:
        """One more member."""
        script = Path(support.topic_member.__file__)
        process = subprocess.Popen(
            [sys.executable, script, self._uri, self._state.name, "ORDERS", "pricing", name, f"{self.lease}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running = Running(process, name)
        self.running.append(running)
        return running

    async def told(self, what: str) -> list[dict[str, Any]]:
        """All that members told of that kind, in its order."""
        return await self._state["told"].find({"what": what}, sort=[("$natural", 1)]).to_list()

    async def has_told(self, what: str, count: int, by: str = "") -> bool:
        wanted = {"what": what, **({"by": by} if by else {})}
        return await self._state["told"].count_documents(wanted) >= count

    async def until_told(self, what: str, count: int, by: str = "") -> None:
        async def told() -> bool:
            return await self.has_told(what, count, by)

        await eventually(told, 60)

    async def until_there_are(self, count: int) -> None:
        """So many members share the topic."""

        async def there() -> bool:
            row = await self._state["topic_groups"].find_one()
            return row is not None and len({share["owner"] for share in row["shares"]} - {""}) == count

        await eventually(there, 60)

    async def until_all_is_done(self) -> None:
        """Everything was handed out, and nothing is out."""

        async def done() -> bool:
            offsets = {row["offset"] for row in await self.told("got")}
            (row,) = await self._state["topic_groups"].find().to_list()
            return len(offsets) == self.published and all(
                share["position"] >= self.published and not share["above"] for share in row["shares"]
            )

        await eventually(done, 60)


@pytest.fixture
async def shop(mongod: EmbeddedServer) -> AsyncIterator[Shop]:
    """An empty topic in a database of its own."""
    async with connect(mongod.uri) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        shop = Shop(mongod.uri, client[name])
        yield shop
        for running in shop.running:
            running.end_group()
        await client.drop_database(name)


def repeated(rows: Sequence[dict[str, Any]]) -> set[int]:
    """The offsets that were handed out more than once."""
    return {offset for offset, count in Counter(row["offset"] for row in rows).items() if count > 1}


def firsts(rows: Sequence[dict[str, Any]]) -> Iterator[list[int]]:
    """For each key the offsets in the order in which they were handed out for the first time."""
    of_key: dict[str, dict[int, None]] = defaultdict(dict)
    for row in rows:
        of_key[row["key"]].setdefault(row["offset"])
    return (list(offsets) for offsets in of_key.values())


async def test_members_that_come_and_go_in_good_order_do_everything_once(shop: Shop) -> None:
    """While messages are published: none is lost, none comes twice, those of a key come in order."""
    first = shop.start("first")
    await shop.publish(100)
    await shop.until_told("acked", 50)
    second = shop.start("second")
    await shop.publish(100)
    await shop.until_there_are(2)
    await shop.publish(200)
    await shop.until_told("acked", 20, by="second")
    await asyncio.to_thread(first.terminate)
    shop.start("third")
    await shop.publish(100)
    await shop.until_there_are(2)
    await shop.publish(200)
    await shop.until_told("acked", 20, by="third")
    await asyncio.to_thread(second.terminate)
    await shop.publish(100)
    await shop.until_all_is_done()

    got = await shop.told("got")
    assert sorted(row["offset"] for row in got) == list(range(1, shop.published + 1))
    assert all(offsets == sorted(offsets) for offsets in firsts(got))
    assert {row["by"] for row in got} == {"first", "second", "third"}
    assert await shop.told("lost") == []


async def test_what_a_killed_member_had_in_hand_comes_again_and_nothing_else(shop: Shop) -> None:
    """Its shares move to the others; a stopped one learns that it has lost what it had, and goes on."""
    shop.lease = 2.0
    killed, stopped, _ = (shop.start(name) for name in ("killed", "stopped", "other"))
    await shop.publish(50)
    await shop.until_there_are(3)
    await shop.publish(300)
    for name in ("killed", "stopped", "other"):
        await shop.until_told("acked", 20, by=name)
    killed.kill()
    stopped.send(signal.SIGSTOP)
    await shop.publish(300)
    by_others = len([row for row in await shop.told("got") if row["by"] == "stopped"])
    await shop.until_all_is_done()
    stopped.send(signal.SIGCONT)

    async def goes_on() -> bool:
        await shop.publish(10)  # the other one may have done all of them before it has its shares again
        return len([row for row in await shop.told("acked") if row["by"] == "stopped"]) > by_others

    await eventually(goes_on, 60)
    await shop.until_all_is_done()

    got, acked = await shop.told("got"), await shop.told("acked")
    assert {row["offset"] for row in got} == set(range(1, shop.published + 1))
    assert all(offsets == sorted(offsets) for offsets in firsts(got))
    done = {(row["by"], row["offset"]) for row in acked}
    in_hand = {row["offset"] for row in got if (row["by"], row["offset"]) not in done}
    assert repeated(got) <= in_hand
    assert repeated(acked) == set()
