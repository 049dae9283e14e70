"""`mtrigger source run`: the worker for sources in a process of its own, with log lines or a progress bar."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from pymongo.errors import PyMongoError

from mtrigger.cli.addresses import Addresses
from mtrigger.cli.source_progress import ProgressBars
from mtrigger.deployment.connecting import connect, reason
from mtrigger.errors import DeploymentError
from mtrigger.redaction import redact_uri
from mtrigger.sources.progress import LogLines
from mtrigger.sources.rejected_rows import nobody
from mtrigger.sources.worker import Databases, SourceWorker, chosen
from mtrigger.stores.mongo import MongoStore
from mtrigger.supervision.interpreter import collecting_seldom


async def run_sources(
    where: Addresses,
    folder: Path,
    names: Sequence[str],
    environ: Mapping[str, str],
    *,
    lease: float,
    once: bool,
    bar: bool,
) -> bool:
    """Read sources until a signal, or once. Returns whether all went well."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sources = chosen(folder, environ, names)  # what is wrong with them is said before anything is connected
    async with databases(where) as found:
        with ProgressBars() if bar else nullcontext(LogLines()) as progress, collecting_seldom():
            worker = SourceWorker(found, lease, nobody, progress)
            if once:
                return await worker.run_once([source for source in sources if source.enabled], stop)
            await worker.run(folder, environ, names, stop)
            return True


@asynccontextmanager
async def databases(where: Addresses) -> AsyncIterator[Databases]:
    """The databases at these addresses. Raises DeploymentError when they cannot be used."""
    async with connect(where.state_uri) as home:
        store = MongoStore(home, where.state_db)
        try:
            await store.open()
        except PyMongoError as error:
            raise DeploymentError(
                f"The state database {where.state_db!r} at {redact_uri(where.state_uri)} cannot be used: "
                f"{reason(error)}. Check that it runs, and the user, the password and their roles."
            ) from error
        if where.uri in ("", where.state_uri):
            yield Databases(home, home, where.state_db, store)
            return
        async with connect(where.uri) as watched:
            yield Databases(watched, home, where.state_db, store)
