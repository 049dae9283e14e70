"""Members of a group on the real rows: they come and go, stall and die, and the clock is the test's own.

Every message is done once its acknowledgement has returned and is never handed out again; without deaths and
stalls none is handed out twice; messages of one key are handed out one after the other, in order.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import AckLostError
from mtrigger.messages import Message
from mtrigger.stores.mongo_gaps import MongoGaps
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics import membership
from mtrigger.topics.holdings import Handed, Holdings
from mtrigger.topics.membership import GroupMember
from mtrigger.topics.message_events import Group
from mtrigger.topics.mongo_groups import MongoGroups
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.opening import Opening
from mtrigger.topics.registry import MongoTopics
from mtrigger.topics.shares import SHARES

GROUP = Group("ORDERS", "pricing")
LEASE = 10.0
MESSAGES = 120


@pytest.fixture
async def state(mongod: EmbeddedServer) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """A state database as mtrigger itself opens it."""
    async with connect(mongod.uri) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield client[name]
        await client.drop_database(name)


@dataclass(eq=False)
class Sim:
    """A member whose loop the test turns. `stalled_until` is when its process wakes up again."""

    member: GroupMember
    holdings: Holdings
    out: list[Handed] = field(default_factory=list)
    stalled_until: float = 0.0
    turned_at: float = 0.0
    dead: bool = False


class World:
    """Some members, and what has become of every message."""

    def __init__(self, state: AsyncDatabase[dict[str, Any]], seed: int, *, deaths: bool) -> None:
        self.chance = random.Random(seed)
        self.deaths = deaths
        self.now = 1_000.0
        self.members: list[Sim] = []
        self.log = MongoLog(state, GROUP.topic, StateOutage(None))
        self._state = state
        self.keys: dict[int, Any] = {}
        self.acked: set[int] = set()
        self.doubtful: set[int] = set()
        self.holder: dict[int, tuple[Sim, Handed]] = {}
        self.repeated = 0

    async def publish(self) -> None:
        keys = self.chance.choice((3, 10, 1_000))
        await self.log.open()
        await self.log.publish([Message(n, n, n % keys) for n in range(MESSAGES)])
        self.keys = {message.offset: message.key for message in await self.log.read(0, MESSAGES)}

    # -- what happens ------------------------------------------------------------------------------------

    async def join(self) -> None:
        if sum(not sim.dead for sim in self.members) >= 4:
            return
        groups, topics = MongoGroups(self._state), MongoTopics(self._state, StateOutage(None))
        gaps = MongoGaps(self._state, StateOutage(None))
        opening = Opening(groups, topics, gaps, GROUP, "beginning")
        holdings = Holdings(self.chance.choice((3, 10, 100)))
        sim = Sim(GroupMember(groups, GROUP, opening, holdings, LEASE, lambda: None), holdings)
        await sim.member.join()
        self.members.append(sim)

    async def leave(self) -> None:
        if sim := self._anybody():
            await sim.member.leave()
            assert all(handed.lost for handed in sim.out)
            sim.dead = True

    async def die(self) -> None:
        if self.deaths and (sim := self._anybody()):
            sim.dead = True

    async def stall(self) -> None:
        if self.deaths and (sim := self._anybody()):
            sim.stalled_until = self.now + self.chance.uniform(1, 25)

    async def tick(self) -> None:
        """A while passes, and everybody who is awake takes a turn."""
        self.now += self.chance.choice((0.3, 1.0))
        for sim in self._awake():
            await self._turn(sim)

    async def read(self) -> None:
        for sim in self._awake():
            generation, behind = sim.member.generation, sim.holdings.behind()
            if behind is not None:
                page = await self.log.read(behind, self.chance.choice((5, 100)))
                assert generation == sim.member.generation
                sim.holdings.arrived(behind, page)

    async def hand_out(self) -> None:
        for sim in self._awake():
            for _ in range(self.chance.randrange(8)):
                if sim.member.sure and (handed := sim.holdings.next()) is not None:
                    self._check(sim, handed)
                    sim.out.append(handed)

    async def acknowledge(self) -> None:
        """Somebody is done with some of what it has."""
        if (sim := self._anybody()) and sim.out:
            self.chance.shuffle(sim.out)
            await self._acknowledge(sim, self.chance.randrange(1, len(sim.out) + 1))

    async def _acknowledge(self, sim: Sim, count: int) -> None:
        batch, sim.out = sim.out[:count], sim.out[count:]
        tasks = [asyncio.create_task(sim.member.acknowledge(handed)) for handed in batch]
        await asyncio.sleep(0)
        await self._turn(sim)
        for handed, result in zip(batch, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if result is None:
                self.acked.add(handed.message.offset)
            else:
                assert isinstance(result, AckLostError)
                self.doubtful.add(handed.message.offset)

    async def release(self) -> None:
        if (sim := self._anybody()) and sim.out and not sim.out[-1].lost:
            sim.member.release(sim.out.pop())

    # -- what must hold ----------------------------------------------------------------------------------

    def _check(self, sim: Sim, handed: Handed) -> None:
        offset = handed.message.offset
        assert offset not in self.acked
        key = self.keys[offset]
        before = {other for other, of in self.keys.items() if of == key and other < offset}
        assert before <= self.acked | self.doubtful
        if offset in self.holder:
            last, handed_then = self.holder[offset]
            stalled = self.now - last.turned_at >= LEASE
            assert handed_then.lost or last.dead or stalled
            self.repeated += not handed_then.lost.endswith(("released", "closed"))
        self.holder[offset] = (sim, handed)

    async def _turn(self, sim: Sim) -> None:
        await sim.member.turn()
        sim.turned_at = self.now

    def _awake(self) -> list[Sim]:
        return [sim for sim in self.members if not sim.dead and self.now >= sim.stalled_until]

    def _anybody(self) -> Sim | None:
        awake = self._awake()
        return self.chance.choice(awake) if awake else None

    async def to_the_end(self) -> None:
        """Everybody wakes up, and does what is left."""
        for sim in self.members:
            sim.stalled_until = 0.0
        await self.join()
        for _ in range(200):
            for step in (self.tick, self.read, self.hand_out):
                await step()
            for sim in self._awake():
                await self._acknowledge(sim, len(sim.out))
            if self.acked | self.doubtful == self.keys.keys() and not any(s.out for s in self._awake()):
                return
        raise AssertionError(f"left: {self.keys.keys() - self.acked}")


@pytest.mark.parametrize("deaths", [False, True], ids=["in good order", "with deaths and stalls"])
@pytest.mark.parametrize("seed", range(3))
async def test_members_that_come_and_go_do_everything_in_order(
    state: AsyncDatabase[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, seed: int, deaths: bool
) -> None:
    """What is acknowledged never comes again; what comes twice was with one that died or stalled."""
    world = World(state, seed, deaths=deaths)
    monkeypatch.setattr(membership, "clock", lambda: world.now)
    await world.publish()
    await world.join()
    rare = [world.join, world.leave, world.die, world.stall, world.release]
    often = [world.tick, world.tick, world.read, world.hand_out, world.acknowledge]
    for _ in range(100):
        await world.chance.choice(often + often + rare)()
    await world.to_the_end()
    if not deaths:
        assert world.repeated == 0
        assert world.doubtful == set()
        assert world.acked == world.keys.keys()


async def test_a_member_that_was_not_heard_of_hands_out_nothing(
    state: AsyncDatabase[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Well before others take it for dead, and until it knows that they have not."""
    world = World(state, 1, deaths=True)
    monkeypatch.setattr(membership, "clock", lambda: world.now)
    await world.join()
    (sim,) = world.members
    assert sim.member.sure
    world.now += LEASE * 0.7
    assert not sim.member.sure
    await sim.member.turn()
    assert sim.member.sure


async def test_what_is_not_stored_is_not_acknowledged(
    state: AsyncDatabase[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who was taken for dead is told, and goes on as a new member."""
    world = World(state, 1, deaths=True)
    monkeypatch.setattr(membership, "clock", lambda: world.now)
    await world.publish()
    await world.join()
    (sim,) = world.members
    await sim.member.turn()
    sim.holdings.arrived(0, await world.log.read(0, MESSAGES))
    handed = sim.holdings.next()
    assert handed is not None
    groups = MongoGroups(state)
    row = await groups.find(GROUP)
    assert row is not None
    (name,) = row.members
    assert await groups.remove(GROUP, name)

    acknowledging = asyncio.create_task(sim.member.acknowledge(handed))
    await asyncio.sleep(0)
    await sim.member.turn()
    with pytest.raises(AckLostError, match="silent for longer than its lease"):
        await acknowledging
    await sim.member.turn()
    assert len(sim.holdings) == SHARES
