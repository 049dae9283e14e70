"""What a network can do between mtrigger and MongoDB (faults 16 and 20 to 22), through a TCP proxy.

The stream and the state both go over the faulty wire; the documents are written past it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from functools import partial

import pytest

from faults.world import World, world_at
from mtrigger.embedded import EmbeddedServer
from support.command import MtriggerCommand
from support.faulty_wire import FaultyWire
from support.http_sink import HttpSink
from support.polling import eventually

SHORT_TIMEOUT = "&socketTimeoutMS=2500"
"""A silent connection is given up after this long instead of after half a minute: the test would wait."""


@pytest.fixture
def wire(mongod: EmbeddedServer) -> Iterator[FaultyWire]:
    """A wire to the server, without fault as yet."""
    with closing(FaultyWire(mongod.port)) as wire:
        yield wire


@pytest.fixture
async def world(
    mongod: EmbeddedServer, wire: FaultyWire, mtrigger_command: MtriggerCommand, http_sink: HttpSink
) -> AsyncIterator[World]:
    """Documents that are watched over the wire."""
    async with world_at(
        mongod.uri,
        mtrigger_command,
        http_sink,
        documents=20,
        engine_uri=wire.uri + SHORT_TIMEOUT,
        name="network",
    ) as world:
        yield world


async def test_every_connection_is_cut_again_and_again(world: World, wire: FaultyWire) -> None:
    """Fault 20, the kind that is noticed: connections end in the middle of whatever they carry."""

    async def disturb() -> None:
        for _ in range(8):
            opened = wire.opened
            wire.cut()
            await eventually(partial(_reopened, wire, opened))

    assert await world.endure(disturb, seconds=4, seed=20) == []


async def test_connections_are_refused_for_a_while(world: World, wire: FaultyWire) -> None:
    """Fault 16: nothing listens at the address, long enough for many tries."""

    async def disturb() -> None:
        await _received(world, 10)
        wire.refuse()
        await asyncio.sleep(4)
        wire.heal()

    assert await world.endure(disturb, seconds=5, seed=16) == []


async def test_the_network_is_a_black_hole(world: World, wire: FaultyWire) -> None:
    """Fault 20: nothing comes through and nothing is closed; the socket's timeout notices, and what the
    connections had swallowed is read again."""

    async def disturb() -> None:
        await _received(world, 10)
        wire.black_hole()
        await asyncio.sleep(4)
        wire.heal()

    assert await world.endure(disturb, seconds=5, seed=20) == []


async def test_replies_are_lost_after_the_server_has_moved_its_cursor(world: World, wire: FaultyWire) -> None:
    """Fault 21: half-open connections; requests are carried out, their replies never come. Events that the
    server has handed out are asked for again; writes that it has made are not made twice."""

    async def disturb() -> None:
        await _received(world, 10)
        for _ in range(2):
            wire.drop_replies()
            await asyncio.sleep(1.5)
            wire.heal()
            await asyncio.sleep(1.5)

    assert await world.endure(disturb, seconds=5, seed=21) == []


@pytest.mark.parametrize(
    "how",
    [
        {"delay": 1.0},
        {"bytes_per_second": 10_000.0},
        {"segment": 1},
    ],
    ids=["a second of delay each way", "10 kB/s", "one byte at a time"],
)
async def test_a_slow_network_only_makes_it_slow(
    mongod: EmbeddedServer,
    wire: FaultyWire,
    mtrigger_command: MtriggerCommand,
    http_sink: HttpSink,
    how: dict[str, float],
) -> None:
    """Fault 22: latency, a narrow line, and a line that cuts everything to pieces: all is delivered, and
    nothing is given up for being late."""
    async with world_at(
        mongod.uri,
        mtrigger_command,
        http_sink,
        documents=5,
        engine_uri=wire.uri,
        name="slow",
        lease="15s",
    ) as world:

        async def disturb() -> None:
            wire.slow(delay=how.get("delay", 0.0), bytes_per_second=how.get("bytes_per_second", float("inf")))
            await _received(world, 5 * 8)
            wire.heal()

        assert await world.endure(disturb, seconds=2, seed=22) == []


def _reopened(wire: FaultyWire, before: int) -> bool:
    return wire.opened > before


async def _received(world: World, count: int) -> None:
    """Wait until so many requests have come in."""
    await eventually(lambda: len(world.sink.requests) >= count, patience=60)
