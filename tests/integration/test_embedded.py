"""The embedded server keeps data, comes back after every kind of crash, and never outlives its owner."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mtrigger.embedded import EmbeddedServer, default_data_folder, find_mongod
from mtrigger.embedded.data_folder import running_port
from mtrigger.errors import DeploymentError
from support.mongo_servers import free_port, mongod_or_skip
from support.polling import eventually_sync

OWNER = """
import sys, time
from pathlib import Path
from mtrigger.embedded import EmbeddedServer
server = EmbeddedServer.start(Path(sys.argv[1]))
print(server.port, flush=True)
time.sleep(600)
"""
"""A program that starts a server and is killed."""


@pytest.fixture(autouse=True)
def _mongod_exists(request: pytest.FixtureRequest) -> None:
    if "without_mongod" not in request.fixturenames:
        mongod_or_skip()


@pytest.fixture
def without_mongod(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither on the PATH nor as a package."""
    with monkeypatch.context() as context:
        context.setenv("PATH", "")
        context.setattr(sys, "path", [])
        yield


def open_client(server: EmbeddedServer) -> MongoClient[dict[str, Any]]:
    return MongoClient(server.uri, serverSelectionTimeoutMS=10_000)


def remember(server: EmbeddedServer) -> None:
    with open_client(server) as client:
        client.shop.orders.insert_one({"_id": "kept"})


def remembers(server: EmbeddedServer) -> bool:
    with open_client(server) as client:
        return client.shop.orders.find_one({"_id": "kept"}) is not None


def server_process(data: Path) -> int:
    """The process id of mongod, which it writes into its lock file."""
    return int((data / "mongod.lock").read_text())


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_is_a_replica_set_with_change_streams_and_transactions(tmp_path: Path) -> None:
    """What the engine needs works at once after `start`."""
    with EmbeddedServer.start(tmp_path) as server, open_client(server) as client:
        client.shop.create_collection("orders")
        with client.shop.watch() as stream, client.start_session() as session:
            with session.start_transaction():
                client.shop.orders.insert_one({"_id": 1}, session=session)
            assert stream.next()["documentKey"] == {"_id": 1}
    assert server.exit_code == 0


def test_data_and_port_are_kept_over_a_restart(tmp_path: Path) -> None:
    """The same folder gives the same documents at the same address."""
    with EmbeddedServer.start(tmp_path) as first:
        remember(first)
    with EmbeddedServer.start(tmp_path) as second:
        assert second.uri == first.uri
        assert remembers(second)


def test_a_restart_on_another_port_keeps_the_data(tmp_path: Path) -> None:
    """The replica set's only member finds itself at its new address."""
    with EmbeddedServer.start(tmp_path) as first:
        remember(first)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", first.port))
        with EmbeddedServer.start(tmp_path) as second:
            assert second.port != first.port
            assert remembers(second)
    with EmbeddedServer.start(tmp_path, port=free_port()) as third:
        assert remembers(third)


def test_killing_the_owner_takes_the_server_along(tmp_path: Path) -> None:
    """After kill -9 of the process that started it, the server stops cleanly, and its folder is free."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        assert listens(port)
        owner.kill()
    eventually_sync(lambda: not listens(port))
    eventually_sync(lambda: '"Shutting down","attr":{"exitCode":0}' in (tmp_path / "mongod.log").read_text())
    EmbeddedServer.start(tmp_path).stop()


def test_a_folder_is_taken_over_at_once_from_a_killed_owner(tmp_path: Path) -> None:
    """A start right after the kill waits for the old server to end instead of giving up."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        owner.kill()
    with EmbeddedServer.start(tmp_path) as server:
        assert server.exit_code is None


def test_a_lock_left_by_a_killed_server_is_no_obstacle(tmp_path: Path) -> None:
    """After kill -9 of the server itself, journal and data are there."""
    with EmbeddedServer.start(tmp_path) as first:
        remember(first)
        os.kill(server_process(tmp_path), signal.SIGKILL)
        eventually_sync(lambda: first.exit_code is not None)
    assert server_process(tmp_path), "the lock is still there"
    eventually_sync(lambda: running_port(tmp_path) is None)  # the shell around the server ends after it
    with EmbeddedServer.start(tmp_path) as second:
        assert remembers(second)


def test_a_server_that_lost_its_supervisor_is_ended_by_stop(tmp_path: Path) -> None:
    """Even when somebody kills the shell between us and the server."""
    server = EmbeddedServer.start(tmp_path)
    process = server_process(tmp_path)
    os.kill(int(Path(f"/proc/{process}/stat").read_text().split()[3]), signal.SIGKILL)
    server.stop()
    eventually_sync(lambda: not listens(server.port))


def test_a_second_start_on_a_folder_is_refused(tmp_path: Path) -> None:
    """The sentence names the folder and the process that uses it; the first server goes on."""
    with EmbeddedServer.start(tmp_path) as server:
        with pytest.raises(
            DeploymentError, match=f"{tmp_path} is in use by process {os.getpid()}: end that one"
        ):
            EmbeddedServer.start(tmp_path)
        assert server.exit_code is None
        remember(server)


def test_a_folder_used_by_a_foreign_mongod_is_refused(tmp_path: Path) -> None:
    """A mongod that somebody started by hand holds no claim of ours, but its own lock."""
    arguments = ("--dbpath", tmp_path, "--port", str(free_port()), "--bind_ip", "127.0.0.1", "--nounixsocket")
    foreign = subprocess.Popen([find_mongod(), *arguments], stdout=subprocess.DEVNULL)
    try:
        lock = tmp_path / "mongod.lock"
        eventually_sync(lambda: lock.exists() and lock.read_text().strip())
        with pytest.raises(DeploymentError, match="is in use by another mongod: stop it"):
            EmbeddedServer.start(tmp_path)
    finally:
        foreign.terminate()
        foreign.wait(60)


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """Nobody is connected to whatever listens there."""
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(DeploymentError, match=f"port {port} on 127.0.0.1 is in use"):
            EmbeddedServer.start(tmp_path, port=port)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DeploymentError, match="cannot be used: Not a directory"):
        EmbeddedServer.start(tmp_path / "file" / "data")


def test_it_is_not_in_our_session(tmp_path: Path) -> None:
    """So that Ctrl-C in the terminal reaches us alone."""
    with EmbeddedServer.start(tmp_path):
        assert os.getsid(server_process(tmp_path)) != os.getsid(0)


def test_arguments_replace_defaults(tmp_path: Path) -> None:
    """mongod itself refuses options given twice."""
    with (
        EmbeddedServer.start(tmp_path, arguments=("--oplogSize", "990")) as server,
        open_client(server) as client,
    ):
        assert client.local.command("collStats", "oplog.rs")["maxSize"] == 990 * 1024 * 1024


def test_the_mongod_on_the_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own installation comes before the packaged one."""
    program = a_program(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == program


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open'; exit 127",
            "libcurl.so.4, which this machine does not have: run `apt-get install libcurl4`",
        ),
        (
            "echo 'mongod: error while loading shared libraries: libodd.so.1: cannot open'; exit 127",
            "libodd.so.1, which this machine does not have: install the package that has it",
        ),
        ("kill -ILL $$", "lacks instructions that mongod needs"),
        ("echo 'no idea'; exit 3", "ended at its start with code 3: see .*mongod.log. It said last: no idea"),
    ],
)
def test_a_mongod_that_cannot_run_is_explained(
    script: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong and what to do, in one sentence."""
    a_program(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match=sentence):
        EmbeddedServer.start(tmp_path / "data")


@pytest.mark.usefixtures("without_mongod")
def test_without_a_mongod_the_ways_out_are_named() -> None:
    """The extra, an installation, or a deployment elsewhere."""
    with pytest.raises(DeploymentError, match=r"pip install 'mtrigger\[embedded\]'.*install MongoDB.*--uri"):
        find_mongod()


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, Path.home() / ".local/share/mtrigger/mongodb"),
        ({"XDG_DATA_HOME": "/data"}, Path("/data/mtrigger/mongodb")),
        ({"XDG_DATA_HOME": "relative"}, Path.home() / ".local/share/mtrigger/mongodb"),
        ({"XDG_DATA_HOME": ""}, Path.home() / ".local/share/mtrigger/mongodb"),
    ],
)
def test_data_lies_where_the_desktop_standard_says(environ: dict[str, str], folder: Path) -> None:
    """A relative path in XDG_DATA_HOME is to be ignored, says the standard."""
    assert default_data_folder(environ) == folder


def a_program(folder: Path, script: str) -> Path:
    """A `mongod` that does what `script` says."""
    program = folder / "mongod"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program
