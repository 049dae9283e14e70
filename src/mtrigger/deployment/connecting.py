"""The MongoDB deployment that is watched: connecting to it, and finding out whether it can be watched.

Promise: whatever is wrong with it at the start is one sentence with the way out, never a driver's traceback.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

from mtrigger.errors import DeploymentError, SettingsError
from mtrigger.reading.large_events import LargeEvents
from mtrigger.redaction import brief, redact_uri
from mtrigger.settings import StartFrom

OLDEST_WIRE_VERSION = 17  # MongoDB 6.0: stored images, fast $match on change streams
SELECTION_MS = 10_000
SOCKET_MS = 30_000
"""Longer than any answer takes; a connection that is silent for longer is dead, not slow."""

_SYSTEM_DATABASES = frozenset({"admin", "config", "local"})

_DECODING: dict[str, Any] = {
    "tz_aware": True,
    "tzinfo": UTC,
    # A year above 9999 or bytes that are no UTF-8 would make a whole batch unreadable, for ever.
    "datetime_conversion": "DATETIME_AUTO",
    "unicode_decode_error_handler": "replace",
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was found: an id that tells this deployment from others, its time when it was asked, and whether
    it can split events that are too large."""

    cluster_id: str
    now: Timestamp
    large_events: LargeEvents = "whole"


def connect(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    """A client for `uri`; nothing is sent yet. Options in the URI win over ours.

    Raises SettingsError when the URI is malformed; the sentence shows it without its password.
    """
    options: dict[str, Any] = {
        "appname": "mtrigger",
        "serverSelectionTimeoutMS": SELECTION_MS,
        "socketTimeoutMS": SOCKET_MS,
    }
    named = {option.partition("=")[0].lower() for option in uri.partition("?")[2].split("&")}
    ours = {name: value for name, value in options.items() if name.lower() not in named}
    try:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, **_DECODING, **ours)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise SettingsError(f"{redact_uri(uri)} is no MongoDB URI: {redact_uri(str(error))}") from error
    return client


async def examine(client: AsyncMongoClient[dict[str, Any]], uri: str) -> Deployment:
    """Find out whether the deployment can be watched.

    Raises DeploymentError: not reachable, wrong password, no replica set, too old.
    """
    try:
        hello = await client.admin.command("hello")
        cluster_id = await _cluster_id(client, hello)
        splitting = await _large_events(client)
    except OperationFailure as error:
        raise DeploymentError(
            f"MongoDB at {redact_uri(uri)} refused us: {reason(error)}. Check the user, the password and "
            "`authSource` in the URI."
        ) from error
    except PyMongoError as error:
        raise DeploymentError(
            f"MongoDB at {redact_uri(uri)} cannot be reached: {reason(error)}. Check that it runs and "
            "that the host and port are right; without --uri, mtrigger starts a server of its own."
        ) from error
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise DeploymentError(
            f"MongoDB at {redact_uri(uri)} is not a replica set, and only a replica set has change streams. "
            "To make it one (of a single member): add `replication: {replSetName: rs0}` to mongod.conf, or "
            "`--replSet rs0` to the command, restart it, and run `rs.initiate()` once in mongosh."
        )
    if hello["maxWireVersion"] < OLDEST_WIRE_VERSION:
        raise DeploymentError(
            f"MongoDB at {redact_uri(uri)} is older than 6.0, the oldest release supported."
        )
    return Deployment(cluster_id, hello["operationTime"], splitting)


async def _large_events(client: AsyncMongoClient[dict[str, Any]]) -> LargeEvents:
    try:
        version = (await client.admin.command("buildInfo"))["versionArray"]
    except OperationFailure:
        return "whole"  # not allowed to know (a strict API version): nothing depends on it
    return large_events(tuple(version[:3]))


def large_events(version: tuple[int, ...]) -> LargeEvents:
    """What a server of this version can do with events that are too large: the stage is in 7.0, and was
    brought to 6.0 with 6.0.9."""
    return "split" if version >= (7, 0) or (6, 0, 9) <= version < (6, 1) else "whole"


async def _cluster_id(client: AsyncMongoClient[dict[str, Any]], hello: dict[str, Any]) -> str:
    """The replica set's own id where we may read it, else its name."""
    if hello.get("msg") == "isdbgrid":
        version = await client["config"]["version"].find_one()
        return f"sharded:{version['clusterId']}" if version else "sharded:unknown"
    try:
        config = await client.admin.command("replSetGetConfig")
    except OperationFailure as error:
        if error.code == 13:  # Unauthorized: the action replSetGetConfig is seldom granted
            return f"name:{hello.get('setName')}"
        if error.code == 76:  # NoReplicationEnabled
            return ""
        raise
    return f"set:{config['config']['settings']['replicaSetId']}"


async def same_deployment(
    client: AsyncMongoClient[dict[str, Any]], other: AsyncMongoClient[dict[str, Any]]
) -> bool:
    """Whether both are clients of one deployment for certain. Raises PyMongoError."""
    ids = [await _cluster_id(one, await one.admin.command("hello")) for one in (client, other)]
    return ids[0] == ids[1] and ids[0].startswith(("set:", "sharded:"))


def same_cluster(stored: str, found: str) -> bool:
    """Whether two cluster ids may be of one deployment. An id and a name cannot be compared, and pass."""
    return stored.partition(":")[0] != found.partition(":")[0] or stored == found


async def starting_time(
    client: AsyncMongoClient[dict[str, Any]], start_from: StartFrom, now: Timestamp
) -> Timestamp:
    """The cluster time at which a first start begins.

    Raises DeploymentError when it is the oldest one and the oplog may not be read.
    """
    if start_from in ("now", "rescan"):
        return now
    if isinstance(start_from, datetime):
        return Timestamp(int(start_from.timestamp()), 1)
    try:
        oldest = await _oldest(client)
    except OperationFailure as error:
        raise DeploymentError(
            f"The start of the oplog cannot be read ({reason(error)}): grant `read` on the database "
            "`local`, or start from a time instead of `oldest`."
        ) from error
    if oldest is None:
        raise DeploymentError("There is no oplog here: start from a time instead of `oldest`.")
    return oldest


async def oldest_time(client: AsyncMongoClient[dict[str, Any]]) -> Timestamp | None:
    """The cluster time of the first change the oplog holds; None where it cannot be known."""
    try:
        return await _oldest(client)
    except OperationFailure:
        return None  # a user without `read` on `local`, or a mongos


async def _oldest(client: AsyncMongoClient[dict[str, Any]]) -> Timestamp | None:
    entry = await client["local"]["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", 1)])
    return entry["ts"] if entry is not None else None


async def current_time(client: AsyncMongoClient[dict[str, Any]]) -> Timestamp:
    """The deployment's cluster time."""
    hello = await client.admin.command("hello")
    now: Timestamp = hello["operationTime"]
    return now


async def collections(
    client: AsyncMongoClient[dict[str, Any]], database_patterns: Iterable[str]
) -> dict[str, Mapping[str, Any]]:
    """The collections of the databases that some pattern may mean: namespace -> options.

    Views, time series and MongoDB's own collections have no changes to watch, and are not among them.
    Raises OperationFailure when they may not be listed.
    """
    databases = set(database_patterns)
    if any("*" in name for name in databases):
        databases = set(await client.list_database_names()) - _SYSTEM_DATABASES
    wanted = {"type": "collection", "name": {"$not": {"$regex": r"^system\."}}}
    return {
        f"{database}.{collection['name']}": collection.get("options", {})
        for database in databases
        async for collection in await client[database].list_collections(filter=wanted)
    }


def reason(error: PyMongoError) -> str:
    """The driver's reason in one line, without what it appends."""
    return brief(error)
