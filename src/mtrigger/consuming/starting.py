"""Where a group of rules starts: at its stored position, or where the rules say when it is new.

Promise: the first position is durable before the first message is read, and only a group without any is new.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from mtrigger.deployment.connecting import Deployment
from mtrigger.stores.base import Checkpoint, Store
from mtrigger.topics.log import TopicLog
from mtrigger.topics.message_events import Group, Place
from mtrigger.topics.starts import parse_start

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GroupStarting:
    """Where `group` starts in its `topic`, with a position in `store`; as a new one at `start`."""

    group: Group
    start: str
    topic: TopicLog
    store: Store
    deployment: Deployment

    async def place(self) -> Checkpoint:
        """The stored position of the group, or a first one. Raises PositionError where `start` is nowhere."""
        stored = await self.store.checkpoint(self.group.stream)
        if stored is not None:
            return stored
        offset = await self.topic.position(parse_start(self.start))
        waiting = max(0, (await self.topic.extent()).next - 1 - offset)
        name, topic = self.group.name, self.group.topic
        said = "the group %s of the topic %s is new and begins at %s: %d to come"
        log.info(said, name, topic, self.start, waiting)
        token, now = Place(0, offset).token, datetime.now(UTC)
        cluster = self.deployment
        first = Checkpoint(self.group.stream, token, cluster.now, cluster.cluster_id, "", now)
        return await self.store.begin(first)


def place_of(checkpoint: Checkpoint) -> Place:
    """Where a group stands by its stored position; at the beginning when that says nothing of it."""
    return Place.of_token(checkpoint.token) or Place(0, 0)
