"""The promise of the pushdown: for random rules and random changes, the planned stream brings every event
that a rule holds for. A stream of everything is the judge.

The changes have happened once; what a stream of everything said of them is kept in a collection, where the
`$match` of a plan is asked in milliseconds, and for some plans a real stream says whether it does the same.
MTRIGGER_PROPERTY_EXAMPLES sets how many sets of rules are tried (half of it, 150 by default; one set is up to
forty rules, each asked about hundreds of changes).
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.timestamp import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import WriteError

from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.planning import filled_in, lacks_document
from mtrigger.pushdown import pipeline, plan
from mtrigger.rules import Rule
from support.random_documents import document, number, scalar, string, value
from support.random_rules import COLLECTIONS, DATABASE, OPERATIONS, rule_sets
from support.recording import rule_on

Document = dict[str, Any]
SETS = int(os.environ.get("MTRIGGER_PROPERTY_EXAMPLES", "300")) // 2
STREAMS = max(5, SETS // 10)
CHANGES = 1_000
KEPT = "what_happened"
NOW = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)
OPTIONS: CodecOptions[Document] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


@dataclass
class History:
    """Changes that happened, as the server tells them and as rules see them."""

    client: MongoClient[Document]
    start: Timestamp
    events: list[ChangeEvent]
    documents: dict[tuple[str, int], Document]

    def __repr__(self) -> str:
        return f"<{len(self.events)} changes>"

    def seen(self, chance: random.Random) -> list[ChangeEvent]:
        """The events with their documents, where one has to be looked up: as it is at the end, gone, or
        anything else that somebody may have written in between."""
        return [
            self._with_document(event, chance) if lacks_document(event) else event for event in self.events
        ]

    def _with_document(self, event: ChangeEvent, chance: random.Random) -> ChangeEvent:
        found = self.documents.get((event.collection, event.key["_id"]))
        return filled_in(event, chance.choice((found, None, {**document(chance), **event.key})))

    def asked(self, rules: list[Rule]) -> set[str]:
        """The events that the `$match` for `rules` lets through."""
        kept = self.client[DATABASE][KEPT].find(plan(rules, "mtrigger").match, {"_id": 1})
        return {found["_id"]["_data"] for found in kept}

    def streamed(self, rules: list[Rule]) -> set[str]:
        """What the stream for `rules` brings."""
        opening, match = pipeline(plan(rules, "mtrigger"), {"startAtOperationTime": self.start})
        end = {"$or": [{"documentKey._id": "end"}, match["$match"]]}
        return {change["_id"]["_data"] for change in _read(self.client, [opening, {"$match": end}])}


def _read(client: MongoClient[Document], stages: list[Document]) -> Iterator[Document]:
    """The changes up to the end."""
    database = client.get_database(DATABASE, OPTIONS)
    with database.aggregate(stages, batchSize=1_000) as cursor:
        for change in cursor:
            if change.get("documentKey", {}).get("_id") == "end":
                return
            yield change


@pytest.fixture(scope="module")
def history(mongod: EmbeddedServer) -> Iterator[History]:
    with MongoClient[Document](mongod.uri) as client:
        client.drop_database(DATABASE)
        database = client.get_database(DATABASE, OPTIONS)
        database.create_collection("plain")
        database.create_collection("imaged", changeStreamPreAndPostImages={"enabled": True})
        start: Timestamp = client.admin.command("hello")["operationTime"]
        chance = random.Random(20261101)
        for _ in range(CHANGES):
            _change(database[chance.choice(COLLECTIONS)], chance)
        documents = {(name, found["_id"]): found for name in COLLECTIONS for found in database[name].find()}
        database["end"].insert_one({"_id": "end"})
        options = {"fullDocument": "whenAvailable", "fullDocumentBeforeChange": "whenAvailable"}
        everything = list(_read(client, [{"$changeStream": {**options, "startAtOperationTime": start}}]))
        database[KEPT].insert_many(everything)
        yield History(client, start, [ChangeEvent.from_change(change) for change in everything], documents)
        client.drop_database(DATABASE)


def _change(collection: Collection[Document], chance: random.Random) -> None:
    """One change of any kind; what the server refuses (a field below a number) is no change."""
    key = {"_id": chance.randrange(30)}
    try:
        match chance.randrange(6):
            case 0:
                collection.replace_one(key, document(chance), upsert=True)
            case 1:
                collection.delete_one(key)
            case _:
                collection.update_one(key, _update(chance), upsert=chance.random() < 0.1)
    except WriteError:
        pass


def _update(chance: random.Random) -> Any:
    """Fields set and removed as a whole, below documents, within arrays, and under names that hold dots."""
    tops = {"n": number, "m": number, "s": string, "a": lambda chance: value(chance, 3), "b": scalar}
    name = chance.choice(list(tops))
    match chance.randrange(8):
        case 0:
            return {"$unset": {name: ""}}
        case 1:
            return {
                "$set": {
                    chance.choice(("l.0.p", "l.1.p", "o.p", "a.0", "a.b", "b.0.b", "n.0")): number(chance)
                }
            }
        case 2:
            return {"$push": {chance.choice("nla"): {"$each": [number(chance)], "$slice": 2}}}
        case 3:
            dotted: Document = {"field": {"$literal": f"{name}.{chance.choice('0ab')}"}, "input": "$$ROOT"}
            whole = {"$set": {name: {"$literal": [number(chance)]}}}
            return [{"$replaceWith": {"$setField": {**dotted, "value": {"$literal": number(chance)}}}}, whole]
        case 4:
            return [{"$set": {"l": {"$cond": [{"$isArray": "$l"}, {"$slice": ["$l", 1]}, "$l"]}}}]
        case _:
            return {"$set": {one: tops[one](chance) for one in {name, chance.choice(list(tops))}}}


@settings(max_examples=SETS, deadline=None, suppress_health_check=list(HealthCheck))
@given(rules=rule_sets, seed=st.integers(0, 1_000))
def test_the_match_lets_every_event_through_that_a_rule_holds_for(
    history: History, rules: list[Rule], seed: int
) -> None:
    """Whatever a look-up finds: what an update set itself is certain, everything else may be anything."""
    passed = history.asked(rules)

    matcher = Matcher(rules)
    wanted = {event.token for event in history.seen(random.Random(seed)) if matcher.matches(event, NOW)}

    assert wanted <= passed


@settings(max_examples=STREAMS, deadline=None, suppress_health_check=list(HealthCheck))
@given(rules=rule_sets)
def test_a_stream_brings_what_its_match_lets_through(history: History, rules: list[Rule]) -> None:
    """The server asks a stream's `$match` of the oplog, in a form of its own: it comes to the same."""
    assert history.streamed(rules) == history.asked(rules)


def test_the_changes_are_of_all_kinds(history: History) -> None:
    """Else the property above would say little."""
    updates = [event for event in history.events if event.operation == "update"]
    assert {event.operation for event in history.events} == set(OPERATIONS)
    assert {event.image for event in updates} == {"post-image", "none"}
    assert any("." in path for event in updates for path in event.updated)
    assert any(event.removed for event in updates)
    assert any(event.truncated for event in updates)
    assert any(
        path.split(".")[0] in event.updated for event in updates for path in event.updated if "." in path
    )
    assert any(event.before for event in history.events)


def test_a_narrow_rule_keeps_most_of_the_changes_on_the_server(history: History) -> None:
    """A filter that let everything through would lose nothing, too."""
    everywhere = rule_on(
        f"{DATABASE}.*", when="n == 5 and s == 'paid'", operations=frozenset({"insert", "update"})
    )
    tokens = history.asked([everywhere])

    candidates = [event for event in history.events if event.operation in ("insert", "update")]
    decided = [event for event in candidates if event.operation == "insert" or "n" in event.updated]
    assert len(tokens & {event.token for event in decided}) < len(decided) / 4
    assert all(
        event.token not in tokens
        for event in candidates
        if event.image == "none" and event.updated.get("n") in (1, 2, 7)
    )
