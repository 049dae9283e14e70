"""One source at work: looks for new rows again and again, stores them, and then where it stands.

Promises: the place behind a page is written after the page is durable, once a second at most while there is
more; a database that is away is waited for; what is wrong with one table is said once and keeps no other one
waiting; a stop costs no more than the page that is being stored, which is read again.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mtrigger.errors import ConnectionLostError, SourceError
from mtrigger.ownership.lease import Interrupted
from mtrigger.ownership.standby import Owned
from mtrigger.sources.definition import Source
from mtrigger.sources.landing import Landing
from mtrigger.sources.pages import Page, RejectedRow, Row, Tables
from mtrigger.sources.places import SourcePlace, TablePlace, checkpoint_of, place_in, plan_of
from mtrigger.sources.progress import Progress, Step
from mtrigger.sources.reading_thread import ReadingThread
from mtrigger.sources.rejected_rows import RowAddress
from mtrigger.sources.rejections import Rejections
from mtrigger.sources.source_rows import Pass, SourceRows
from mtrigger.supervision.outages import Outage, heed_cancellation
from mtrigger.supervision.steady_time import clock
from mtrigger.supervision.supervising import pause

log = logging.getLogger(__name__)

WRITTEN_EVERY = 1.0
"""Seconds between two writes of the place, while there is more to read."""

LOOKED_EVERY = 2.0
"""Seconds between two looks for rejected rows that somebody wants tried again."""

LONGEST_PAUSE = 60.0
"""Seconds between two tries to reach a database that is away, at most."""

PATIENCE = 30.0
"""Seconds for which a source that is read once waits for a database that is away."""

Connect = Callable[[Source], Tables]


class SourceLoop:
    """The work of one source that is this process's own."""

    def __init__(
        self,
        source: Source,
        stream: Owned,
        connect: Connect,
        landing: Landing,
        remembered: SourceRows,
        rejections: Rejections,
        progress: Progress,
    ) -> None:
        self._source = source
        self._stream = stream
        self._connect = connect
        self._landing = landing
        self._remembered = remembered
        self._rejections = rejections
        self._progress = progress
        self._plan = plan_of(source.query)
        self._place = self._written = place_in(stream.checkpoint)
        self._written_at = clock()
        self._thread = ReadingThread(source.name)
        self._tables: Tables | None = None
        self._outage = Outage(f"Reading the source {source.name}", LONGEST_PAUSE)
        self._all_well = True
        self._has_looked = False

    async def run(self, stop: asyncio.Event) -> None:
        """Look for new rows until `stop`. Raises OwnershipError once the source is another process's."""
        await self._until(stop, self._for_ever(stop))

    async def run_once(self, stop: asyncio.Event) -> bool:
        """Read what is there now, or until `stop`. Returns whether all of it is stored. Raises SourceError
        when the database cannot be reached for a while."""
        await self._until(stop, self._once(stop))
        return self._all_well and not stop.is_set()

    async def _until(self, stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
        working, owning = asyncio.ensure_future(work), asyncio.ensure_future(self._stream.lasts())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({working, owning, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, owning, stopping):
                task.cancel()
            await asyncio.wait({working, owning, stopping})
            tables = self._tables
            self._thread.close(tables.close if tables is not None else lambda: None)
        if not working.cancelled():
            working.result()
        if not owning.cancelled():
            owning.result()

    async def _for_ever(self, stop: asyncio.Event) -> None:
        await self._begin()
        try:
            while not stop.is_set():
                heed_cancellation()
                try:
                    await self._look(stop)
                    await self._rest(stop)
                except (ConnectionLostError, SourceError) as error:
                    await self._disconnect()
                    await self._outage.wait(error)
        finally:
            await self._write()

    async def _once(self, stop: asyncio.Event) -> None:
        await self._begin()
        lost_at = 0.0
        try:
            while not stop.is_set():
                heed_cancellation()
                try:
                    await self._look(stop)
                    return
                except ConnectionLostError as error:
                    lost_at = lost_at or clock()
                    if clock() - lost_at > PATIENCE:
                        raise SourceError(f"the database of {self._source.name} is away: {error}") from error
                    await self._disconnect()
                    await self._outage.wait(error)
        finally:
            await self._write()

    async def _begin(self) -> None:
        if self._stream.checkpoint.pipeline_hash not in ("", self._plan):
            log.warning("what it is read by has changed: reading from the beginning")
            self._place = SourcePlace(writes=self._place.writes)
        if self._source.query.mode == "snapshot":
            await self._remembered.open()

    async def _look(self, stop: asyncio.Event) -> None:
        """Read what is new in all tables."""
        tables = await self._connected()
        await self._rejections.reopened(self._again)
        if not self._has_looked:
            await self._rejections.left_open(self._again)
            self._has_looked = True
        for table in await self._thread.call(tables.names):
            if stop.is_set():
                return
            try:
                await self._read(tables, table, stop)
            except SourceError as error:
                self._wrong(table, str(error))
        self._outage.over()
        await self._write()

    async def _rest(self, stop: asyncio.Event) -> None:
        """Wait for the next look; meanwhile try again what somebody wants tried again."""
        until = clock() + self._source.query.poll
        while (left := until - clock()) > 0 and not stop.is_set():
            await pause(min(left, LOOKED_EVERY), stop)
            await self._rejections.reopened(self._again)

    # -- rows --------------------------------------------------------------------------------------------

    async def _read(self, tables: Tables, table: str, stop: asyncio.Event) -> None:
        snapshot = self._source.query.mode == "snapshot"
        before = self._place.of(table)
        of_pass = await self._remembered.begin(table) if snapshot else None
        rows = 0
        begin = partial(tables.pages, table, {} if snapshot else before.place)
        async with self._thread.ahead(begin) as found:
            async for pages in found:
                heed_cancellation()
                if stop.is_set():
                    return
                stored, rejected = await self._store(table, pages, of_pass)
                rows += stored
                at, last = self._place.of(table), pages[-1]
                self._place = self._place.having(table, at.behind(last, stored, rejected))
                first = before.passes == 0
                self._progress.told(Step(self._source.name, table, rows, last.expected, last.last, first))
                if clock() - self._written_at >= WRITTEN_EVERY:
                    await self._write()
        if before.error:
            log.warning("%s can be read again", table)

    async def _store(self, table: str, pages: Sequence[Page], of_pass: Pass | None) -> tuple[int, int]:
        """Make pages durable: how many of their rows were written, and how many could not be."""
        rows = [row for page in pages for row in page.rows]
        rejected = [row for page in pages for row in page.rejected]
        if of_pass is not None:
            rows = await of_pass.changed(rows, rejected)
        refused = await self._land(table, rows, of_pass)
        stored = len(rows) - len(refused)
        if of_pass is not None and pages[-1].last:
            async for gone in of_pass.gone():
                await self._land(table, gone, of_pass)
                stored += len(gone)
        new = await self._rejections.add(table, [*rejected, *refused])
        self._all_well = self._all_well and not new
        return stored, new

    async def _land(self, table: str, rows: Sequence[Row], of_pass: Pass | None) -> list[RejectedRow]:
        if not rows:
            return []
        everything = self._source.query.mode in ("bulk", "snapshot")
        run = str(self._place.of(table).passes) if everything else ""
        while True:
            heed_cancellation()
            try:
                async with self._stream.store.permit():
                    if of_pass is not None:
                        await of_pass.announce(rows)
                    refused = await self._landing.land(table, rows, run)
                    if of_pass is not None:
                        await of_pass.remember(rows, refused)
                    return refused
            except Interrupted:
                continue  # the next permit waits until the lease is certain, or says that it is lost

    async def _again(self, address: RowAddress) -> str | RejectedRow:
        """Read a rejected row once more, and store it."""
        tables = await self._connected()
        try:
            found = await self._thread.call(partial(tables.row, address.table, address.key))
            if found is None:
                return "the row is gone"
            if isinstance(found, Row):
                snapshot = self._source.query.mode == "snapshot"
                of_pass = await self._remembered.begin(address.table) if snapshot else None
                refused = await self._land(address.table, [found], of_pass)
                return refused[0] if refused else "stored"
        except SourceError as error:
            return RejectedRow(address.key, {}, str(error))
        return found

    # -- where it stands ---------------------------------------------------------------------------------

    def _wrong(self, table: str, error: str) -> None:
        """A table cannot be read: said once, until it can be or something else is wrong."""
        self._all_well = False
        at = self._place.of(table)
        if at.error != error:
            log.error("%s is left alone until this is mended: %s", table, error)
        wrong = TablePlace(at.place, at.passes, at.rows, at.rejected, error)
        self._place = self._place.having(table, wrong)

    async def _write(self) -> None:
        """Write down where it stands, unless that is written already."""
        self._written_at = clock()
        if self._place == self._written:
            return
        checkpoint = checkpoint_of(self._source.name, self._plan, self._place, datetime.now(UTC))
        await self._stream.store.advance(checkpoint)
        self._place = self._written = place_in(checkpoint)

    async def _connected(self) -> Tables:
        if self._tables is None:
            self._tables = await self._thread.call(partial(self._connect, self._source))
        return self._tables

    async def _disconnect(self) -> None:
        """Begin with new connections after a loss."""
        if self._tables is not None:
            tables, self._tables = self._tables, None
            await self._thread.call(tables.close)
