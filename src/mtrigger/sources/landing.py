"""Where rows go: written into a collection or published to a topic, as often as they are read.

Promises: what `land` returned without an error is on a majority, except for the rows that it returns as
rejected; landing the same rows again changes nothing. Columns are set one by one, so fields of a document
that others have added stay. What a row cannot be stored for (a rule of the collection, a unique index, its
size) rejects that row alone; what all rows would fail of is raised.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from bson import encode
from bson.errors import BSONError
from pymongo import AsyncMongoClient, DeleteOne, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DocumentTooLarge, PyMongoError

from mtrigger.errors import SettingsError, SourceError
from mtrigger.faults import DUPLICATE_KEY, passes
from mtrigger.messages import Message
from mtrigger.redaction import brief
from mtrigger.sources.definition import Destination
from mtrigger.sources.pages import RejectedRow, Row, key_text
from mtrigger.supervision.outages import Outage
from mtrigger.topics.log import RefusedError, TopicLog

Document = dict[str, Any]

_LARGEST = 16 * 1024 * 1024
_TOO_FAMILIAR = 0.1
"""From this share of rows on that are there already, inserting them first is not worth it."""

_OF_ONE_ROW = frozenset(
    {
        2,  # BadValue
        14,  # TypeMismatch
        15,  # Overflow: nested too deep
        28,  # PathNotViable
        52,  # DollarPrefixedFieldName
        56,  # EmptyFieldName
        66,  # ImmutableField
        121,  # DocumentValidationFailure
        171,  # CannotIndexParallelArrays
        10334,  # BSONObjectTooLarge
        DUPLICATE_KEY,
        16755,  # Location16755: no geometry for the index
        17280,  # KeyTooLong
        17419,  # Location17419: the resulting document is too large
        17420,  # Location17420: the document to upsert is too large
    }
)
"""What the server says of a single document (`error_codes.yml`)."""


class Landing(Protocol):
    """Where the rows of one source go."""

    async def land(self, table: str, rows: Sequence[Row], run: str) -> list[RejectedRow]:
        """Make `rows` of `table` durable. `run` tells the passes over a table apart in which the same row may
        be told of again, "" where its version says that. Returns those that cannot be stored. Raises
        SourceError when none can."""
        ...


def named(pattern: str, table: str) -> str:
    """The name of the collection or topic for the rows of `table`."""
    return pattern.replace("{table}", table.rpartition(".")[2])


class CollectionLanding:
    """Rows become documents, by their keys."""

    def __init__(self, client: AsyncMongoClient[Document], destination: Destination) -> None:
        self._client = client
        self._destination = destination
        self._outage = Outage("Writing rows")
        self._familiar: set[str] = set()

    async def land(self, table: str, rows: Sequence[Row], run: str) -> list[RejectedRow]:
        """`run` makes no difference: the last state of a row is what counts."""
        name = named(self._destination.collection, table)
        database, _, collection = name.partition(".")
        try:
            into = self._client[database].get_collection(collection, write_concern=WriteConcern("majority"))
            return await self._outage_over(lambda: self._write(into, rows))
        except PyMongoError as error:
            raise SourceError(f"rows cannot be written into {name}: {brief(error)}") from error

    async def _outage_over(self, write: Callable[[], Awaitable[list[RejectedRow]]]) -> list[RejectedRow]:
        while True:
            try:
                rejected = await write()
            except PyMongoError as error:
                if not passes(error):
                    raise
                await self._outage.wait(error)
            else:
                self._outage.over()
                return rejected

    async def _write(self, into: AsyncCollection[Document], rows: Sequence[Row]) -> list[RejectedRow]:
        fitting: Sequence[Row] = rows
        rejected: list[RejectedRow] = []
        while True:
            try:
                if into.full_name not in self._familiar and not any(row.deleted for row in fitting):
                    return rejected + await self._insert(into, fitting)
                return rejected + await self._upsert(into, fitting)
            except (BSONError, DocumentTooLarge, OverflowError, UnicodeError, TypeError):
                found = {number: why for number, row in enumerate(rows) if (why := _unfit(row))}
                if rejected or not found:
                    raise
                rejected = [_rejected(rows[number], why) for number, why in found.items()]
                fitting = [row for number, row in enumerate(rows) if number not in found]

    async def _insert(self, into: AsyncCollection[Document], rows: Sequence[Row]) -> list[RejectedRow]:
        """Insert `rows`, and upsert those that are there already. While few are, inserting is half the
        work."""
        if not rows:
            return []
        try:
            await into.insert_many(({**row.values, "_id": row.key} for row in rows), ordered=False)
        except BulkWriteError as error:
            failed = _failed(error)
            there = [number for number, item in failed.items() if item["code"] == DUPLICATE_KEY]
            if len(there) > len(rows) * _TOO_FAMILIAR:
                self._familiar.add(into.full_name)
            rejected = _refused({n: item for n, item in failed.items() if n not in there}, rows, error)
            return rejected + (await self._upsert(into, [rows[number] for number in there]) if there else [])
        return []

    async def _upsert(self, into: AsyncCollection[Document], rows: Sequence[Row]) -> list[RejectedRow]:
        last = _last_of_each(rows)
        if not last:
            return []
        try:
            await into.bulk_write([_change(row) for row in last], ordered=False)
        except BulkWriteError as error:
            return _refused(_failed(error), last, error)
        return []


class TopicLanding:
    """Rows become messages: each state of a row one, whose id is a function of it."""

    def __init__(
        self, open_topic: Callable[[str], Awaitable[TopicLog]], source: str, destination: Destination
    ) -> None:
        self._open_topic = open_topic
        self._source = source
        self._destination = destination
        self._logs: dict[str, TopicLog] = {}

    async def land(self, table: str, rows: Sequence[Row], run: str) -> list[RejectedRow]:
        """Publishes in the order of `rows`."""
        name = named(self._destination.topic, table)
        if name not in self._logs:
            self._logs[name] = await self._opened(name)
        found = {number: why for number, row in enumerate(rows) if (why := _unfit(row))}
        fitting = [row for number, row in enumerate(rows) if number not in found] if found else rows
        rejected = [_rejected(rows[number], why) for number, why in found.items()]
        messages = [message_of(self._source, table, row, run) for row in fitting]
        try:
            await self._logs[name].publish(messages)
        except RefusedError as error:
            refused = dict(error.refused)
            rejected += [
                _rejected(row, f"it cannot be published: {refused[message.id]}")
                for message, row in zip(messages, fitting, strict=True)
                if message.id in refused
            ]
        except PyMongoError as error:
            raise SourceError(f"rows cannot be published to {name}: {brief(error)}") from error
        return rejected

    async def _opened(self, name: str) -> TopicLog:
        """A table that gives its topic no possible name is the trouble of that table alone."""
        try:
            return await self._open_topic(name)
        except SettingsError as error:
            raise SourceError(f"rows cannot be published: {error}") from error


def message_of(source: str, table: str, row: Row, run: str) -> Message:
    """The message that tells of `row`. A row that is gone and of which nothing is known but the key has null
    as its body."""
    state = encode({"key": row.key, "values": row.values, "version": row.version, "deleted": row.deleted})
    name = f"{source}\0{table}\0{run}\0".encode()
    return Message(
        id=hashlib.blake2b(name + state, digest_size=16).hexdigest(),
        body=dict(row.values) if row.values else None,
        key=row.key,
        headers={"table": table, "source": source, **({"deleted": True} if row.deleted else {})},
        source={"source": source, "table": table},
    )


def _change(row: Row) -> UpdateOne | DeleteOne:
    if row.deleted:
        return DeleteOne({"_id": row.key})
    values = {name: value for name, value in row.values.items() if name != "_id"}
    update = {"$set": values} if values else {"$setOnInsert": {"_id": row.key}}
    return UpdateOne({"_id": row.key}, update, upsert=True)


def _last_of_each(rows: Sequence[Row]) -> list[Row]:
    """The last of the rows with one key: the order in which an unordered write is made is the server's."""
    try:
        return list({row.key: row for row in rows}.values())
    except TypeError:  # a key of several columns is a document
        return list({key_text(row.key): row for row in rows}.values())


def _failed(error: BulkWriteError) -> Mapping[int, Mapping[str, Any]]:
    """The errors of single writes, by the numbers of their rows. Raises the rest."""
    if error.details.get("writeConcernErrors"):
        raise error
    return {item["index"]: item for item in error.details["writeErrors"]}


def _refused(
    failed: Mapping[int, Mapping[str, Any]], rows: Sequence[Row], error: BulkWriteError
) -> list[RejectedRow]:
    """The rows that the server refused. Raises what is not the fault of single rows."""
    if any(item["code"] not in _OF_ONE_ROW for item in failed.values()):
        raise error
    return [_rejected(rows[number], _why(item)) for number, item in failed.items()]


def _why(item: Mapping[str, Any]) -> str:
    if item["code"] == DUPLICATE_KEY:
        index = (item.get("keyPattern") or {}).keys()
        return (
            f"another document has the same {', '.join(index)}, and the collection has a unique index on it"
        )
    if item["code"] == 121:
        return "the validator of the collection refuses it"
    return brief(PyMongoError(str(item.get("errmsg", ""))))


def _unfit(row: Row) -> str:
    """Why BSON cannot hold `row`, "" if it can."""
    try:
        size = len(encode({**row.values, "_id": row.key}))
    except (BSONError, OverflowError, UnicodeError, TypeError, ValueError) as error:
        return f"it cannot be stored: {brief(error)}"
    return f"it takes {size:,} bytes, and a document at most {_LARGEST:,}" if size > _LARGEST else ""


def _rejected(row: Row, why: str) -> RejectedRow:
    texts = {name: str(value) for name, value in row.values.items()}
    return RejectedRow(_text(row.key), texts, why)


def _text(key: Any) -> str:
    try:
        return key_text(key)
    except TypeError:
        return str(key)
