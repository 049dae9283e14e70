"""What a scheduled rule looks up: asked at every attempt, so that a retry tells of what is there then.

Promises: only what is on a majority is told; a query takes a minute at most; what it lists is bounded, in
documents by its `limit` and in bytes, and what is not listed is counted. Whatever fails is raised: it is the
attempt's failure, and tried again like one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from mtrigger import schedules
from mtrigger.errors import MtriggerError
from mtrigger.events import ChangeEvent
from mtrigger.quiet import Query
from mtrigger.reading.decoding import decoded
from mtrigger.redaction import brief
from mtrigger.rules import Rule

log = logging.getLogger(__name__)

LONGEST = 60.0
"""Seconds a query may take on the server."""

_GRACE = 10.0
"""Seconds more that its answer may be on the way."""

LARGEST_LIST = 16_000_000
"""Bytes of documents that are listed."""

MOST_COUNTED = 100_000
"""Documents that are counted; more are not looked at."""

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

Client = AsyncMongoClient[dict[str, Any]]
Learn = Callable[[ChangeEvent], Awaitable[Mapping[str, Any]]]


class QueryError(MtriggerError):
    """A rule's query failed. Says of which collection, and why."""


def learning(client: Client, rule: Rule) -> Learn | None:
    """What finds out the facts of each attempt for `rule`; None if there is nothing to find out."""
    if rule.schedule is None:
        return None
    query = rule.schedule.query

    async def learn(event: ChangeEvent) -> Mapping[str, Any]:
        return schedules.facts([], 0) if query is None else await _found(client, query, event)

    return learn


async def _found(client: Client, query: Query, event: ChangeEvent) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(LONGEST + _GRACE):
            return await _asked(client, query, _stages(query, event))
    except TimeoutError as error:
        raise QueryError(f"the query of {query.collection} took longer than {LONGEST:g} s") from error
    except PyMongoError as error:
        raise QueryError(f"the query of {query.collection} failed: {brief(error)}") from error


def _stages(query: Query, event: ChangeEvent) -> list[Mapping[str, Any]]:
    """The query as the stages of an aggregation, without its limit. `now()` is the scheduled time."""
    stages: list[Mapping[str, Any]] = []
    if query.where is not None:
        stages.append({"$match": query.where.filter(event.time)})
    stages += query.pipeline
    if query.sort:
        stages.append({"$sort": dict(query.sort)})
    return stages


async def _asked(client: Client, query: Query, stages: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    database, _, name = query.collection.partition(".")
    collection = client[database].get_collection(name, read_concern=ReadConcern("majority"))
    bounded = [*stages, {"$limit": query.limit}]
    documents, size, whole = [], 0, True
    cursor = await collection.with_options(_RAW).aggregate(bounded, maxTimeMS=int(LONGEST * 1000))
    async with cursor:
        async for document in cursor:
            size += len(document.raw)
            if size > LARGEST_LIST:
                whole = False
                break
            readable = decoded(bytes(document.raw), client.codec_options)
            if readable.flaw:
                log.warning("a document of %s cannot be read whole: %s", query.collection, readable.flaw)
            documents.append(readable.document)
    if whole and len(documents) < query.limit:
        return schedules.facts(documents, len(documents))
    counting = [*stages, {"$limit": MOST_COUNTED}, {"$count": "found"}]
    counted = await (await collection.aggregate(counting, maxTimeMS=int(LONGEST * 1000))).to_list()
    return schedules.facts(documents, counted[0]["found"] if counted else 0)
