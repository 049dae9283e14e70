"""The row of a group of members: whose writes hold, and whose come too late."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.topics.group_rows import Member, Progress
from mtrigger.topics.message_events import Group
from mtrigger.topics.mongo_groups import Membership, MongoGroups

GROUP = Group("ORDERS", "pricing")
DONE = {0: Progress(7)}
"""Of the share 0, all up to the offset 7 is acknowledged."""


@pytest.fixture
async def groups(mongod: EmbeddedServer) -> AsyncIterator[MongoGroups]:
    """A group with the member `a`, which owns the share 0 and has written once."""
    async with connect(mongod.uri) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        found = MongoGroups(client[name])
        await found.make(GROUP, 0)
        await found.join(GROUP, "a", Member("", 0, 10.0))
        assert await found.take(GROUP, Membership("a", 0, 1), [0]) is not None
        yield found
        await client.drop_database(name)


async def progress(groups: MongoGroups) -> Progress:
    row = await groups.find(GROUP)
    assert row is not None
    return row.shares[0].progress


async def test_a_member_says_how_far_it_is(groups: MongoGroups) -> None:
    """Once more after a lost reply, too."""
    for _ in range(2):
        assert await groups.write(GROUP, Membership("a", 0, 2), DONE) is not None
    assert await progress(groups) == Progress(7)


@pytest.mark.parametrize(
    "late", [Membership("a", 0, 3), Membership("b", 0, 3)], ids=["removed", "never there"]
)
async def test_who_is_no_member_writes_nothing(groups: MongoGroups, late: Membership) -> None:
    """It was taken for dead, and its share is another one's."""
    assert await groups.remove(GROUP, "a")
    assert await groups.write(GROUP, late, DONE) is None
    assert await groups.take(GROUP, replace(late, count=4), [0]) is None
    assert await progress(groups) == Progress(0)
    row = await groups.find(GROUP)
    assert row is not None
    assert row.members == {}


async def test_what_was_acknowledged_before_a_reset_holds_no_more(groups: MongoGroups) -> None:
    """The group was set to another place."""
    assert await groups.reset(GROUP, 3) is not None
    assert await groups.write(GROUP, Membership("a", 0, 2), DONE) is None
    assert await progress(groups) == Progress(3)


async def test_a_write_that_comes_late_changes_nothing(groups: MongoGroups) -> None:
    """A later one of the same member was there before it."""
    assert await groups.write(GROUP, Membership("a", 0, 3), DONE) is not None
    assert await groups.write(GROUP, Membership("a", 0, 2), {0: Progress(4)}) is None
    assert await progress(groups) == Progress(7)


async def test_a_share_that_somebody_has_is_not_taken(groups: MongoGroups) -> None:
    """Until it is given up."""
    await groups.join(GROUP, "b", Member("", 0, 10.0))
    for count, owner in ((1, "a"), (2, "b")):
        row = await groups.take(GROUP, Membership("b", 0, count), [0])
        assert row is not None
        assert row.owners[0] == owner
        await groups.give_up(GROUP, Membership("a", 0, 2), [0])
