"""Primaries that step down, die, or lose their majority, in a set of three members (faults 18, 19 and 44)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from pymongo import WriteConcern

from faults.world import World, world_at
from support.command import MtriggerCommand
from support.http_sink import HttpSink
from support.mongo_servers import mongod_or_skip
from support.polling import eventually
from support.three_members import Member, ThreeMembers

GHOST = 1_000_000
"""The id of a document that one member alone has seen."""


@pytest.fixture
def members(tmp_path: Path) -> Iterator[ThreeMembers]:
    """Three members, one of them primary."""
    mongod_or_skip()
    with ThreeMembers(tmp_path / "members") as members:
        yield members


@pytest.fixture
async def world(
    members: ThreeMembers, mtrigger_command: MtriggerCommand, http_sink: HttpSink
) -> AsyncIterator[World]:
    """Documents in the set of three, the state beside them."""
    async with world_at(
        members.uri, mtrigger_command, http_sink, documents=40, name="elections", lease="15s"
    ) as world:
        yield world


async def test_the_primary_steps_down_ten_times_in_a_row_under_load(
    world: World, members: ThreeMembers
) -> None:
    """Fault 18: each time the stream, the outbox and the position have to find the next primary."""

    async def disturb() -> None:
        for _ in range(10):
            await _received_more(world, 1)
            await asyncio.to_thread(members.step_down)
            await asyncio.to_thread(members.primary)

    assert await world.endure(disturb, seconds=30, seed=18) == []


async def test_the_majority_is_gone_and_what_only_the_old_primary_saw_never_happened(
    world: World, members: ThreeMembers
) -> None:
    """Faults 19 and 44: two of three members die. What is written to the third one meanwhile waits for a
    majority; then the third one dies, too, the two come back and go on without it, and its write is rolled
    back. The stream, which shows only what a majority has, never showed it, and everything else comes."""

    async def disturb() -> None:
        await _received_more(world, 20)
        primary = await asyncio.to_thread(members.primary)
        others = [member for member in members.members if member is not primary]
        for member in others:
            member.kill()
        await asyncio.to_thread(_write_alone, world, primary)
        await eventually(partial(_is, primary, "secondary"))  # it has noticed that nobody follows it
        primary.kill()
        for member in others:
            member.start()
        await asyncio.to_thread(members.primary)
        primary.start()
        await eventually(partial(_is, primary, "secondary"))

    assert await world.endure(disturb, seconds=8, seed=44) == []
    assert GHOST not in {receipt.transition.document.id for receipt in world.receipts()}
    ghosts = [await _find(world, namespace) for namespace in world.collections]
    assert ghosts == [None] * len(ghosts), "the write was not rolled back: nothing was tried"


def _write_alone(world: World, member: Member) -> None:
    """Write a document that only `member` has."""
    database, _, collection = world.collections[0].partition(".")
    with member.client() as client:
        alone = client[database].get_collection(collection, write_concern=WriteConcern(1))
        alone.insert_one({"_id": GHOST, "step": 1})


async def _find(world: World, namespace: str) -> object:
    database, _, collection = namespace.partition(".")
    return await world.client[database][collection].find_one({"_id": GHOST})


async def _is(member: Member, office: str) -> bool:
    return await asyncio.to_thread(member.office) == office


async def _received_more(world: World, count: int) -> None:
    """Wait until so many more requests have come in, or all of them."""
    wanted = min(len(world.sink.requests) + count, 8 * len(world.documents))
    await eventually(lambda: len(world.sink.requests) >= wanted, patience=60)
