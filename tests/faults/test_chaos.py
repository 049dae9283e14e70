"""Killed again and again while documents walk (faults 1 to 6 and 19). The long version is `make chaos`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from faults.chaos import Plan, run_chaos
from faults.world import world_at
from mtrigger.embedded import EmbeddedServer
from support.command import MtriggerCommand
from support.http_sink import HttpSink
from support.mongo_servers import mongod_or_skip
from support.three_members import ThreeMembers


@pytest.mark.parametrize("images", [True, False], ids=["stored images", "look-ups"])
async def test_killed_again_and_again_it_loses_nothing_and_keeps_order_and_ids(
    mongod: EmbeddedServer,
    mtrigger_command: MtriggerCommand,
    http_sink: HttpSink,
    record_property: Callable[[str, object], None],
    images: bool,
) -> None:
    """Faults 1 to 6: kill -9 at any moment under load; every transition comes, in order, under its one id,
    and the stored position is never ahead of the outbox."""
    plan = Plan(documents=60, seconds=9, kill_every=2.5, seed=6, images=images)
    async with world_at(mongod.uri, mtrigger_command, http_sink, documents=plan.documents) as world:
        report = await run_chaos(plan, world)

    record_property("summary", f"chaos: {report}")
    assert report.wrong == []
    assert report.kills >= 3
    assert report.samples >= 3


async def test_the_primary_is_killed_while_the_engine_is_killed_too(
    tmp_path: Path,
    mtrigger_command: MtriggerCommand,
    http_sink: HttpSink,
    record_property: Callable[[str, object], None],
) -> None:
    """Fault 19: of three members the primary dies in the middle, and the engine before and after."""
    mongod_or_skip()
    plan = Plan(documents=60, seconds=10, kill_every=3, seed=19)
    with ThreeMembers(tmp_path / "members") as members:
        async with world_at(members.uri, mtrigger_command, http_sink, documents=plan.documents) as world:
            report = await run_chaos(plan, world, members)

    record_property("summary", f"chaos: {report}")
    assert report.wrong == []
    assert report.elections == 1
