"""What scheduled rules look up, on a real server."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.conditions import parse
from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import SCHEDULE
from mtrigger.quiet import Query, Schedule
from mtrigger.reading import queries
from mtrigger.reading.queries import QueryError, learning
from mtrigger.rules import Collections, Rule
from mtrigger.schedules import event_of
from support.raw_bson import document, fields, old_binary

RAW = CodecOptions(document_class=RawBSONDocument)
NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)
Database = AsyncDatabase[dict[str, Any]]


async def found(
    mongod: EmbeddedServer, database: Database, query: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """What an attempt for a scheduled time is told, with the settings of its query."""
    asked = Query(f"{database.name}.orders", **query) if query is not None else None
    schedule = Schedule("0 9 * * *", ZoneInfo("UTC"), query=asked)
    rule = Rule("report", Collections(()), (), operations=frozenset({SCHEDULE}), schedule=schedule)
    async with connect(mongod.uri) as client:
        learn = learning(client, rule)
        assert learn is not None
        return await learn(event_of(rule, NINE))


def ids(facts: Mapping[str, Any]) -> list[Any]:
    """The listed documents, by their ids."""
    return [listed["_id"] for listed in facts["documents"]]


async def test_without_a_query_there_is_nothing(mongod: EmbeddedServer, database: Database) -> None:
    """And for a rule of changes nothing is found out at all."""
    assert await found(mongod, database, None) == {"documents": [], "count": 0, "more": 0}
    async with connect(mongod.uri) as client:
        assert learning(client, Rule("big-order", Collections(("shop.orders",)), ())) is None


async def test_the_condition_is_held_at_the_scheduled_time(
    mongod: EmbeddedServer, database: Database
) -> None:
    """`now()` is the scheduled time, however late the attempt is; documents are sorted, and bounded."""
    hours = {1: 30, 2: 23, 3: 5, 4: 1, 5: -1}
    await database.orders.insert_many(
        {"_id": key, "amount": 10_000 * key, "at": NINE - timedelta(hours=ago)} for key, ago in hours.items()
    )
    where = parse('at >= now() - duration("1d") and at < now()')
    facts = await found(mongod, database, {"where": where, "sort": (("amount", -1),)})
    assert (ids(facts), facts["count"], facts["more"]) == ([4, 3, 2], 3, 0)
    facts = await found(mongod, database, {"where": where, "sort": (("amount", -1),), "limit": 2})
    assert (ids(facts), facts["count"], facts["more"]) == ([4, 3], 3, 1)
    assert facts["documents"][0]["at"] == NINE - timedelta(hours=1)


async def test_a_pipeline_says_what_is_listed(mongod: EmbeddedServer, database: Database) -> None:
    """What it makes of the documents is listed and counted."""
    await database.orders.insert_many({"_id": key, "region": key % 3, "amount": key} for key in range(30))
    stages = ({"$group": {"_id": "$region", "sum": {"$sum": "$amount"}}}, {"$sort": {"_id": 1}})
    facts = await found(mongod, database, {"pipeline": stages, "limit": 2})
    assert facts == {"documents": [{"_id": 0, "sum": 135}, {"_id": 1, "sum": 145}], "count": 3, "more": 1}


async def test_a_collection_that_is_not_there_has_no_documents(
    mongod: EmbeddedServer, database: Database
) -> None:
    """It may come later."""
    assert (await found(mongod, database, {}))["count"] == 0


async def test_bytes_are_bounded(
    mongod: EmbeddedServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer are listed than asked for, all are counted."""
    await database.orders.insert_many({"_id": key, "text": "x" * 1_000} for key in range(10))
    monkeypatch.setattr(queries, "LARGEST_LIST", 4_500)
    facts = await found(mongod, database, {"sort": (("_id", 1),)})
    assert (ids(facts), facts["count"], facts["more"]) == ([0, 1, 2, 3], 10, 6)


async def test_what_cannot_be_read_is_left_out(mongod: EmbeddedServer, database: Database) -> None:
    """One value that Python cannot hold costs the report itself alone."""
    row = RawBSONDocument(document(fields(_id=1), old_binary("scan"), fields(amount=5)))
    await database["orders"].with_options(RAW).insert_one(row)
    assert (await found(mongod, database, {}))["documents"] == [{"_id": 1, "amount": 5}]


async def test_what_the_server_refuses_is_told(mongod: EmbeddedServer, database: Database) -> None:
    """With the collection and the reason."""
    with pytest.raises(
        QueryError, match=r"the query of test_\w+\.orders failed: Unrecognized pipeline stage"
    ):
        await found(mongod, database, {"pipeline": ({"$nonsense": {}},)})
