"""A replica set of three members on this machine: primaries to kill and to send away."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, ConnectionFailure, OperationFailure

from mtrigger.embedded import find_mongod
from support.mongo_servers import TEST_ARGUMENTS, free_port
from support.polling import eventually_sync

SET = "three"
ELECTION_MS = 2_000
"""How long the others wait for a silent primary before they elect another one."""

NODE_NOT_FOUND = 74
"""What one member answers while another one does not listen yet."""


class Member:
    """One `mongod` of the set, on a port and folder that outlast its process."""

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        data.mkdir(parents=True)

    def start(self) -> None:
        """Start it (again)."""
        options = {
            "--dbpath": str(self._data),
            "--port": str(self.port),
            "--bind_ip": "127.0.0.1",
            "--replSet": SET,
            "--wiredTigerCacheSizeGB": "0.25",
            "--oplogSize": "256",
            "--logpath": str(self._data / "log"),
        }
        parts = [part for option in options.items() for part in option]
        self._process = subprocess.Popen(
            [str(find_mongod()), *parts, "--nounixsocket", *TEST_ARGUMENTS],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def office(self) -> str:
        """What it says it is: "primary", "secondary", or "" while it is neither or does not answer."""
        with self.client() as client:
            try:
                hello = client.admin.command("hello")
            except ConnectionFailure:
                return ""  # dead, or not yet there
        return "primary" if hello["isWritablePrimary"] else "secondary" if hello["secondary"] else ""

    def client(self) -> MongoClient[dict[str, Any]]:
        """A client of this member alone."""
        return MongoClient(
            self.host, directConnection=True, serverSelectionTimeoutMS=1000, socketTimeoutMS=5000
        )


class ThreeMembers:
    """The set, started and with a primary. Close it when done: everything is killed and deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.members = [Member(folder / f"member-{number}") for number in range(3)]
        try:
            for member in self.members:
                member.start()
            self._initiate()
        except BaseException:
            self.close()
            raise

    @property
    def uri(self) -> str:
        """The address of all three."""
        return f"mongodb://{','.join(member.host for member in self.members)}/?replicaSet={SET}"

    def primary(self) -> Member:
        """The member that takes writes, waited for."""
        found = eventually_sync(self._primary, patience=60)
        assert found is not None
        return found

    def step_down(self) -> None:
        """Make the primary give up its office to another member."""
        before = self.primary()
        with before.client() as client:
            try:
                client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=4, force=True)
            except AutoReconnect:
                pass  # it may close connections when it steps down
            except OperationFailure as error:
                if error.code not in (10107, 11602):  # it had just stepped down by itself
                    raise

    def close(self) -> None:
        """Kill every member and delete its data."""
        for member in self.members:
            member.kill()
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _initiate(self) -> None:
        config = {
            "_id": SET,
            "members": [{"_id": number, "host": member.host} for number, member in enumerate(self.members)],
            "settings": {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": 500},
        }
        deadline = time.monotonic() + 60
        while True:
            with self.members[0].client() as client:
                try:
                    client.admin.command("replSetInitiate", config)
                except (ConnectionFailure, OperationFailure) as error:
                    if isinstance(error, OperationFailure) and error.code != NODE_NOT_FOUND:
                        raise
                    assert time.monotonic() < deadline, "the members do not answer"
                    time.sleep(0.1)
                else:
                    break
        self.primary()

    def _primary(self) -> Member | None:
        return next((member for member in self.members if member.office() == "primary"), None)
