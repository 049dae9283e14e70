"""Where a group of members begins, and where it goes on when what it stood at is not there any more.

Promise: what a group misses, because it was not kept, is told in the log and listed with the gaps; a topic
that was deleted and made anew is read from its beginning.
"""

import logging
from datetime import UTC, datetime

from bson.timestamp import Timestamp

from mtrigger.stores.gaps import Gap, Gaps
from mtrigger.topics.group_rows import GroupRow
from mtrigger.topics.log import From
from mtrigger.topics.message_events import Group
from mtrigger.topics.mongo_groups import MongoGroups
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.registry import MongoTopics

log = logging.getLogger(__name__)


class Opening:
    """How `group` is opened: a new one begins at `start`."""

    def __init__(
        self, groups: MongoGroups, topics: MongoTopics, gaps: Gaps, group: Group, start: From
    ) -> None:
        self._groups = groups
        self._topics = topics
        self._log: MongoLog = topics.log(group.topic)
        self._gaps = gaps
        self._group = group
        self._start = start
        self._told = 0

    async def row(self) -> GroupRow:
        """The group's row; made where there is none yet. Raises GroupError when the group is one of rules,
        PositionError when there is nothing at its start."""
        await self._groups.refuse_rules(self._group)
        found = await self._groups.find(self._group)
        if found is None:
            behind = await self._log.position(self._start)
            found = await self._groups.make(self._group, behind)
            following = (await self._log.extent()).next
            log.info(
                "the group %s of the topic %s is new and begins behind the offset %d: %d to come",
                self._group.name,
                self._group.topic,
                behind,
                following - 1 - behind,
            )
        self._start = "beginning"  # a topic that is deleted while it is read begins anew
        return found

    async def mend(self, row: GroupRow) -> bool:
        """Begin at the beginning when the group stands behind the topic's end. Returns whether it did."""
        await self._log.open()
        topic = await self._topics.row(self._group.topic)
        if topic is None or row.highest < topic.next:
            return False
        log.warning(
            "the group %s of the topic %s stands at %d, behind its end: the topic was made anew, and is read "
            "from its beginning",
            self._group.name,
            self._group.topic,
            row.highest,
        )
        return await self._groups.reset(self._group, topic.first - 1, row.resets) is not None

    async def check(self, behind: int) -> None:
        """Tell when messages behind the offset `behind`, up to which the group has read, are not kept any
        more; begin at the beginning when the topic has no such offset."""
        topic = await self._topics.row(self._group.topic)
        if topic is None or topic.next <= behind:
            row = await self._groups.find(self._group)
            if row is not None:
                await self.mend(row)
            return
        if topic.first - 1 <= max(behind, self._told):
            return
        missed, self._told = topic.first - 1 - behind, topic.first - 1
        why = (
            f"up to {missed:,} messages (offsets {behind + 1} to {topic.first - 1}) of the topic "
            f"{self._group.topic} were not kept long enough for the group {self._group.name}"
        )
        log.warning("%s; it goes on with the oldest one", why)
        now = datetime.now(UTC)
        at = Timestamp(int(now.timestamp()), behind % 2**31)
        await self._gaps.record(Gap(self._group.stream, at, at, why, "retention", now))
