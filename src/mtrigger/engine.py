"""The whole: connects, divides the stream, serves this process's partitions, reloads rules, and stops.

Promises: nothing begins before a partition is this process's own; what is already owed is loaded before its
stream opens; the first position is durable before the first event is read; a part that dies ends the engine
with its error; a stop in good order loses and repeats nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from mtrigger.actions.services import Services
from mtrigger.consuming.serving import Groups
from mtrigger.deliveries import Delivery
from mtrigger.deployment.connecting import Deployment, examine
from mtrigger.deployment.databases import State, state_of, watched_client
from mtrigger.loading import default_templates
from mtrigger.logs import labelled
from mtrigger.ownership import standby
from mtrigger.ownership.processes import this_process
from mtrigger.ownership.sharing import share
from mtrigger.partition_work import PartitionWork
from mtrigger.partitions import Partition, dealt
from mtrigger.position.recovering import Policies
from mtrigger.position.repartitioning import divided
from mtrigger.position.starting import LayoutChangedError, Starting, counted
from mtrigger.reloading import RuleFiles
from mtrigger.rules_in_force import Client, RulesInForce, Show, consider, read_rules
from mtrigger.running.dead_letters import owed
from mtrigger.running.destination_report import report
from mtrigger.settings import Settings
from mtrigger.sources.progress import LogLines
from mtrigger.sources.worker import Databases, SourceWorker
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.layouts import Layout
from mtrigger.supervision.interpreter import collecting_seldom
from mtrigger.supervision.stopping import Stop, bounded
from mtrigger.supervision.supervising import first_error, part, pause, until, until_any
from mtrigger.supervision.threads import in_thread

log = logging.getLogger(__name__)


async def run(settings: Settings, stop: Stop, show: Show) -> None:
    """Watch with the rules in `settings.rules` until `stop`. `show` gets what a dry run would have done.

    Raises RulesError, SettingsError, DeploymentError or PositionError when it cannot start or go on, each
    with a sentence for the user; PartError when a part dies; CutShortError when stopping takes too long.
    """
    await bounded(_run(settings, stop, show), stop, settings.drain)


async def _run(settings: Settings, stop: Stop, show: Show) -> None:
    async with started(settings, show) as engine:
        await engine.run(stop)


@asynccontextmanager
async def started(settings: Settings, show: Show) -> AsyncIterator["Engine"]:
    """An engine that has read its rules and reached its databases, ready to `run`."""
    files = RuleFiles(settings.rules, settings.templates or default_templates(settings.rules))
    loaded = await in_thread(partial(read_rules, settings))
    async with watched_client(settings) as (client, uri):
        deployment = await examine(client, uri)
        async with state_of(settings, client) as state:
            await consider(loaded, settings, client, state)
            services = Services(loaded.templates, settings.smtp, settings.mail_from)
            rules = RulesInForce(settings, client, deployment, state, services, show, files, loaded)
            try:
                with collecting_seldom():
                    yield Engine(settings, client, deployment, state, services, rules)
            finally:
                await services.close()


class Engine:
    """This process's partitions, each with parts that do its work, and what they share.

    `watching` is set once the first of them is this process's own and its position is durable, so that no
    change from then on is missed.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        deployment: Deployment,
        state: State,
        services: Services,
        rules: RulesInForce,
    ) -> None:
        self.watching = asyncio.Event()
        self._settings = settings
        self._client = client
        self._deployment = deployment
        self._state = state
        self._store = state.store
        self._services = services
        self._rules = rules
        self._given: dict[Partition, Stop] = {}
        self._placed = asyncio.Event()

    async def run(self, stop: Stop) -> None:
        """Run until `stop`, then stop in good order. Raises what a part died of."""
        settings = self._settings
        while (
            layout := await divided(self._store, settings.partitions, settings.lease, stop.requested)
        ) is not None:
            try:
                await self._serve_all(layout, stop)
            except LayoutChangedError:
                continue  # somebody has divided the stream in another way while this one stood by
            log.info("stopped; the position is saved")
            return

    async def _serve_all(self, layout: Layout, stop: Stop) -> None:
        settings = self._settings
        try:
            async with asyncio.TaskGroup() as parts:
                mine = tuple(dealt(settings.partitions, settings.process, settings.processes))
                reloading = parts.create_task(
                    part("reloading", self._rules.reload(stop.requested)), name="reloading"
                )
                beside = {
                    "report of destinations": self._report(stop.requested),
                    "sharing": self._share(mine, stop),
                    "groups of topics": self._behind_the_start(self._groups().run, stop),
                    "sources": self._behind_the_start(self._read_sources, stop),
                }
                running = [reloading]
                running += [parts.create_task(part(name, work), name=name) for name, work in beside.items()]
                running += [
                    parts.create_task(self._serve(partition, layout, stop), name=f"partition {partition}")
                    for partition in mine
                ]
                await until(stop.requested, running)
                log.info("stopping: what was read is stored, what runs may end (again to hurry)")
                reloading.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _share(self, mine: Sequence[Partition], stop: Stop) -> None:
        """Give partitions up to processes that have fewer, and ask for those of others that have more."""

        def give(index: int) -> None:
            if mine[index] in self._given:
                self._given[mine[index]].requested.set()

        if len(mine) == 1:
            await stop.requested.wait()
            return
        names = [partition.name for partition in mine]
        await share(self._store.leases, names, self._settings.lease, give, stop.requested)

    async def _behind_the_start(self, serve: Callable[[Stop], Coroutine[Any, Any, None]], stop: Stop) -> None:
        """Serve what writes to collections once the stream has a position: on the first start of all, rules
        would not see what was written before that."""
        await until_any(self._placed, stop.requested)
        await serve(stop)

    def _groups(self) -> Groups:
        """The groups of rules that consume topics."""
        return Groups(self._settings, self._state, self._deployment, self._rules, self._services.breakers)

    async def _read_sources(self, stop: Stop) -> None:
        """Read the tables that are to be read beside the rules; a dry run stores nothing, and reads none."""
        settings, state = self._settings, self._state
        if settings.sources is None or settings.dry_run:
            await stop.requested.wait()
            return
        databases = Databases(self._client, state.client, state.database, state.store)
        worker = SourceWorker(databases, settings.lease, self._letters, LogLines())
        await worker.run(settings.sources, settings.environ, (), stop.requested)

    async def _letters(self, dead: Delivery, error: str, now: datetime) -> list[Delivery]:
        """What rules of dead letters owe for a row that cannot be stored; the first partition runs it."""
        layout = await self._store.layouts.current()
        first = Partition(0, layout.partitions if layout is not None else 1)
        letters = owed(dead, error, self._rules.matcher, now)
        return [replace(letter, partition=first.name) for letter in letters]

    async def _report(self, ending: asyncio.Event) -> None:
        """Say in the state database which destinations are down."""
        await report(self._services.breakers, self._store.destinations, str(this_process()), ending)

    async def _serve(self, partition: Partition, layout: Layout, stop: Stop) -> None:
        """Wait for a partition and run its work, again and again while it is given up, until `stop`."""
        if partition.count > 1:
            labelled(partition=str(partition))

        starting = Starting(self._settings, self._client, self._store, self._deployment)

        async def asked() -> Checkpoint:
            found = await starting.place(partition, self._rules.rules.rules)
            self._placed.set()
            return found

        while not stop.requested.is_set():
            async with standby.owned(self._store, asked, self._settings.lease, stop.requested) as stream:
                if stream is None:
                    return
                work = await self._begin(partition, layout, stream)
                try:
                    self.watching.set()
                    async with counted(stream.store, stream.checkpoint), stop.passed_on() as own:
                        self._given[partition] = own
                        await work.run(own)
                finally:
                    self._given.pop(partition, None)
                    self._rules.leave(work)
            if not stop.requested.is_set():
                log.info("given up: another process has fewer partitions")
                await pause(self._settings.lease, stop.requested)

    async def _begin(self, partition: Partition, layout: Layout, stream: standby.Owned) -> PartitionWork:
        """The work of a partition that is ours, with the rules of this moment and what is owed loaded."""
        settings = self._settings
        if layout.changes:
            adopted = await stream.store.layouts.adopt(partition)
            if adopted:
                log.info("owed or dead before the stream was divided so: %d of its deliveries", adopted)
        policies = Policies(settings.state_db, settings.on_history_lost, settings.on_invalid_token)
        breakers = self._services.breakers
        work = PartitionWork(self._client, partition, stream, policies, settings.drain, breakers)
        await self._rules.begin(work)
        return work
