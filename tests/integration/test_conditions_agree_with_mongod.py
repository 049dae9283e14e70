"""The promise of the `when:` language: Python and the server give the same answer, and what is pushed down
loses nothing.

MTRIGGER_PROPERTY_EXAMPLES sets the number of random conditions (default 300; the full size is 1200), half of
them expressions, half of them MongoDB filters.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.timestamp import Timestamp
from hypothesis import HealthCheck, given, settings
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from mtrigger.conditions import Condition, NotTranslatable, parse, parse_mapping
from mtrigger.embedded import EmbeddedServer
from mtrigger.errors import ConditionError
from mtrigger.events import ChangeEvent
from support.condition_cases import CASES, Case
from support.random_conditions import expressions, filters
from support.random_documents import document

EXAMPLES = int(os.environ.get("MTRIGGER_PROPERTY_EXAMPLES", "300"))
DOCUMENTS = 3_000
AUTO = DatetimeConversion.DATETIME_AUTO
NOW = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)
many = settings(
    max_examples=EXAMPLES // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@dataclass
class Corpus:
    """The same documents three times: alone on the server, as change events on the server, and in Python."""

    documents: Collection[dict[str, Any]]
    changes: Collection[dict[str, Any]]
    events: dict[int, ChangeEvent]
    shares: dict[str, list[float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{DOCUMENTS} documents>"

    def held(self, condition: Condition) -> set[int]:
        return {number for number, event in self.events.items() if condition.holds(event, NOW)}

    def check(self, condition: Condition, kind: str) -> None:
        """Compare the answers of Python, of the exact filter and of the pushed filter."""
        held = self.held(condition)
        self.shares.setdefault(kind, []).append(len(held) / DOCUMENTS)
        try:
            translated = condition.filter(NOW)
        except NotTranslatable:
            pass
        else:
            assert _ids(self.documents, translated) == held
        pushed = condition.pushdown("fullDocument")
        passed = _ids(self.changes, pushed.filter)
        assert held <= passed
        assert passed == held or not pushed.exact
        for number in sorted(held)[:2] + sorted(self.events.keys() - held)[:2]:
            assert condition.trace(self.events[number], NOW).held == (number in held)


def _ids(collection: Collection[dict[str, Any]], translated: dict[str, Any]) -> set[int]:
    return {found["_id"] for found in collection.find(translated, {"_id": 1})}


@pytest.fixture(scope="module")
def corpus(mongod: EmbeddedServer) -> Iterator[Corpus]:
    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, datetime_conversion=AUTO)
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        database = client.get_database("conditions_agree", options)
        client.drop_database(database.name)
        chance = random.Random(20261101)
        documents = [{"_id": number, **document(chance)} for number in range(DOCUMENTS)]
        database.documents.insert_many(documents)
        changes = [_change(found) for found in documents]
        database.changes.insert_many(changes)
        events = {found["_id"]: _event(found) for found in database.documents.find()}
        found = Corpus(database.documents, database.changes, events)
        yield found
        for kind, shares in found.shares.items():
            mixed = sum(0 < share < 1 for share in shares) / len(shares)
            mean = sum(shares) / len(shares)
            print(f"\n{kind}: {len(shares)} conditions, {mixed:.0%} held for some; {mean:.0%} on average")
            assert mixed > 0.25, "conditions that hold for all or for none prove little"
        client.drop_database(database.name)


def _change(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "_id": found["_id"],
        "operationType": "insert",
        "ns": {"db": "shop", "coll": "orders"},
        "fullDocument": found,
    }


def _event(found: dict[str, Any]) -> ChangeEvent:
    return ChangeEvent.from_change({**_change(found), "_id": {"_data": f"82{found['_id']:016x}"}})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fixed_case_holds_in_python_and_on_the_server(mongod: EmbeddedServer, case: Case) -> None:
    """The pitfalls that were found on the way, one by one."""
    condition = case.condition()
    with MongoClient[dict[str, Any]](mongod.uri, tz_aware=True) as client:
        database = client.get_database("conditions_cases")
        database.documents.drop()
        database.documents.insert_one({"_id": 1, **case.document})
        document = database.documents.find_one()
        assert document is not None
        assert condition.holds(_event(document), NOW) is case.held
        assert _ids(database.documents, condition.filter(NOW)) == ({1} if case.held else set())


STREAMED = [
    "n > 2",
    "1 > 2",
    "n > 2 and false or s == null",
    'n > 2 and s == "paid"',
    "not (n > 2 or $..p > 5)",
    "not (n > 2 and $..p > 5)",
    "n > m",
    "len(l) > 1",
    "lower(s) in ['paid', 'abc']",
    "$.l[*].p > 2",
    "a.0.b == null",
    'matches(s, "^[a-c]{2}", "i")',
    'event.operation == "update"',
    'event.operation in ["replace", "delete"] and n >= 0',
    'event.collection == "orders" and event.key._id >= 20',
    "changed(n)",
    "not changed(n) and n > 0",
    "became(n > 2)",
    "before.n < n",
    "exists(before) and n + 1 > m",
]


@pytest.fixture(scope="module")
def changes(mongod: EmbeddedServer) -> Iterator[tuple[Database[dict[str, Any]], Timestamp]]:
    """A collection with images of both sides and all four kinds of changes, and the moment before them."""
    with MongoClient[dict[str, Any]](mongod.uri, tz_aware=True) as client:
        client.drop_database("conditions_stream")
        database = client.get_database(
            "conditions_stream", CodecOptions(tz_aware=True, datetime_conversion=AUTO)
        )
        orders = database.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
        chance = random.Random(20261101)
        with client.start_session() as session:
            orders.insert_one({"_id": -1}, session=session)
            start = session.operation_time
        assert start is not None
        orders.insert_many([{"_id": number, **document(chance)} for number in range(60)])
        for number in range(60):
            if number % 3 == 0:
                orders.update_one({"_id": number}, {"$set": {"n": chance.choice((0, 1, 3, 5))}})
            elif number % 3 == 1:
                orders.replace_one({"_id": number}, document(chance))
            else:
                orders.update_one({"_id": number}, {"$unset": {"s": ""}, "$set": {"l": []}})
        orders.delete_many({"_id": {"$gte": 0, "$lt": 40}})
        orders.insert_one({"_id": "end"})
        yield database, start
        client.drop_database(database.name)


def _streamed(
    database: Database[dict[str, Any]], start: Timestamp, found: dict[str, Any]
) -> list[ChangeEvent]:
    """All events of the collection that the filter lets through."""
    pipeline = [{"$match": {"$or": [found, {"documentKey._id": "end"}]}}]
    events: list[ChangeEvent] = []
    with database.orders.watch(
        pipeline,
        full_document="whenAvailable",
        full_document_before_change="whenAvailable",
        start_at_operation_time=start,
    ) as stream:
        for change in stream:
            if change["documentKey"]["_id"] == "end":
                break
            events.append(ChangeEvent.from_change(change))
    return events


@pytest.mark.parametrize("text", STREAMED)
@pytest.mark.parametrize("prefix", ["fullDocument", "fullDocumentBeforeChange"])
def test_a_change_stream_with_the_pushed_filter_misses_no_event(
    changes: tuple[Database[dict[str, Any]], Timestamp], text: str, prefix: str
) -> None:
    """In a real stream, over all four operations; and what is exact lets nothing else by."""
    condition = parse(text)
    pushed = condition.pushdown(prefix)
    deletes = (
        prefix == "fullDocumentBeforeChange"
    )  # where the document of a delete lies; that of others elsewhere
    everything = [event for event in _streamed(*changes, {}) if (event.operation == "delete") is deletes]
    assert len(everything) >= 40
    passed = [event.token for event in _streamed(*changes, pushed.filter)]
    held = [event.token for event in everything if condition.holds(event, NOW)]
    assert set(held) <= set(passed)
    if pushed.exact:
        assert held == [event.token for event in everything if event.token in passed]


@many
@given(text=expressions)
def test_an_expression_holds_in_python_exactly_where_the_server_finds_it(corpus: Corpus, text: str) -> None:
    """Random expressions over the whole translatable language."""
    try:
        condition = parse(text)
    except ConditionError as error:
        if "has no value" not in error.message and "cannot be calculated" not in error.message:
            raise
        return  # a calculation with literals that means nothing, such as 1 / 0
    corpus.check(condition, "expressions")


@many
@given(mapping=filters)
def test_a_filter_holds_in_python_exactly_where_the_server_finds_it(
    corpus: Corpus, mapping: dict[str, Any]
) -> None:
    """Random MongoDB filters: the one written, the one translated back, and Python agree."""
    condition = parse_mapping(mapping)
    assert _ids(corpus.documents, mapping) == corpus.held(condition)
    corpus.check(condition, "filters")
