"""The whole: starts the parts in the right order, supervises them, reloads rules, drains, and stops.

Promises: nothing begins before the stream is this process's own; what is already owed is loaded before the
stream opens; the first position is durable before the first event is read; a part that dies ends the engine
with its error; a stop in good order loses and repeats nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger import actions, pushdown
from mtrigger.actions.base import Preview, Work
from mtrigger.actions.services import Services
from mtrigger.deployment import preflight
from mtrigger.deployment.connecting import examine
from mtrigger.deployment.databases import state_store, watched_client
from mtrigger.dispatcher import Dispatcher, Runner
from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading import RuleSet, default_templates, load
from mtrigger.matching import Matcher
from mtrigger.ownership.standby import Owned, owned
from mtrigger.position.recovering import Policies
from mtrigger.position.starting import STREAM, counted, place
from mtrigger.reading.large_events import LargeEvents
from mtrigger.reading.lookups import Documents
from mtrigger.reloading import RuleFiles
from mtrigger.running.dry_run import Rehearsal
from mtrigger.settings import Settings
from mtrigger.stores.base import LineKey
from mtrigger.supervision.stopping import Stop, bounded
from mtrigger.supervision.supervising import part, until
from mtrigger.supervision.threads import in_thread
from mtrigger.watcher import Watched, Watcher

log = logging.getLogger(__name__)

Show = Callable[[Work, Preview], None]


async def run(settings: Settings, stop: Stop, show: Show) -> None:
    """Watch with the rules in `settings.rules` until `stop`. `show` gets what a dry run would have done.

    Raises RulesError, SettingsError, DeploymentError or PositionError when it cannot start or go on, each
    with a sentence for the user; PartError when a part dies; CutShortError when stopping takes too long.
    """
    await bounded(_run(settings, stop, show), stop, settings.drain)


async def _run(settings: Settings, stop: Stop, show: Show) -> None:
    async with started(settings, stop, show) as engine:
        if engine is not None:
            async with counted(engine.stream.store, engine.stream.checkpoint):
                await engine.run(stop)


@asynccontextmanager
async def started(settings: Settings, stop: Stop, show: Show) -> AsyncIterator["Engine | None"]:
    """An engine that owns its stream and whose position is durable, so that no change from now on is missed
    once it runs. None when `stop` is requested while another process owns the stream.
    """
    files = RuleFiles(settings.rules, settings.templates or default_templates(settings.rules))
    rules = await in_thread(partial(_load, settings))
    async with watched_client(settings) as (client, uri):
        deployment = await examine(client, uri)
        await _consider(rules, settings, client)
        async with state_store(settings, client) as store:
            asked = partial(place, settings, client, store, deployment, rules.rules)
            async with owned(store, asked, settings.lease, stop.requested) as stream:
                if stream is None:
                    yield None
                    return
                rules = await _newest(rules, files, settings, client)
                services = Services(rules.templates, settings.smtp, settings.mail_from)
                try:
                    engine = Engine(settings, client, stream, services, show, files, deployment.large_events)
                    await engine.start(rules)
                    yield engine
                finally:
                    await services.close()


async def _newest(
    rules: RuleSet, files: RuleFiles, settings: Settings, client: AsyncMongoClient[dict[str, Any]]
) -> RuleSet:
    """The rules as they are now; the given ones where nothing has changed since, or not for the better."""
    if not files.changed():
        return rules
    try:
        changed = await in_thread(partial(_load, settings))
        await _consider(changed, settings, client)
    except (RulesError, SettingsError) as error:
        _refuse(error)
        return rules
    return changed


def _refuse(error: RulesError | SettingsError) -> None:
    for line in str(error).splitlines():
        log.error("%s", line)
    log.error("the rules were not reloaded: the ones before stay in force until this is mended")


def _load(settings: Settings) -> RuleSet:
    return load(settings.rules, settings.templates, settings.environ)


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
        stream: Owned,
        services: Services,
        show: Show,
        files: RuleFiles,
        large_events: LargeEvents,
    ) -> None:
        self._large_events = large_events
        self._settings = settings
        self._client = client
        self.stream = stream
        self._services = services
        self._show = show
        self._files = files
        self._dispatcher = Dispatcher(stream.store, STREAM, Documents(client).complete)

    async def start(self, rules: RuleSet) -> None:
        """Load what is owed, before anything is read."""
        checkpoint = self.stream.checkpoint
        await self._dispatcher.serve(self._runners(rules))
        await self._dispatcher.load()
        settings, offer = self._settings, self._dispatcher.offer
        policies = Policies(settings.state_db, settings.on_history_lost, settings.on_invalid_token)
        self._watcher = Watcher(
            self._client, self.stream.store, offer, checkpoint, self._watched(rules), policies
        )
        since = datetime.fromtimestamp(checkpoint.cluster_time.time, UTC).isoformat()
        log.info("watching %s with %s, from %s on", *_summary(rules), since)

    async def run(self, stop: Stop) -> None:
        """Run until `stop`, then stop in good order. Raises what a part died of."""
        try:
            async with asyncio.TaskGroup() as parts:
                dispatching = parts.create_task(self._dispatcher.run(), name="dispatcher")
                watching = parts.create_task(self._watcher.run(), name="watcher")
                reloading = parts.create_task(
                    part("reloading", self._reload(stop.requested)), name="reloading"
                )
                owning = parts.create_task(part("lease", self.stream.lasts()), name="lease")
                await until(stop.requested, (dispatching, watching, reloading, owning))
                log.info("stopping: what was read is stored, what runs may end (again to hurry)")
                reloading.cancel()
                self._watcher.stop()
                draining = parts.create_task(part("drain", self._drain(stop)), name="drain")
                await asyncio.wait({watching, draining})
                await dispatching
                owning.cancel()
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

    def _watched(self, rules: RuleSet) -> Watched:
        plan = pushdown.plan(rules.rules, self._settings.state_db, self._large_events)
        return Watched(Matcher(rules.rules), plan)

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

    async def _reload(self, ending: asyncio.Event) -> None:
        """Take over changed rules, all at once or not at all; for ever."""
        async for _ in self._files.changes(ending):
            try:
                changed = await in_thread(partial(_load, self._settings))
                await _consider(changed, self._settings, self._client)
                runners = self._runners(changed)
            except (RulesError, SettingsError) as error:
                _refuse(error)
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
