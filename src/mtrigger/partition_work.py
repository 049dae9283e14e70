"""The parts that serve one partition: a watcher that stores what is owed, a dispatcher that runs it.

Promises: what is already owed is loaded before the stream opens; a part that dies ends all of them with its
error; a stop in good order loses and repeats nothing.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger.actions.breakers import Breakers
from mtrigger.dispatcher import Dispatcher, Runner
from mtrigger.matching import Matcher
from mtrigger.ownership.standby import Owned
from mtrigger.partitions import Partition
from mtrigger.position.recovering import Policies
from mtrigger.pushdown import StreamPlan
from mtrigger.reading.lookups import Documents
from mtrigger.reading.narrowing import narrowed
from mtrigger.scheduling import Scheduler
from mtrigger.stores.base import LineKey
from mtrigger.supervision.stopping import Stop
from mtrigger.supervision.supervising import first_error, part, until
from mtrigger.watcher import Watched, Watcher

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InForce:
    """What a set of rules comes to: which of them hold, what to ask the server for, what to run, and the two
    in a few words for people."""

    matcher: Matcher
    plan: StreamPlan
    runners: Mapping[LineKey, Runner]
    words: tuple[str, str]


class PartitionWork:
    """The work of one partition, from the position in `stream` on: `start` first, then `run`, and `use`
    beside it."""

    def __init__(
        self,
        client: AsyncMongoClient[dict[str, Any]],
        partition: Partition,
        stream: Owned,
        policies: Policies,
        drain: float,
        breakers: Breakers,
    ) -> None:
        self._client = client
        self._partition = partition
        self._stream = stream
        self._policies = policies
        self._drain_seconds = drain
        complete = Documents(client).complete
        self._dispatcher = Dispatcher(stream.store, partition.name, breakers, complete)
        # Schedules are nobody's document: the first partition owes for them, so they run once.
        first, offer = partition.index == 0, self._dispatcher.offer
        self._scheduler = Scheduler(stream.store, partition.name, offer) if first else None

    async def start(self, rules: InForce) -> None:
        """Load what is owed, before anything is read."""
        checkpoint = self._stream.checkpoint
        await self._dispatcher.serve(rules.runners)
        await self._dispatcher.load()
        take, watched = self._dispatcher.take, self._watched(rules)
        self._watcher = Watcher(self._client, self._stream.store, take, checkpoint, watched, self._policies)
        self._schedule(rules)
        since = datetime.fromtimestamp(checkpoint.cluster_time.time, UTC).isoformat()
        log.info("watching %s with %s, from %s on", *rules.words, since)

    async def use(self, rules: InForce) -> None:
        """Go on with other rules."""
        await self._dispatcher.serve(rules.runners)
        self._watcher.use(self._watched(rules))
        self._schedule(rules)

    async def run(self, stop: Stop) -> None:
        """Run until `stop`, then stop in good order. Raises what a part died of."""
        try:
            async with asyncio.TaskGroup() as parts:
                dispatching = parts.create_task(self._dispatcher.run(), name="dispatcher")
                watching = parts.create_task(self._watcher.run(), name="watcher")
                owning = parts.create_task(part("lease", self._stream.lasts()), name="lease")
                scheduling = self._begin_scheduling(parts, stop)
                await until(stop.requested, (dispatching, watching, owning, *scheduling))
                self._watcher.stop()
                draining = parts.create_task(part("drain", self._drain(stop)), name="drain")
                await asyncio.wait({watching, draining})
                await dispatching
                for task in (owning, *scheduling):
                    task.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _drain(self, stop: Stop) -> None:
        hurry = asyncio.create_task(stop.hurried.wait())
        draining = asyncio.create_task(self._dispatcher.drain(self._drain_seconds))
        await asyncio.wait({hurry, draining}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not draining.done():
            draining.cancel()
            await self._dispatcher.drain(0)

    def _schedule(self, rules: InForce) -> None:
        if self._scheduler is not None:
            self._scheduler.use(rules.matcher.rules)

    def _begin_scheduling(self, parts: asyncio.TaskGroup, stop: Stop) -> list[asyncio.Task[None]]:
        if self._scheduler is None:
            return []
        work = part("scheduler", self._scheduler.run(stop.requested))
        return [parts.create_task(work, name="scheduler")]

    def _watched(self, rules: InForce) -> Watched:
        return Watched(rules.matcher, narrowed(rules.plan, self._partition))
