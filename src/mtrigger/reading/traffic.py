"""How much of what happened a stream's plan lets through: counted by the server's own change stream."""

from dataclasses import dataclass, replace
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from mtrigger.pushdown import StreamPlan
from mtrigger.reading.stream import ChangeStream, StreamPosition


@dataclass(frozen=True, slots=True)
class Traffic:
    """Numbers of events in a stretch of time: all that the stream could see, those with the operations and
    collections of the rules, and those that the plan lets through."""

    all: int
    wanted_kinds: int
    let_through: int


async def traffic(
    client: AsyncMongoClient[dict[str, Any]], plan: StreamPlan, since: Timestamp, until: Timestamp
) -> Traffic:
    """What `plan` let through from `since` to `until`, both inclusive. Raises what PyMongo raises."""
    return Traffic(
        all=await _count(client, replace(plan, match={}, cover={}), since, until),
        wanted_kinds=await _count(client, replace(plan, match=plan.cover), since, until),
        let_through=await _count(client, plan, since, until),
    )


async def _count(
    client: AsyncMongoClient[dict[str, Any]], plan: StreamPlan, since: Timestamp, until: Timestamp
) -> int:
    stream = ChangeStream(client, plan, StreamPosition(None, since, ""), "count")
    found = 0
    while stream.position.cluster_time < until:
        batch = await stream.read()
        found += sum(event.cluster_time <= until for event in batch.events)
    await stream.close()
    return found
