"""A group of rules and the topic that it reads, with what it takes to read it."""

from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger.topics.bell import Listener
from mtrigger.topics.log import TopicLog
from mtrigger.topics.message_events import Group


@dataclass(frozen=True, slots=True)
class GroupTopic:
    """`group` reads the topic `log`, which lies in `database` of what `client` reaches; `listener` hears what
    is published there."""

    group: Group
    log: TopicLog
    listener: Listener
    client: AsyncMongoClient[dict[str, Any]]
    database: str
