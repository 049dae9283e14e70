"""Chaos: documents walk while the engine is killed again and again. Run it long with `make chaos`:

    python tests/faults/chaos.py --documents 1000 --seconds 90 --kill-every 5 --seed 1 \
        [--members 3] [--without-images]

Prints what it did and what was wrong with it; exits with 1 if anything was.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.oracle import repeats
from faults.world import World, world_at
from support.command import MtriggerCommand
from support.http_sink import Answer, HttpSink
from support.mongo_servers import MongoServers
from support.three_members import ThreeMembers

REFUSED_AT_ONCE = 10
"""Requests that the receiver refuses at each kill, so that retries are part of the chaos. (With 500: a 503
says that nobody is there, and then it is probed now and then, which would use these up one by one.)"""


ANSWERED_AFTER = 0.1
"""Seconds that the receiver takes: whoever is killed has requests under way that it will repeat."""


KILLED_AT_ONCE = 0.25
"""How likely it is that an engine is killed while it is still starting."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much chaos. Everything random follows from `seed`."""

    documents: int
    seconds: float
    kill_every: float
    seed: int
    images: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What happened; `wrong` is empty when all is well."""

    plan: Plan
    kills: int
    elections: int
    events: int
    requests: int
    refused: int
    repeats: int
    samples: int
    seconds: float
    wrong: list[str]

    def __str__(self) -> str:
        images = "with" if self.plan.images else "without"
        lines = [
            f"seed {self.plan.seed}, {images} stored images, {self.seconds:.0f} s",
            f"  {self.kills} kills -9 of the engine, {self.elections} primaries killed",
            f"  {self.events} changes, {self.requests} requests, {self.refused} of them refused",
            f"  {self.repeats} deliveries repeated, each with its first id",
            f"  {self.samples} positions looked at while it ran",
            *(f"  WRONG: {violation}" for violation in self.wrong),
            "  nothing lost, nothing out of order, no position ahead" if not self.wrong else "",
        ]
        return "\n".join(line for line in lines if line)


async def run_chaos(plan: Plan, world: World, members: ThreeMembers | None = None) -> Report:
    """Let the documents walk while engines (and, of three members, one primary) are killed; then judge."""
    began = time.monotonic()
    dice = random.Random(plan.seed)
    world.sink.answer_always(Answer(delay=ANSWERED_AFTER))
    await world.prepare(images=plan.images)
    running = world.watch()
    await asyncio.to_thread(running.wait_for_line, "watching .* from")
    async with world.sampled():
        walking = asyncio.create_task(world.walk(plan.seconds, plan.seed))
        felling = asyncio.create_task(_fell_primary(members, plan.seconds / 2))
        while not walking.done():
            early = dice.random() < KILLED_AT_ONCE
            await asyncio.wait(
                {walking}, timeout=dice.uniform(0, 1.5) if early else plan.kill_every * dice.uniform(0.6, 1.4)
            )
            world.sink.answer_next(Answer(500), REFUSED_AT_ONCE)
            world.kill(running)
            running = world.watch()
        await walking
        elections = await felling
        await world.finish(running)
    receipts = world.receipts()
    return Report(
        plan=plan,
        kills=world.kills,
        elections=elections,
        events=len(world.documents) * 8,
        requests=len(receipts),
        refused=sum(1 for receipt in receipts if not receipt.accepted),
        repeats=repeats(receipts),
        samples=len(world.samples),
        seconds=time.monotonic() - began,
        wrong=await world.judge(images=plan.images),
    )


async def _fell_primary(members: ThreeMembers | None, after: float) -> int:
    """Kill the primary in the middle of it all, and bring it back as a secondary. Returns how often."""
    if members is None:
        return 0
    await asyncio.sleep(after)
    victim = await asyncio.to_thread(members.primary)
    await asyncio.to_thread(victim.kill)
    await asyncio.to_thread(members.primary)
    victim.start()
    return 1


@contextmanager
def _deployment(members: int, folder: Path) -> Iterator[tuple[str, ThreeMembers | None]]:
    if members == 3:
        with ThreeMembers(folder / "three") as three:
            yield three.uri, three
        return
    servers = MongoServers(folder / "servers")
    try:
        yield servers.replica_set().uri, None
    finally:
        servers.stop_all()


async def _main(plan: Plan, members: int) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="mtrigger-chaos-") as folder,
        _deployment(members, Path(folder)) as (uri, three),
        closing(HttpSink()) as sink,
    ):
        command = MtriggerCommand(Path(folder))
        async with world_at(uri, command, sink, documents=plan.documents) as world:
            try:
                report = await run_chaos(plan, world, three)
            except BaseException:
                print(command.report()[-20_000:], file=sys.stderr)
                raise
    print(report)
    return 1 if report.wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--kill-every", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--members", type=int, choices=(1, 3), default=1)
    parser.add_argument("--without-images", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    chosen = Plan(given.documents, given.seconds, given.kill_every, given.seed, not given.without_images)
    sys.exit(asyncio.run(_main(chosen, given.members)))
