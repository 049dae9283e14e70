"""Where groups stand, those of rules and those of members from Python alike."""

from dataclasses import dataclass
from typing import Any, Literal

from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.config_types import closest
from mtrigger.errors import GroupError
from mtrigger.stores.certainty import certain
from mtrigger.stores.mongo_positions import CHECKPOINTS
from mtrigger.stores.positions import Checkpoint
from mtrigger.stores.rows import read_checkpoint
from mtrigger.topics.group_rows import GroupRow
from mtrigger.topics.message_events import STREAM, Group, Place
from mtrigger.topics.mongo_groups import MongoGroups


@dataclass(frozen=True, slots=True)
class Standing:
    """A group: everything up to the offset `position` is done. `checkpoint` is that of a group of rules,
    `row` that of one with members."""

    topic: str
    name: str
    kind: Literal["rules", "members"]
    position: int
    resets: int
    checkpoint: Checkpoint | None = None
    row: GroupRow | None = None

    @property
    def group(self) -> Group:
        """The group it is about."""
        return Group(self.topic, self.name)


async def standings(state: AsyncDatabase[dict[str, Any]], topic: str = "") -> list[Standing]:
    """All groups, or those of `topic`, by topic and name. Positions that nobody can read are left out."""
    wanted = {"_id": {"$regex": f"^{STREAM}/"}}
    rows = await certain(state, CHECKPOINTS).find(wanted, sort=[("_id", 1)]).to_list()
    rules = [_of_rules(read_checkpoint(row)) for row in rows]
    members = [_of_members(row) for row in await MongoGroups(state).all(topic)]
    found = [one for one in (*rules, *members) if one is not None and topic in ("", one.topic)]
    return sorted(found, key=lambda one: (one.topic, one.name))


def _of_rules(checkpoint: Checkpoint) -> Standing | None:
    try:
        group = Group.named(checkpoint.stream)
    except ValueError:
        return None
    place = Place.of_token(checkpoint.token)
    if place is None:
        return None
    return Standing(group.topic, group.name, "rules", place.offset, place.resets, checkpoint=checkpoint)


def _of_members(row: GroupRow) -> Standing:
    return Standing(row.group.topic, row.group.name, "members", row.lowest, row.resets, row=row)


async def standing_of(state: AsyncDatabase[dict[str, Any]], topic: str, name: str) -> Standing:
    """The group `name` of `topic`. Raises GroupError when there is none."""
    found = {one.name: one for one in await standings(state, topic)}
    if name not in found:
        near = closest(name, found)
        others = f"there are: {', '.join(found)}" if found else f"nobody has read {topic} as a group yet"
        hint = f"did you mean {near}?" if near else others
        raise GroupError(f"the topic {topic} has no group {name}; {hint}")
    return found[name]
