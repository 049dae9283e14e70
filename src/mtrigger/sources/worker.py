"""All sources of one process: each with its lease, so that of many processes one reads it.

Promises: a source begins where the last process that read it has stopped; losing a source to another process
ends only the work on that source; files that change are taken over, the sources in them one by one, and files
with mistakes leave the ones before in force.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from mtrigger.errors import OwnershipError, PositionError, RulesError, SettingsError, SourceError
from mtrigger.loading.source_files import load_sources
from mtrigger.logs import labelled
from mtrigger.ownership.processes import shown
from mtrigger.ownership.standby import Owned, is_kept, owned
from mtrigger.reloading import RuleFiles
from mtrigger.sources.definition import Source
from mtrigger.sources.landing import CollectionLanding, Landing, TopicLanding
from mtrigger.sources.pages import Tables
from mtrigger.sources.places import SourcePlace, checkpoint_of, plan_of, stream_of
from mtrigger.sources.progress import Progress
from mtrigger.sources.rejected_rows import Letters
from mtrigger.sources.rejections import Rejections
from mtrigger.sources.source_loop import SourceLoop
from mtrigger.sources.source_rows import SourceRows
from mtrigger.stores.base import Checkpoint, Store
from mtrigger.stores.steadiness import StateOutage
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.supervision.supervising import first_error, part, pause
from mtrigger.supervision.threads import in_thread
from mtrigger.topics.log import TopicLog
from mtrigger.topics.mongo_log import MongoLog

log = logging.getLogger(__name__)

Client = AsyncMongoClient[dict[str, Any]]
Work = Callable[[SourceLoop], Awaitable[None]]

SETTLING = 1.0
"""Seconds before a source that was lost to another process is asked for again."""


@dataclass(frozen=True, slots=True)
class Databases:
    """Where rows go (`watched`), and where topics and positions are: the database `state_db` of `home`, which
    `store` keeps."""

    watched: Client
    home: Client
    state_db: str
    store: Store


@dataclass(frozen=True, slots=True)
class _Begun:
    source: Source
    stop: asyncio.Event
    task: asyncio.Task[None]


class SourceWorker:
    """Reads sources, with leases of `lease` seconds."""

    def __init__(self, databases: Databases, lease: float, letters: Letters, progress: Progress) -> None:
        self._databases = databases
        self._lease = lease
        self._letters = letters
        self._progress = progress
        self._begun: dict[str, _Begun] = {}

    async def run(
        self, folder: Path, environ: Mapping[str, str], names: Sequence[str], stop: asyncio.Event
    ) -> None:
        """Read the sources in `folder` (those with these `names`; all of them when there are none) until
        `stop`. Raises RulesError or SettingsError when they cannot be loaded, PartError when one dies."""
        files = RuleFiles(folder, folder)
        sources = await in_thread(partial(chosen, folder, environ, names))
        try:
            async with asyncio.TaskGroup() as parts:
                await self._use(sources, parts)
                async for _ in files.changes(stop):
                    try:
                        sources = await in_thread(partial(chosen, folder, environ, names))
                    except (RulesError, SettingsError) as error:
                        _refuse(error)
                    else:
                        await self._use(sources, parts)
                        log.info("sources reloaded: %d", len(sources))
                for begun in self._begun.values():
                    begun.stop.set()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def run_once(self, sources: Sequence[Source], stop: asyncio.Event) -> bool:
        """Read what is there now. Returns whether all of it is stored. Raises OwnershipError when another
        process reads one of them."""
        try:
            async with asyncio.TaskGroup() as parts:
                reading = [parts.create_task(self._serve_once(source, stop)) for source in sources]
        except BaseExceptionGroup as group:
            raise first_error(group) from group
        return all(task.result() for task in reading)

    async def _use(self, sources: Sequence[Source], parts: asyncio.TaskGroup) -> None:
        """Let these sources run, and no others."""
        wanted = {source.name: source for source in sources if source.enabled}
        changed = [begun for begun in self._begun.values() if wanted.get(begun.source.name) != begun.source]
        for begun in changed:
            begun.stop.set()
        if changed:
            await asyncio.wait({begun.task for begun in changed})
        for begun in changed:
            del self._begun[begun.source.name]
        for name, source in wanted.items():
            if name not in self._begun:
                stop = asyncio.Event()
                work = part(f"source {name}", self._serve(source, stop))
                self._begun[name] = _Begun(source, stop, parts.create_task(work))

    async def _serve(self, source: Source, stop: asyncio.Event) -> None:
        """Read `source` whenever it is this process's own, until `stop`."""
        labelled(source=source.name)
        while not stop.is_set():
            heed_cancellation()
            try:
                async with owned(self._databases.store, self._place(source), self._lease, stop) as stream:
                    if stream is not None:
                        log.info("reading %s", words_of(source))
                        await self._loop(source, stream).run(stop)
            except (OwnershipError, PositionError) as error:
                log.warning("the source is not this process's own any more; standing by: %s", error)
                await pause(SETTLING, stop)

    async def _serve_once(self, source: Source, stop: asyncio.Event) -> bool:
        labelled(source=source.name)
        store, stream_name = self._databases.store, stream_of(source.name)
        if await is_kept(store.leases, stream_name):
            lease = await store.leases.current(stream_name)
            owner = shown(lease.owner) if lease is not None else "another process"
            raise OwnershipError(f"the source {source.name} is read by {owner} at this moment")
        async with owned(store, self._place(source), self._lease, stop) as stream:
            if stream is None:
                return False
            try:
                return await self._loop(source, stream).run_once(stop)
            except SourceError as error:
                log.error("%s", error)
                return False

    def _loop(self, source: Source, stream: Owned) -> SourceLoop:
        databases = self._databases
        remembered = SourceRows(databases.home[databases.state_db], source.name, StateOutage(None))
        rejections = Rejections(source.name, stream.store, self._letters)
        return SourceLoop(
            source, stream, connect, self._landing(source), remembered, rejections, self._progress
        )

    def _landing(self, source: Source) -> Landing:
        if source.destination.collection:
            return CollectionLanding(self._databases.watched, source.destination)
        return TopicLanding(self._open_topic, source.name, source.destination)

    async def _open_topic(self, name: str) -> TopicLog:
        state = self._databases.home[self._databases.state_db]
        topic = MongoLog(state, name, StateOutage(None))
        await topic.open()
        return topic

    def _place(self, source: Source) -> Callable[[], Awaitable[Checkpoint]]:
        """The stored position, which is written first if there is none."""
        store = self._databases.store

        async def place() -> Checkpoint:
            found = await store.checkpoint(stream_of(source.name))
            if found is not None:
                return found
            plan, now = plan_of(source.query), datetime.now(UTC)
            return await store.begin(checkpoint_of(source.name, plan, SourcePlace(), now))

        return place


def chosen(folder: Path, environ: Mapping[str, str], names: Sequence[str]) -> tuple[Source, ...]:
    """The sources in `folder`; those with these names where there are any. Raises RulesError,
    SettingsError."""
    from mtrigger.config_types import closest

    found = {source.name: source for source in load_sources(folder, environ).sources}
    for name in names:
        if name not in found:
            near = closest(name, found)
            hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(found))}"
            raise SettingsError(f"there is no source {name!r} in {folder}; {hint}")
    return tuple(found[name] for name in names or found)


def connect(source: Source) -> Tables:
    """The database of `source`. Raises SourceError or ConnectionLostError."""
    from mtrigger.sources.sql_tables import open_tables

    try:
        return open_tables(source)
    except SettingsError as error:  # this source's trouble, and no other's
        raise SourceError(str(error)) from error


def words_of(source: Source) -> str:
    """A source in a few words: what goes where."""
    query, into = source.query, source.destination
    what = ", ".join(query.tables) or "a query"
    where = into.collection or f"the topic {into.topic}"
    return f"{what} ({query.mode}) into {where}"


def _refuse(error: RulesError | SettingsError) -> None:
    for line in str(error).splitlines():
        log.error("%s", line)
    log.error("the sources were not reloaded: the ones before stay in force until this is mended")
