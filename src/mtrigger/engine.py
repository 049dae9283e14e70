"""The whole: starts the parts in the right order, supervises them, reloads rules, drains, and stops.

Promises: what is already owed is loaded before the stream opens; the first position is durable before the
first event is read; a part that dies ends the engine with its error; a stop in good order loses and repeats
nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger import actions, preflight, pushdown
from mtrigger.actions.base import Preview, Work
from mtrigger.actions.services import Services
from mtrigger.deployment import Deployment, connect, examine, same_cluster, starting_time
from mtrigger.dispatcher import Dispatcher, Runner
from mtrigger.dry_run import Rehearsal
from mtrigger.embedded import EmbeddedServer, default_data_folder
from mtrigger.errors import DeploymentError, PositionError, RulesError, SettingsError
from mtrigger.loading import RuleSet, default_templates, load
from mtrigger.matching import Matcher
from mtrigger.redaction import redact_uri
from mtrigger.reloading import RuleFiles
from mtrigger.settings import Settings, parse_start_from
from mtrigger.stores.base import Checkpoint, LineKey, Store
from mtrigger.stores.memory import MemoryStore
from mtrigger.stores.mongo import MongoStore
from mtrigger.watcher import Watched, Watcher

log = logging.getLogger(__name__)

STREAM = "main/0"
"""The only partition of the only stream."""

Show = Callable[[Work, Preview], None]


class Stop:
    """A request to stop: the first asks for good order, the second for haste."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()

    def request(self) -> None:
        """Ask (again). Fit for a signal handler of the loop."""
        if self.requested.is_set():
            self.hurried.set()
        self.requested.set()


async def run(settings: Settings, stop: Stop, show: Show) -> None:
    """Watch with the rules in `settings.rules` until `stop`. `show` gets what a dry run would have done.

    Raises RulesError, SettingsError, DeploymentError or PositionError when it cannot start or go on, each
    with a sentence for the user.
    """
    async with started(settings, show) as engine:
        await engine.run(stop)


@asynccontextmanager
async def started(settings: Settings, show: Show) -> AsyncIterator["Engine"]:
    """An engine whose position is durable, so that no change from now on is missed once it runs."""
    files = RuleFiles(settings.rules, settings.templates or default_templates(settings.rules))
    rules = await asyncio.to_thread(_load, settings)
    async with _client(settings) as (client, uri):
        deployment = await examine(client, uri)
        await _consider(rules, settings, client)
        async with _store(settings, client) as store:
            services = Services(rules.templates, settings.smtp, settings.mail_from)
            try:
                engine = Engine(settings, client, store, services, show, files)
                await engine.start(rules, deployment)
                yield engine
            finally:
                await services.close()


def _load(settings: Settings) -> RuleSet:
    return load(settings.rules, settings.templates, settings.environ)


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[tuple[AsyncMongoClient[dict[str, Any]], str]]:
    """A client of the deployment to watch; of an embedded server where none is named."""
    if settings.uri:
        async with connect(settings.uri) as client:
            yield client, settings.uri
        return
    data = default_data_folder(settings.environ)
    server = await asyncio.to_thread(EmbeddedServer.start, data)
    log.info("no --uri given: using an embedded MongoDB at %s, its data in %s", server.uri, data)
    try:
        async with connect(server.uri) as client:
            yield client, server.uri
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def _store(settings: Settings, client: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[Store]:
    """The state: in memory for a dry run, else in the watched deployment or where --state-uri says."""
    if settings.dry_run:
        yield MemoryStore()
        return
    async with connect(settings.state_uri) if settings.state_uri else _shared(client) as home:
        store = MongoStore(home, settings.state_db)
        try:
            await store.open()
        except PyMongoError as error:
            raise DeploymentError(
                f"The state database {settings.state_db!r} cannot be used (the role `readWrite` on it is "
                f"needed): {redact_uri(str(error))}"
            ) from error
        yield store


@asynccontextmanager
async def _shared(
    client: AsyncMongoClient[dict[str, Any]],
) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    yield client


async def _consider(rules: RuleSet, settings: Settings, client: AsyncMongoClient[dict[str, Any]]) -> None:
    """Say what is worth saying about the rules; raise SettingsError for what makes one of them useless."""
    found = await preflight.survey(client, rules.rules)
    mail_server = settings.smtp or (object() if settings.dry_run else None)
    grave = []
    for finding in preflight.findings(rules.rules, found, mail_server):
        if finding.grave:
            grave.append(str(finding))
        else:
            log.warning("%s", finding)
    if grave:
        raise SettingsError("\n".join(grave))


class Engine:
    """The parts, once everything they need is there."""

    def __init__(
        self,
        settings: Settings,
        client: AsyncMongoClient[dict[str, Any]],
        store: Store,
        services: Services,
        show: Show,
        files: RuleFiles,
    ) -> None:
        self._settings = settings
        self._client = client
        self._store = store
        self._services = services
        self._show = show
        self._files = files
        self._dispatcher = Dispatcher(store, STREAM)

    async def start(self, rules: RuleSet, deployment: Deployment) -> None:
        """Find the position, and load what is owed, before anything is read."""
        checkpoint = await self._first_checkpoint(deployment)
        await self._dispatcher.serve(self._runners(rules))
        await self._dispatcher.load()
        self._watcher = Watcher(
            self._client, self._store, self._dispatcher.offer, checkpoint, self._watched(rules)
        )
        since = datetime.fromtimestamp(checkpoint.cluster_time.time, UTC).isoformat()
        log.info("watching %s with %s, from %s on", *_summary(rules), since)

    async def run(self, stop: Stop) -> None:
        """Run until `stop`, then stop in good order. Raises what a part died of."""
        try:
            async with asyncio.TaskGroup() as parts:
                dispatching = parts.create_task(self._dispatcher.run())
                watching = parts.create_task(self._watcher.run())
                reloading = parts.create_task(self._reload())
                await stop.requested.wait()
                log.info("stopping: what was read is stored, what runs may end (again to hurry)")
                reloading.cancel()
                self._watcher.stop()
                await watching
                await self._drain(stop)
                await dispatching
        except BaseExceptionGroup as group:
            raise _first(group) from group
        log.info("stopped; the position is saved")

    async def _drain(self, stop: Stop) -> None:
        hurry = asyncio.create_task(stop.hurried.wait())
        draining = asyncio.create_task(self._dispatcher.drain(self._settings.drain))
        await asyncio.wait({hurry, draining}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not draining.done():
            draining.cancel()
            await self._dispatcher.drain(0)

    async def _first_checkpoint(self, deployment: Deployment) -> Checkpoint:
        """The stored position, or a first one, written before the stream opens: a crash before the first
        event must not start from a later "now"."""
        stored = await self._store.checkpoint(STREAM)
        if stored is None:
            start_from = parse_start_from(self._settings.start_from)
            start = await starting_time(self._client, start_from, deployment.now)
            first = Checkpoint(STREAM, None, start, deployment.cluster_id, "", datetime.now(UTC))
            return await self._store.begin(first)
        if not same_cluster(stored.cluster_id, deployment.cluster_id):
            raise PositionError(
                f"The stored position belongs to another deployment ({stored.cluster_id}) than this one "
                f"({deployment.cluster_id}). If --uri is right and everything is to begin from now, run "
                "`mtrigger checkpoint reset` and start again; else mend --uri or --state-uri."
            )
        return stored

    def _watched(self, rules: RuleSet) -> Watched:
        return Watched(Matcher(rules.rules), pushdown.plan(rules.rules, self._settings.state_db))

    def _runners(self, rules: RuleSet) -> dict[LineKey, Runner]:
        self._services.templates = rules.templates
        runners = {}
        for rule in rules.rules:
            if rule.enabled:
                for entry in rule.actions:
                    action = actions.kind(entry.kind).open(entry.config, self._services)
                    if self._settings.dry_run:
                        action = Rehearsal(action, self._show)
                    runners[LineKey(rule.name, entry.name)] = Runner(rule, action)
        return runners

    async def _reload(self) -> None:
        """Take over changed rules, all at once or not at all; for ever."""
        async for _ in self._files.changes():
            try:
                changed = await asyncio.to_thread(_load, self._settings)
                await _consider(changed, self._settings, self._client)
                runners = self._runners(changed)
            except (RulesError, SettingsError) as error:
                for line in str(error).splitlines():
                    log.error("%s", line)
                log.error("the rules were not reloaded: the ones before stay in force until this is mended")
            else:
                await self._dispatcher.serve(runners)
                self._watcher.use(self._watched(changed))
                log.info("rules reloaded: watching %s with %s", *_summary(changed))


def _summary(rules: RuleSet) -> tuple[str, str]:
    enabled = [rule for rule in rules.rules if rule.enabled]
    patterns = sorted({pattern for rule in enabled for pattern in rule.collections.patterns})
    shown = ", ".join(patterns[:5]) + (f" and {len(patterns) - 5} more" if len(patterns) > 5 else "")
    return shown or "nothing", f"{len(enabled)} rule{'s' if len(enabled) != 1 else ''}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups: the one the others followed from."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
