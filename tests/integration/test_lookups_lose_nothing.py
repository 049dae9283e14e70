"""The promise of the covers: whatever random rules want and updates touched, what is owed is the same when
look-ups ask only for documents that some rule may hold for as when they ask for all.

MTRIGGER_PROPERTY_EXAMPLES sets how many sets of rules are tried (a third of it, 100 by default; one set is up
to forty rules, each asked about sixty updates).
"""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.planning import deliveries
from mtrigger.pushdown.lookups import EVERYTHING, LookUpCovers
from mtrigger.reading.lookups import CoverOf, Documents
from mtrigger.rules import Rule
from support.loop_thread import LoopThread
from support.random_documents import document, number, scalar, string, value
from support.random_rules import COLLECTIONS, DATABASE, rule_sets
from support.samples import NOW, event_at

Document = dict[str, Any]
SETS = int(os.environ.get("MTRIGGER_PROPERTY_EXAMPLES", "300")) // 3
IDS = range(30)
UPDATES = 60
NAMES = "nmsabo"
PATHS = (*NAMES, "d", "x", "l.0.p", "o.p", "a.0", "a.b", "b.0.b", "n.0")


class Collections:
    """Two collections, one of which orders strings in its own way, and updates of their documents."""

    def __init__(self, uri: str) -> None:
        self._loop = LoopThread("look-ups")
        self._opened = connect(uri)
        self._client: AsyncMongoClient[Document] = self._loop.run(self._opened.__aenter__())
        self._loop.run(self._prepare())

    async def _prepare(self) -> None:
        await self._client.drop_database(DATABASE)
        plain, other = COLLECTIONS
        await self._client[DATABASE].create_collection(plain)
        await self._client[DATABASE].create_collection(other, collation={"locale": "en", "strength": 1})

    def close(self) -> None:
        self._loop.run(self._client.drop_database(DATABASE))
        self._loop.run(self._opened.__aexit__(None, None, None))
        self._loop.close()

    def write(self, chance: random.Random) -> None:
        """Other documents; some that were updated are gone."""
        self._loop.run(self._write(chance))

    async def _write(self, chance: random.Random) -> None:
        for name in COLLECTIONS:
            await self._client[DATABASE][name].delete_many({})
            found = [{**document(chance), "_id": key} for key in IDS if chance.random() < 0.7]
            await self._client[DATABASE][name].insert_many([*found, {"_id": "one"}])

    def owed(self, events: list[ChangeEvent], matcher: Matcher, cover_of: CoverOf) -> set[str]:
        """The ids of what is owed, when documents are asked for in this way."""
        whole = self._loop.run(Documents(self._client).fill_in(events, cover_of))
        assert len(whole) == len(events)
        matched = [(event, matcher.matches(event, NOW)) for event in whole]
        return {delivery.id for delivery in deliveries(matched, "set:1", "main/0", NOW)}


@pytest.fixture(scope="module")
def collections(mongod: EmbeddedServer) -> Iterator[Collections]:
    found = Collections(mongod.uri)
    yield found
    found.close()


def _update(place: int, chance: random.Random) -> ChangeEvent:
    """An update without its document, which touched a few fields; now and then the key has two."""
    paths = chance.sample(PATHS, chance.choice((0, 1, 1, 1, 2, 2, 3)))
    removed = tuple(path for path in paths if chance.random() < 0.2)
    truncated = ("l",) if chance.random() < 0.1 else ()
    made = event_at(
        place,
        operation="update",
        namespace=f"{DATABASE}.{chance.choice(COLLECTIONS)}",
        updated={path: _value(path, chance) for path in paths if path not in removed},
        removed=removed,
        truncated=truncated,
    )
    shard = {chance.choice(("n", "s", "a.b")): number(chance)} if chance.random() < 0.2 else {}
    return replace(made, key={"_id": chance.choice(IDS), **shard})


def _value(path: str, chance: random.Random) -> Any:
    makes = {"n": number, "m": number, "s": string, "b": scalar}
    return makes[path](chance) if path in makes else value(chance, 2)


@settings(max_examples=SETS, deadline=None, suppress_health_check=list(HealthCheck))
@given(rules=rule_sets, seed=st.integers(0, 100_000))
def test_what_is_owed_does_not_depend_on_what_look_ups_leave_out(
    collections: Collections, rules: list[Rule], seed: int
) -> None:
    """Documents that are there, others than the rules want, and such as are gone."""
    chance = random.Random(seed)
    collections.write(chance)
    updates = [_update(place, chance) for place in range(UPDATES)]
    matcher = Matcher(
        [replace(rule, name=f"rule-{n}", operations=frozenset({"update"})) for n, rule in enumerate(rules)]
    )

    everything = collections.owed(updates, matcher, lambda _: EVERYTHING)
    narrowed = collections.owed(updates, matcher, LookUpCovers(matcher).of)

    assert narrowed == everything
