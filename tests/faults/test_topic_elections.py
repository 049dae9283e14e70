"""A topic whose primary is killed, in a set of three members: nothing published is lost, nothing comes twice,
and everybody has seen the same."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deployment.connecting import connect
from mtrigger.messages import Message
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.mongo_log import MongoLog
from support.mongo_servers import mongod_or_skip
from support.three_members import ThreeMembers

COUNT = 150
KILLED_AT = 60


@pytest.fixture
def members(tmp_path: Path) -> Iterator[ThreeMembers]:
    """Three members, one of them primary."""
    mongod_or_skip()
    with ThreeMembers(tmp_path / "members") as members:
        yield members


def log_of(state: AsyncDatabase[dict[str, Any]]) -> MongoLog:
    return MongoLog(state, "SOE-ORDERS", StateOutage(None))


async def test_the_primary_is_killed_while_many_publish_and_read(members: ThreeMembers) -> None:
    """Two producers, each of a key, wait until what they publish is durable; two readers read meanwhile."""
    async with connect(members.uri) as client, asyncio.timeout(120):
        state = client["topics_and_elections"]
        await log_of(state).open()

        async def produce(key: str) -> None:
            log = log_of(state)
            for number in range(0, COUNT, 3):
                await log.publish([Message(f"{key}-{one}", one, key) for one in range(number, number + 3)])

        async def consume() -> list[Message]:
            log, found = log_of(state), list[Message]()
            killer = None
            while len(found) < 2 * COUNT:
                found += await log.read(found[-1].offset if found else 0, 20)
                if len(found) >= KILLED_AT and killer is None and not killed.is_set():
                    killed.set()
                    killer = asyncio.create_task(asyncio.to_thread(members.primary().kill))
            if killer is not None:
                await killer
            return found

        killed = asyncio.Event()
        producing = [asyncio.create_task(produce(key)) for key in "ab"]
        first, second = await asyncio.gather(consume(), consume())
        await asyncio.gather(*producing)
        stored = await log_of(state).read(0, 2 * COUNT + 1)

    assert killed.is_set()
    assert first == second == stored
    for key in "ab":
        assert [message.body for message in stored if message.key == key] == list(range(COUNT))
