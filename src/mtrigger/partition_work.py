"""The parts that serve one partition: a watcher that stores what is owed, a dispatcher that runs it.

Promises: what is already owed is loaded before the stream opens; a part that dies ends all of them with its
error; a stop in good order loses and repeats nothing.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger.actions.breakers import Breakers
from mtrigger.dispatcher import Dispatcher
from mtrigger.ownership.standby import Owned
from mtrigger.partitions import Partition
from mtrigger.position.recovering import Policies
from mtrigger.reading.lookups import Documents
from mtrigger.reading.narrowing import narrowed
from mtrigger.rules_in_force import InForce
from mtrigger.scheduling import Scheduler
from mtrigger.stream_work import StreamWork
from mtrigger.supervision.stopping import Stop
from mtrigger.watcher import Watched, Watcher

log = logging.getLogger(__name__)


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
        complete = Documents(client).complete
        self._dispatcher = Dispatcher(stream.store, partition.name, breakers, complete)
        self._work = StreamWork(stream, self._dispatcher, drain)
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
        scheduler = self._scheduler
        beside = {} if scheduler is None else {"scheduler": scheduler.run(stop.requested)}
        await self._work.run(self._watcher, beside, stop)

    def _schedule(self, rules: InForce) -> None:
        if self._scheduler is not None:
            self._scheduler.use(rules.matcher.rules)

    def _watched(self, rules: InForce) -> Watched:
        return Watched(rules.matcher, narrowed(rules.plan, self._partition))
