"""Groups of members in MongoDB: every step of a member is one conditional write of its group's row.

Promises: what a member writes holds only while it is a member and the group was not set to another place; a
share has one owner at most; a write is on a majority when it returns. What fails is raised at once, and
asking again with a higher count is safe.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from mtrigger.errors import GroupError
from mtrigger.stores.certainty import certain
from mtrigger.stores.mongo_positions import CHECKPOINTS
from mtrigger.topics.group_rows import (
    ROWS,
    GroupRow,
    Member,
    Progress,
    among,
    moved,
    new_row,
    progressed,
    read_row,
)
from mtrigger.topics.message_events import Group
from mtrigger.topics.shares import NOBODY


@dataclass(frozen=True, slots=True)
class Membership:
    """What a write is fenced by: the member's name, the group's last reset, and how many of its writes came
    before."""

    member: str
    resets: int
    count: int = 0


class MongoGroups:
    """The groups of members in the database `state`, whose client must decode dates as aware."""

    def __init__(self, state: AsyncDatabase[dict[str, Any]]) -> None:
        self._rows = certain(state, ROWS)
        self._checkpoints = certain(state, CHECKPOINTS)

    async def find(self, group: Group) -> GroupRow | None:
        """The group's row; None where there is none."""
        row = await self._rows.find_one({"_id": str(group)})
        return None if row is None else read_row(row)

    async def has(self, group: Group) -> bool:
        """Whether there is such a group."""
        return await self._rows.find_one({"_id": str(group)}, {"_id": 1}) is not None

    async def all(self, topic: str = "") -> list[GroupRow]:
        """The groups of `topic`, or of all topics, by their names."""
        found = self._rows.find({"topic": topic} if topic else {}, sort=[("_id", 1)])
        return [read_row(row) async for row in found]

    async def refuse_rules(self, group: Group) -> None:
        """Raise GroupError when the group is one of rules."""
        if await self._checkpoints.find_one({"_id": group.stream}, {"_id": 1}) is not None:
            raise GroupError(
                f"The group {group.name} of the topic {group.topic} belongs to rules: give this one another "
                f"name. (Where no rule reads it any more, `mtrigger topic delete {group.topic} --group "
                f"{group.name}` makes the name free.)"
            )

    async def make(self, group: Group, position: int) -> GroupRow:
        """The group's row, made where there is none yet: it begins behind the offset `position`."""
        made: list[dict[str, Any]] = [
            {"$replaceWith": {"$mergeObjects": [new_row(group, position), "$$ROOT"]}}
        ]
        made.append({"$set": {"created_at": {"$ifNull": ["$created_at", "$$NOW"]}}})
        with contextlib.suppress(DuplicateKeyError):  # another member made it in the same moment
            await self._rows.update_one({"_id": str(group)}, made, upsert=True)
        row = await self.find(group)
        return read_row({"_id": str(group), **new_row(group, position)}) if row is None else row

    async def join(self, group: Group, member: str, entry: Member) -> GroupRow | None:
        """Become a member; the row as it is then. None when there is no such group."""
        fields = {"process": entry.process, "counter": entry.counter, "seconds": entry.seconds}
        return await self._changed({"_id": str(group)}, {"$set": {f"members.{member}": fields}})

    async def write(self, group: Group, mine: Membership, shares: Mapping[int, Progress]) -> GroupRow | None:
        """Say that the member lives, and how far its `shares` are. Returns the row as it is then; None when
        it is a member no more, or the group was set to another place, or there is no group."""
        found = await self._written(group, mine, progressed(shares))
        if found is not None:
            return found
        # The reply to the same write may have been lost.
        row = await self._rows.find_one({**_fence(group, mine), _counter(mine): mine.count})
        return None if row is None else read_row(row)

    async def take(self, group: Group, mine: Membership, numbers: Collection[int]) -> GroupRow | None:
        """Take those of the shares `numbers` that nobody owns; the row as it is then, None as by `write`."""
        owned = {"shares.$[share].owner": mine.member}
        return await self._written(group, mine, owned, array_filters=among(numbers, NOBODY))

    async def give_up(self, group: Group, mine: Membership, numbers: Collection[int]) -> GroupRow | None:
        """Give up those of the shares `numbers` that are still the member's; they must be written as they
        stand in the end. The row as it is then, None as by `write`."""
        owned = {"shares.$[share].owner": NOBODY}
        return await self._written(group, mine, owned, array_filters=among(numbers, mine.member))

    async def remove(self, group: Group, member: str, counter: int | None = None) -> bool:
        """End the membership of another one, whose shares are nobody's then, if it has written nothing since
        `counter`. Returns whether it was there."""
        unmoved = {} if counter is None else {f"members.{member}.counter": counter}
        result = await self._rows.update_one(
            {"_id": str(group), f"members.{member}": {"$exists": True}, **unmoved},
            {"$unset": {f"members.{member}": ""}, "$set": {"shares.$[share].owner": NOBODY}},
            array_filters=[{"share.owner": member}],
        )
        return result.matched_count == 1

    async def reset(self, group: Group, position: int, seen: int | None = None) -> GroupRow | None:
        """Set the group behind the offset `position`; only if it was reset `seen` times, where that is given.
        Its members go on there. None when there is no such group, or it was reset otherwise."""
        wanted = {} if seen is None else {"resets": seen}
        return await self._changed(
            {"_id": str(group), **wanted}, {"$set": moved(position), "$inc": {"resets": 1}}
        )

    async def delete(self, group: Group) -> bool:
        """Forget the group: its members begin it anew. Returns whether it was there."""
        return (await self._rows.delete_one({"_id": str(group)})).deleted_count == 1

    async def _written(
        self, group: Group, mine: Membership, fields: dict[str, Any], **options: Any
    ) -> GroupRow | None:
        """Write `fields` as the member's write of that number; behind a later one it is none."""
        wanted = {**_fence(group, mine), _counter(mine): {"$lt": mine.count}}
        return await self._changed(wanted, {"$set": {_counter(mine): mine.count, **fields}}, **options)

    async def _changed(
        self, wanted: dict[str, Any], update: dict[str, Any], **options: Any
    ) -> GroupRow | None:
        row = await self._rows.find_one_and_update(
            wanted, update, return_document=ReturnDocument.AFTER, **options
        )
        return None if row is None else read_row(row)


def _fence(group: Group, mine: Membership) -> dict[str, Any]:
    return {"_id": str(group), _counter(mine): {"$exists": True}, "resets": mine.resets}


def _counter(mine: Membership) -> str:
    return f"members.{mine.member}.counter"
