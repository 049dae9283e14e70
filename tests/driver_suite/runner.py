"""Runs one unified test of the suite against mtrigger's reader, on a real server.

Source: the unified test format of the MongoDB drivers. Only what the change stream tests use is here, and
everything else is an error, so that nothing is passed over in silence.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from driver_suite.matching import mismatches
from driver_suite.reader import KNOWN_FIELDS, NotOfferedError, Reader, plan_for

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Version = tuple[int, ...]

OBSERVED = "client0"
"""The client whose commands the suite watches; the reader gets this one."""

STREAM_COMMANDS = ("aggregate", "getMore")


HEARTBEAT_MS = 500
"""A driver that is told by a fail point that its primary is gone asks again only with its next heartbeat; a
primary that is really gone makes itself heard at once."""


class WrongError(AssertionError):
    """The reader did something else than the suite expects."""


class CommandLog(CommandListener):
    """The commands of a stream that a client has sent."""

    def __init__(self) -> None:
        self.commands: list[CommandStartedEvent] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in STREAM_COMMANDS:
            self.commands.append(event)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@dataclass(slots=True)
class Bench:
    """The entities of one test file: two clients, and names for databases and collections."""

    observed: Client
    plain: Client
    log: CommandLog
    version: Version
    databases: dict[str, str] = field(default_factory=dict)
    collections: dict[str, tuple[str, str]] = field(default_factory=dict)
    streams: dict[str, Reader] = field(default_factory=dict)
    fail_points: set[str] = field(default_factory=set)

    async def run(self, test: Mapping[str, Any], initial: Sequence[Mapping[str, Any]]) -> None:
        """Run one test. Raises NotOfferedError (skipped) or WrongError (failed)."""
        await self._prepare(initial)
        try:
            for operation in test["operations"]:
                await self._operate(operation)
            self._compare_commands(test.get("expectEvents", ()))
        finally:
            for stream in self.streams.values():
                await stream.close()
            for name in self.fail_points:
                await self.plain.admin.command({"configureFailPoint": name, "mode": "off"})

    async def _prepare(self, initial: Sequence[Mapping[str, Any]]) -> None:
        durable = WriteConcern("majority")
        for name in {*self.databases.values()} - {"admin"}:
            await self.plain.drop_database(name)
        for given in initial:
            database = self.plain.get_database(given["databaseName"], write_concern=durable)
            collection = await database.create_collection(given["collectionName"])
            if given["documents"]:
                await collection.insert_many([dict(document) for document in given["documents"]])

    async def _operate(self, operation: Mapping[str, Any]) -> None:
        error: PyMongoError | None = None
        result: Any = None
        try:
            result = await self._carry_out(operation)
        except PyMongoError as raised:
            error = raised
        if "expectError" in operation:
            _compare_error(operation["expectError"], error)
        elif error is not None:
            raise WrongError(f"{operation['name']} failed: {error}")
        elif "expectResult" in operation:
            _compare_change(operation["expectResult"], result)

    async def _carry_out(self, operation: Mapping[str, Any]) -> Any:
        arguments = dict(operation.get("arguments", {}))
        target = operation["object"]
        match operation["name"]:
            case "createChangeStream":
                await self._open(target, arguments, operation.get("saveResultAsEntity", "unnamed"))
            case "iterateUntilDocumentOrError":
                return await self.streams[target].next()
            case "failPoint":
                self.fail_points.add(arguments["failPoint"]["configureFailPoint"])
                await self.plain.admin.command(arguments["failPoint"])
            case "runCommand":
                await self.plain[self.databases[target]].command(arguments["command"])
            case "createCollection":
                await self.plain[self.databases[target]].create_collection(arguments["collection"])
            case "dropCollection":
                await self.plain[self.databases[target]].drop_collection(arguments["collection"])
            case name:
                await self._write(name, target, arguments)
        return None

    async def _write(self, name: str, target: str, arguments: Mapping[str, Any]) -> None:
        database, collection_name = self.collections[target]
        collection = self.plain[database][collection_name]
        match name:
            case "insertOne":
                await collection.insert_one(dict(arguments["document"]))
            case "updateOne":
                await collection.update_one(arguments["filter"], arguments["update"])
            case "replaceOne":
                await collection.replace_one(arguments["filter"], arguments["replacement"])
            case "deleteOne":
                await collection.delete_one(arguments["filter"])
            case "createIndex":
                await collection.create_index(list(arguments["keys"].items()), name=arguments["name"])
            case "dropIndex":
                await collection.drop_index(arguments["name"])
            case "rename":
                await collection.rename(arguments["to"])
            case _:
                raise NotImplementedError(f"the suite uses {name}: teach it to the adapter")

    async def _open(self, target: str, arguments: dict[str, Any], name: str) -> None:
        database, collection = self.collections.get(target, (self.databases.get(target), None))
        plan = plan_for(database, collection, arguments.pop("pipeline"), arguments)
        now: Timestamp = (await self.plain.admin.command("hello"))["operationTime"]
        stream = Reader(self.observed, plan, Timestamp(now.time, now.inc + 1))
        self.streams[name] = stream
        await stream.open()

    def _compare_commands(self, expected: Sequence[Mapping[str, Any]]) -> None:
        """The stream's commands, in order; where the suite resumes after a token, so must we."""
        for of_client in expected:
            if of_client["client"] != OBSERVED:
                raise NotImplementedError(f"the suite watches {of_client['client']}")
            wanted = [event["commandStartedEvent"] for event in of_client["events"]]
            for place, event in enumerate(wanted):
                name = event.get("commandName") or next(iter(event["command"]))
                if place >= len(self.log.commands) or self.log.commands[place].command_name != name:
                    sent = [command.command_name for command in self.log.commands]
                    raise WrongError(f"command {place + 1} is not {name}: {sent}")
                if name == "aggregate":
                    _compare_stage(event["command"]["pipeline"], self.log.commands[place].command["pipeline"])


@asynccontextmanager
async def bench(uri: str, entities: Sequence[Mapping[str, Any]]) -> AsyncIterator[Bench]:
    """A bench with the entities of a file."""
    log = CommandLog()
    observed: Client = AsyncMongoClient(
        uri, event_listeners=[log], tz_aware=True, heartbeatFrequencyMS=HEARTBEAT_MS
    )
    plain: Client = AsyncMongoClient(uri, tz_aware=True)
    async with observed, plain:
        version = tuple((await plain.server_info())["versionArray"][:3])
        made = Bench(observed, plain, log, version)
        for entity in entities:
            (kind, given), *_ = entity.items()
            if kind == "database":
                made.databases[given["id"]] = given["databaseName"]
            elif kind == "collection":
                database = made.databases[given["database"]]
                made.collections[given["id"]] = (database, given["collectionName"])
            elif kind != "client":
                raise NotImplementedError(f"the suite makes a {kind}: teach it to the adapter")
        yield made
        for database in {*made.databases.values()} - {"admin"}:
            await plain.drop_database(database)


def _compare_change(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    if unknown := [name for name in wanted if name not in KNOWN_FIELDS]:
        raise NotOfferedError(f"an event of ours does not keep {', '.join(unknown)}")
    if wrong := mismatches(_without_sizes(wanted), found):
        raise WrongError("; ".join(wrong))


def _without_sizes(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Of a truncated array an event of ours keeps where it was, not how long it became."""
    description = dict(wanted.get("updateDescription", {}))
    truncated = description.get("truncatedArrays")
    if not isinstance(truncated, list):
        return dict(wanted)
    description["truncatedArrays"] = [{"field": array["field"]} for array in truncated]
    return {**wanted, "updateDescription": description}


def _compare_error(wanted: Mapping[str, Any], error: PyMongoError | None) -> None:
    if error is None:
        raise WrongError(f"no error, where {dict(wanted)} was expected")
    if "errorCode" in wanted and getattr(error, "code", None) != wanted["errorCode"]:
        raise WrongError(f"{error!r} instead of the code {wanted['errorCode']}")
    if wanted.get("isClientError") is False and not isinstance(error, OperationFailure):
        raise WrongError(f"{error!r} is no error of the server")


def _compare_stage(wanted: Sequence[Mapping[str, Any]], sent: Sequence[Mapping[str, Any]]) -> None:
    first = sent[0].get("$changeStream")
    if first is None:
        raise WrongError(f"the first stage is {sent[0]}")
    options = dict(wanted[0]["$changeStream"])
    if options.pop("resumeAfter", None) and not {"startAfter", "startAtOperationTime"} & first.keys():
        raise WrongError(f"the stream was opened again without a position: {first}")
    if wrong := mismatches(options, first, "$changeStream"):
        raise WrongError("; ".join(wrong))
