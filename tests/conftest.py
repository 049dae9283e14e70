"""Fixtures for every test: real servers, one database a test, nothing left behind.

`start_mongod.standalone()` and friends make servers with arguments of their own; `mongod` is shared by all
tests of a worker and must not be reconfigured.
"""

import gc
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.embedded import EmbeddedServer
from support.certificates import Authority
from support.command import MtriggerCommand
from support.http_sink import HttpSink
from support.mongo_servers import MongoServers, free_port, mongod_or_skip
from support.smtp_sink import Encryption, SmtpSink

Document = dict[str, Any]

MONGOD = frozenset({"mongod", "roomy_mongod", "start_mongod", "nowhere"})
"""The fixtures without which no test is a client of MongoDB."""

LEFT_BY_THE_DRIVER = "ignore:unclosed (<socket|transport):ResourceWarning"
"""A client that is closed cancels its monitors, and one that was making a connection just then leaves the
socket open (PyMongo 4.20 closes it only after an OSError)."""


@pytest.fixture(scope="session")
def mongod() -> Iterator[EmbeddedServer]:
    """A one-member replica set, one for each pytest worker. `mongod.uri` is its address."""
    mongod_or_skip()
    servers = MongoServers(Path(tempfile.mkdtemp(prefix="mtrigger-mongod-")))
    try:
        yield servers.replica_set()
    finally:
        servers.stop_all()


@pytest.fixture(scope="session")
def roomy_mongod() -> Iterator[EmbeddedServer]:
    """The same with a cache of 1 GB: with the small one of an embedded server, a few documents of 9 MB make
    it wait for its next checkpoint, a minute later."""
    mongod_or_skip()
    servers = MongoServers(Path(tempfile.mkdtemp(prefix="mtrigger-mongod-")))
    try:
        server = servers.replica_set()
        with MongoClient[Document](server.uri) as client:
            client.admin.command({"setParameter": 1, "wiredTigerEngineRuntimeConfig": "cache_size=1GB"})
        yield server
    finally:
        servers.stop_all()


@pytest.fixture
def start_mongod() -> Iterator[MongoServers]:
    """Starts servers of the test's own: `.replica_set(*arguments)`, `.standalone()`, `.with_users()`."""
    mongod_or_skip()
    servers = MongoServers(Path(tempfile.mkdtemp(prefix="mtrigger-mongod-")))
    try:
        yield servers
    finally:
        servers.stop_all()


@pytest.fixture
def nowhere() -> str:
    """The address of a deployment that does not answer, for clients that soon give up."""
    return f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=50"


@pytest.fixture
async def client(mongod: EmbeddedServer) -> AsyncIterator[AsyncMongoClient[Document]]:
    """A client of `mongod` on the test's own event loop."""
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongod.uri, tz_aware=True)
    async with client:
        yield client


@pytest.fixture
async def database(client: AsyncMongoClient[Document]) -> AsyncIterator[AsyncDatabase[Document]]:
    """An empty database with a name of its own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield client[name]
    await client.drop_database(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority; `authority.file` is what a client has to trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """A mail server without TLS or login: `smtp_sink.url` is its address, `smtp_sink.mails` what it got."""
    with closing(SmtpSink()) as sink:
        yield sink


@pytest.fixture
def start_smtp_sink(authority: Authority) -> Iterator[Callable[..., SmtpSink]]:
    """Starts mail servers with TLS and logins: `start_smtp_sink("starttls", users={"name": "password"})`."""
    with ExitStack() as stack:

        def start(
            encryption: Encryption = "starttls",
            users: Mapping[str, str] | None = None,
            certificate_name: str = "localhost",
        ) -> SmtpSink:
            sink = SmtpSink(encryption, authority, users, certificate_name=certificate_name)
            return stack.enter_context(closing(sink))

        yield start


@pytest.fixture
def http_sink() -> Iterator[HttpSink]:
    """A web server. `http_sink.url` is its address, `http_sink.requests` what it received."""
    with closing(HttpSink()) as sink:
        yield sink


@pytest.fixture
def mtrigger_command(tmp_path: Path) -> Iterator[MtriggerCommand]:
    """The installed command, run in `tmp_path`: `.run("check", "--rules", folder)`, `.start("watch", …)`."""
    command = MtriggerCommand(tmp_path)
    try:
        yield command
    finally:
        command.end_all()


def pytest_configure() -> None:
    """What tests start heeds Ctrl-C, also where a shell runs the tests in its background: it lets everything
    there ignore that signal, and processes inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _has_mongod(item: pytest.Item | None) -> bool:
    return item is not None and not MONGOD.isdisjoint(getattr(item, "fixturenames", ()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that may be clients of MongoDB bear with what the driver leaves behind."""
    for item in items:
        if _has_mongod(item):
            item.add_marker(pytest.mark.filterwarnings(LEFT_BY_THE_DRIVER))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """The last of them in a row collects it, so that no test after it is blamed."""
    result = yield
    if _has_mongod(item) and not _has_mongod(nextitem):
        gc.collect()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed tells what the commands it ran have written."""
    report = yield
    command = getattr(item, "funcargs", {}).get("mtrigger_command")
    if report.failed and isinstance(command, MtriggerCommand):
        report.sections.append(("mtrigger", command.report()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded as their `summary`: counts that somebody wants to see."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                if name == "summary" and report.when == "call":
                    terminalreporter.write_line(str(value))
