"""The parts that serve one group of rules: what reads its topic, and a dispatcher that runs what is owed.

Promises: what is already owed is loaded before anything is read; a part that dies ends all of them with its
error; a stop in good order loses and repeats nothing.
"""

import logging

from mtrigger.actions.breakers import Breakers
from mtrigger.consuming.group_topic import GroupTopic
from mtrigger.consuming.group_watcher import GroupWatcher
from mtrigger.consuming.starting import place_of
from mtrigger.dispatcher import Dispatcher
from mtrigger.ownership.standby import Owned
from mtrigger.reading.lookups import Documents
from mtrigger.rules_in_force import InForce
from mtrigger.stream_work import StreamWork
from mtrigger.supervision.stopping import Stop

log = logging.getLogger(__name__)


class GroupWork:
    """The work of one group, from the position in `stream` on: `start` first, then `run`, and `use` beside
    it."""

    def __init__(
        self,
        source: GroupTopic,
        stream: Owned,
        drain: float,
        breakers: Breakers,
    ) -> None:
        """`drain` is as for `StreamWork`."""
        self._source = source
        self._stream = stream
        complete = Documents(source.client).complete
        self._dispatcher = Dispatcher(stream.store, source.group.stream, breakers, complete)
        self._work = StreamWork(stream, self._dispatcher, drain)

    async def start(self, rules: InForce) -> None:
        """Load what is owed, before anything is read."""
        mine = rules.of_group(self._source.group)
        await self._dispatcher.serve(mine.runners, rules.matcher)
        await self._dispatcher.load()
        self._watcher = GroupWatcher(
            self._source,
            self._stream.store,
            self._dispatcher.take,
            self._stream.checkpoint,
            mine.matcher,
        )
        log.info("reading %s with %s, from behind offset %d on", *mine.words, self._offset)

    async def use(self, rules: InForce) -> None:
        """Go on with other rules."""
        mine = rules.of_group(self._source.group)
        await self._dispatcher.serve(mine.runners, rules.matcher)
        self._watcher.use(mine.matcher)

    async def run(self, stop: Stop) -> None:
        """Run until `stop`, then stop in good order. Raises what a part died of."""
        await self._work.run(self._watcher, {}, stop)

    @property
    def _offset(self) -> int:
        return place_of(self._stream.checkpoint).offset
