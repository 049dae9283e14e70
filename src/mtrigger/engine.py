"""The whole: connects, divides the stream, serves this process's partitions, reloads rules, and stops.

Promises: nothing begins before a partition is this process's own; what is already owed is loaded before its
stream opens; the first position is durable before the first event is read; a part that dies ends the engine
with its error; a stop in good order loses and repeats nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger import actions, pushdown
from mtrigger.actions.base import Preview, Work
from mtrigger.actions.services import Services
from mtrigger.deployment import preflight
from mtrigger.deployment.connecting import Deployment, examine
from mtrigger.deployment.databases import state_store, watched_client
from mtrigger.dispatcher import Runner
from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading import RuleSet, default_templates, load
from mtrigger.logs import labelled
from mtrigger.matching import Matcher
from mtrigger.ownership.processes import this_process
from mtrigger.ownership.sharing import share
from mtrigger.ownership.standby import Owned, owned
from mtrigger.partition_work import InForce, PartitionWork
from mtrigger.partitions import Partition, dealt
from mtrigger.position.recovering import Policies
from mtrigger.position.repartitioning import divided
from mtrigger.position.starting import LayoutChangedError, Starting, counted
from mtrigger.reading.queries import learning
from mtrigger.reloading import RuleFiles
from mtrigger.rules import with_endings
from mtrigger.running.destination_report import report
from mtrigger.running.dry_run import Rehearsal
from mtrigger.settings import Settings
from mtrigger.stores.base import Checkpoint, LineKey, Store
from mtrigger.stores.layouts import Layout
from mtrigger.supervision.interpreter import collecting_seldom
from mtrigger.supervision.stopping import Stop, bounded
from mtrigger.supervision.supervising import first_error, part, pause, until
from mtrigger.supervision.threads import in_thread

log = logging.getLogger(__name__)

Client = AsyncMongoClient[dict[str, Any]]
Show = Callable[[Work, Preview], None]


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
    rules = await in_thread(partial(_load, settings))
    async with watched_client(settings) as (client, uri):
        deployment = await examine(client, uri)
        await _consider(rules, settings, client)
        async with state_store(settings, client) as store:
            services = Services(rules.templates, settings.smtp, settings.mail_from)
            try:
                engine = Engine(settings, client, deployment, store, services, show, files, rules)
                with collecting_seldom():
                    yield engine
            finally:
                await services.close()


def _refuse(error: RulesError | SettingsError) -> None:
    for line in str(error).splitlines():
        log.error("%s", line)
    log.error("the rules were not reloaded: the ones before stay in force until this is mended")


def _load(settings: Settings) -> RuleSet:
    return load(settings.rules, settings.templates, settings.environ)


async def _consider(rules: RuleSet, settings: Settings, client: Client) -> None:
    """Say what is worth saying about the rules; raise SettingsError for what makes one of them useless."""
    found = await preflight.survey(client, rules.rules)
    mail_server = settings.smtp or (object() if settings.dry_run else None)
    grave = []
    said = preflight.findings(rules.rules, found, mail_server)
    said += preflight.into_the_state(rules.rules, settings.state_db)
    for finding in (*said, *preflight.across_partitions(rules.rules, settings.partitions)):
        if finding.grave:
            grave.append(str(finding))
        else:
            log.warning("%s", finding)
    if grave:
        raise SettingsError("\n".join(grave))


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
        store: Store,
        services: Services,
        show: Show,
        files: RuleFiles,
        rules: RuleSet,
    ) -> None:
        self.watching = asyncio.Event()
        self._settings = settings
        self._client = client
        self._deployment = deployment
        self._store = store
        self._services = services
        self._show = show
        self._files = files
        self._rules = rules
        self._in_force = self._prepared(rules)
        self._works: set[PartitionWork] = set()
        self._given: dict[Partition, Stop] = {}
        self._changing = asyncio.Lock()

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
                reloading = parts.create_task(
                    part("reloading", self._reload(stop.requested)), name="reloading"
                )
                mine = tuple(dealt(settings.partitions, settings.process, settings.processes))
                serving = [
                    parts.create_task(self._serve(partition, layout, stop), name=f"partition {partition}")
                    for partition in mine
                ]
                telling = self._report(stop.requested)
                reporting = parts.create_task(part("report of destinations", telling), name="reporting")
                sharing = parts.create_task(part("sharing", self._share(mine, stop)), name="sharing")
                await until(stop.requested, (reloading, reporting, sharing, *serving))
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

    async def _report(self, ending: asyncio.Event) -> None:
        """Say in the state database which destinations are down."""
        await report(self._services.breakers, self._store.destinations, str(this_process()), ending)

    async def _serve(self, partition: Partition, layout: Layout, stop: Stop) -> None:
        """Wait for a partition and run its work, again and again while it is given up, until `stop`."""
        if partition.count > 1:
            labelled(partition=str(partition))

        starting = Starting(self._settings, self._client, self._store, self._deployment)

        def asked() -> Awaitable[Checkpoint]:
            return starting.place(partition, self._rules.rules)

        while not stop.requested.is_set():
            async with owned(self._store, asked, self._settings.lease, stop.requested) as stream:
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
                    self._works.discard(work)
            if not stop.requested.is_set():
                log.info("given up: another process has fewer partitions")
                await pause(self._settings.lease, stop.requested)

    async def _begin(self, partition: Partition, layout: Layout, stream: Owned) -> PartitionWork:
        """The work of a partition that is ours, with the rules of this moment and what is owed loaded."""
        settings = self._settings
        if layout.changes:
            adopted = await stream.store.layouts.adopt(partition)
            if adopted:
                log.info("owed or dead before the stream was divided so: %d of its deliveries", adopted)
        policies = Policies(settings.state_db, settings.on_history_lost, settings.on_invalid_token)
        breakers = self._services.breakers
        work = PartitionWork(self._client, partition, stream, policies, settings.drain, breakers)
        async with self._changing:
            if self._files.changed():
                await self._take_over_rules()
            await work.start(self._in_force)
            self._works.add(work)
        return work

    # -- rules -------------------------------------------------------------------------------------------

    def _prepared(self, rules: RuleSet) -> InForce:
        if not (self._settings.dry_run or self._store.effects.together):
            for finding in preflight.carried_out_apart(rules.rules):
                log.warning("%s", finding)
        plan = pushdown.plan(rules.rules, self._settings.state_db, self._deployment.large_events)
        return InForce(Matcher(rules.rules), plan, self._runners(rules), _summary(rules))

    def _runners(self, rules: RuleSet) -> dict[LineKey, Runner]:
        self._services.templates = rules.templates
        runners = {}
        for rule in with_endings(rules.rules):
            if rule.enabled:
                for entry in rule.actions:
                    action = actions.kind(entry.kind).open(entry.config, self._services)
                    if self._settings.dry_run:
                        action = Rehearsal(action, self._show)
                    learn = learning(self._client, rule)
                    runners[LineKey(rule.name, entry.name)] = Runner(rule, action, entry.concurrency, learn)
        return runners

    async def _reload(self, ending: asyncio.Event) -> None:
        """Take over changed rules; for ever."""
        async for _ in self._files.changes(ending):
            async with self._changing:
                await self._take_over_rules()

    async def _take_over_rules(self) -> None:
        """Read the rules again and use them in all partitions, all of them at once or none."""
        try:
            changed = await in_thread(partial(_load, self._settings))
            await _consider(changed, self._settings, self._client)
            in_force = self._prepared(changed)
        except (RulesError, SettingsError) as error:
            _refuse(error)
            return
        self._rules, self._in_force = changed, in_force
        for work in self._works:
            await work.use(in_force)
        log.info("rules reloaded: watching %s with %s", *in_force.words)


def _summary(rules: RuleSet) -> tuple[str, str]:
    enabled = [rule for rule in rules.rules if rule.enabled]
    patterns = sorted({pattern for rule in enabled for pattern in rule.collections.patterns})
    shown = ", ".join(patterns[:5]) + (f" and {len(patterns) - 5} more" if len(patterns) > 5 else "")
    return shown or "nothing", f"{len(enabled)} rule{'s' if len(enabled) != 1 else ''}"
