"""All groups of rules that a process serves: they come and go with the rules, and wait for their turns.

Promises: a group is served by one process at a time, others stand by; one that somebody else has taken, or
whose position an operator has set, begins anew from there and ends nothing else; what a group's part dies of
ends the process with its error.
"""

import asyncio
import logging

from mtrigger.actions.breakers import Breakers
from mtrigger.consuming.group_topic import GroupTopic
from mtrigger.consuming.group_work import GroupWork
from mtrigger.consuming.starting import GroupStarting
from mtrigger.deployment.connecting import Deployment
from mtrigger.deployment.databases import State
from mtrigger.errors import OwnershipError, PositionError
from mtrigger.logs import labelled
from mtrigger.ownership.standby import owned
from mtrigger.position.starting import counted
from mtrigger.rules_in_force import InForce, RulesInForce
from mtrigger.settings import Settings
from mtrigger.supervision.stopping import Stop
from mtrigger.supervision.supervising import first_error, part, pause, until_any
from mtrigger.topics.bell import Bell
from mtrigger.topics.message_events import Group

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds before a group that was lost is waited for again."""


class Groups:
    """The groups of this process: `run`, and beside it what `RulesInForce` tells of rules."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        deployment: Deployment,
        rules: RulesInForce,
        breakers: Breakers,
    ) -> None:
        self._settings = settings
        self._state = state
        self._deployment = deployment
        self._rules = rules
        self._breakers = breakers
        self._bell = Bell(state.client, state.database)
        self._wanted: dict[Group, str] = {}
        self._given: dict[Group, Stop] = {}
        self._changed = asyncio.Event()

    async def start(self, rules: InForce) -> None:
        """Serve the groups of these rules, the first ones."""
        await self.use(rules)

    async def use(self, rules: InForce) -> None:
        """Serve the groups of these rules from now on; those that are gone end in good order."""
        # Dealt among the processes that were started together, so that each has its share.
        mine = sorted(rules.groups)[self._settings.process :: self._settings.processes]
        self._wanted = {group: rules.groups[group] for group in mine}
        for group in self._given.keys() - self._wanted.keys():
            self._given[group].requested.set()
        self._changed.set()

    async def run(self, stop: Stop) -> None:
        """Serve them until `stop`, then end in good order. Raises what a part died of."""
        await self._rules.begin(self)
        serving: dict[Group, asyncio.Task[None]] = {}
        beside: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                while not stop.requested.is_set():
                    self._changed.clear()
                    serving = {group: task for group, task in serving.items() if not task.done()}
                    for group in self._wanted.keys() - serving.keys():
                        work = part(f"group {group}", self._serve(group, stop))
                        serving[group] = tasks.create_task(work, name=f"group {group}")
                        # Its rules may have come back while it ended.
                        serving[group].add_done_callback(lambda _: self._changed.set())
                    if serving and not beside:
                        beside = self._begin_beside(tasks)
                    await until_any(self._changed, stop.requested)
                await asyncio.gather(*serving.values())
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from group
        finally:
            self._rules.leave(self)

    def _begin_beside(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """What all groups need: the bell, and that topics which nobody else reads are swept."""
        needed = {"bell of the topics": self._bell.run()}
        if not self._settings.dry_run:
            needed["sweeper of the topics"] = self._state.topics.keep_swept()
        return [tasks.create_task(part(name, work), name=name) for name, work in needed.items()]

    async def _serve(self, group: Group, stop: Stop) -> None:
        """Wait for a group and do its work, again and again, until `stop` or until no rule is of it."""
        labelled(group=str(group))
        async with stop.passed_on() as own:
            if group not in self._wanted:
                return
            self._given[group] = own
            try:
                while not own.requested.is_set():
                    await self._serve_once(group, own)
            finally:
                del self._given[group]
        if not stop.requested.is_set():
            log.info("no rule is of this group any more")

    async def _serve_once(self, group: Group, own: Stop) -> None:
        """Wait for a group and do its work, until it is lost or given up."""
        state, settings = self._state, self._settings
        topic = state.topics.log(group.topic)
        starting = GroupStarting(group, self._wanted[group], topic, state.store, self._deployment)
        async with owned(state.store, starting.place, settings.lease, own.requested) as stream:
            if stream is None:
                return
            with self._bell.listening(group.topic) as listener:
                source = GroupTopic(group, topic, listener, state.client, state.database)
                work = GroupWork(source, stream, settings.drain, self._breakers)
                await self._rules.begin(work)
                try:
                    async with counted(stream.store, stream.checkpoint):
                        await work.run(own)
                    return
                except OwnershipError as error:
                    log.warning("the group is left: %s", error)
                except PositionError as error:
                    if await state.store.checkpoint(group.stream) is not None:
                        raise
                    log.warning("the group begins anew: %s", error)
                finally:
                    self._rules.leave(work)
        await pause(PAUSE, own.requested)
