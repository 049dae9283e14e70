"""Looking documents up: what is gone, what cannot be read, and what is too much at once, on a real server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.pushdown.lookups import EVERYTHING, Cover, LookUpCovers
from mtrigger.reading import lookups
from mtrigger.reading.lookups import Documents
from support.raw_bson import fields, old_binary, raw
from support.recording import rule_on
from support.samples import event_at

Document = dict[str, Any]


@pytest.fixture(scope="session")
def mongod(roomy_mongod: EmbeddedServer) -> EmbeddedServer:
    """Room for large documents."""
    return roomy_mongod


@pytest.fixture
async def documents(mongod: EmbeddedServer) -> AsyncIterator[Documents]:
    """Look-ups as the engine makes them."""
    async with connect(mongod.uri) as client:
        yield Documents(client)


def update(number: int, database: AsyncDatabase[Document], **updated: Any) -> ChangeEvent:
    """An update of the order `number` that came without its document."""
    namespace = f"{database.name}.orders"
    return event_at(number, operation="update", namespace=namespace, updated=updated)


def anything(event: ChangeEvent) -> Cover:
    return EVERYTHING


async def test_a_document_that_cannot_be_read_is_a_flaw_of_its_own_event(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """Those looked up with it are whole; its bytes are kept, and what can be read."""
    bad = raw(fields(_id=2, amount=2), old_binary("picture"))
    await database["orders"].insert_many([{"_id": 1, "amount": 1}, bad, {"_id": 3, "amount": 3}])

    one, two, three = await documents.fill_in([update(n, database, new=n) for n in (1, 2, 3)], anything)

    assert [one.document, three.document] == [{"_id": n, "amount": n, "new": n} for n in (1, 3)]
    assert (one.flaw, three.flaw) == ("", "")
    assert two.flaw == "the document, looked up: picture: invalid length or type code"
    assert (two.document, two.raw) == ({"_id": 2, "amount": 2, "new": 2}, bad.raw)


async def test_documents_that_are_large_together_are_looked_up_in_portions(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """In order, each once, and never more than memory should hold."""
    await database["orders"].insert_many([{"_id": n, "blob": "x" * 2_000_000} for n in range(50)])
    events = [update(n, database, new=n) for n in range(50)]

    done: list[ChangeEvent] = []
    while len(done) < 50:
        some = await documents.fill_in(events[len(done) :], anything)
        assert some
        assert sum(event.size for event in some) <= lookups.LARGEST_PORTION
        done += some

    assert [(event.key, event.image, len(event.document or ())) for event in done] == [
        ({"_id": n}, "look-up", 3) for n in range(50)
    ]


async def test_after_large_documents_many_small_ones_are_looked_up_together_again(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """One `find` for each document would be slow for ever."""
    large = [{"_id": n, "blob": "x" * 9_000_000} for n in range(6)]
    await database["orders"].insert_many([*large, *({"_id": n} for n in range(6, 400))])
    assert len(await documents.fill_in([update(n, database) for n in range(6)], anything)) <= 3

    small = [update(n, database) for n in range(6, 400)]
    sizes = []
    while small:
        done = await documents.fill_in(small, anything)
        sizes.append(len(done))
        small = small[len(done) :]

    assert max(sizes) > 100


async def test_a_document_larger_than_any_portion_is_looked_up_alone(
    documents: Documents, database: AsyncDatabase[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would never come."""
    monkeypatch.setattr(lookups, "LARGEST_PORTION", 1_000)
    await database["orders"].insert_many([{"_id": n, "blob": "x" * 5_000} for n in range(3)])
    events = [update(n, database) for n in range(3)]
    first = await documents.fill_in(events, anything)
    assert [event.image for event in first] == ["look-up"]


async def test_what_was_left_out_is_completed_and_what_is_gone_is_said(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """An insert or an update gets its document, a delete has none, a vanished one leaves its key."""
    await database["orders"].insert_one({"_id": 1, "amount": 5})
    namespace = f"{database.name}.orders"

    def stored_without(operation: str, key: int) -> ChangeEvent:
        event = event_at(1, operation=operation, namespace=namespace, key=key, updated={"new": 1})
        return replace(event, document=None, image="none", left_out=("document",))

    insert = await documents.complete(stored_without("insert", 1))
    update_ = await documents.complete(stored_without("update", 1))
    gone = await documents.complete(stored_without("replace", 9))
    delete = await documents.complete(stored_without("delete", 1))

    assert (insert.document, insert.image) == ({"_id": 1, "amount": 5, "new": 1}, "look-up")
    assert (update_.document, update_.left_out) == ({"_id": 1, "amount": 5, "new": 1}, ())
    assert (gone.document, gone.image) == ({"_id": 9, "new": 1}, "partial")
    assert (delete.document, delete.left_out) == (None, ("document",))
    assert {event.flaw for event in (insert, update_, gone, delete)} == {""}


async def test_an_event_that_has_its_document_is_not_looked_up(documents: Documents) -> None:
    """Not even asked for: its collection does not exist."""
    whole = event_at(1, document={"_id": 1})
    assert await documents.complete(whole) is whole


# -- only what rules may hold for ----------------------------------------------------------------------------


def covers(database: AsyncDatabase[Document], when: str) -> LookUpCovers:
    return LookUpCovers(Matcher([rule_on(f"{database.name}.orders", when=when)]))


async def test_documents_that_no_rule_can_hold_for_stay_where_they_are(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """Of a thousand updates ten concern big orders: the server sends ten documents, with one `find`."""
    await database["orders"].insert_many([{"_id": n, "amount": n % 100} for n in range(1_000)])
    updates = [update(n, database, status="packed") for n in range(0, 1_000, 2)]
    await database.command("profile", 2)

    found = await documents.fill_in(updates, covers(database, "amount >= 98").of)

    await database.command("profile", 0)
    (look_up,) = [look async for look in database["system.profile"].find({"op": "query"})]
    assert (look_up["nreturned"], look_up["docsExamined"]) == (10, 500)
    big = [event for event in found if event.document is not None]
    assert [event.document for event in big] == [
        {"_id": n, "amount": 98, "status": "packed"} for n in range(98, 1_000, 100)
    ]
    assert [event for event in found if event.document is None] == [
        event for event in updates if event.key["_id"] % 100 != 98
    ]


async def test_what_an_update_says_itself_is_not_asked_of_its_document(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """The amount may have changed again. What is gone is known by its key and its update."""
    await database["orders"].insert_many([{"_id": n, "amount": 1} for n in (1, 2)])
    updates = [update(1, database, amount=500), update(2, database, status="packed")]
    gone = [update(3, database, amount=500), update(4, database, status="packed")]

    found = await documents.fill_in([*updates, *gone], covers(database, "amount > 100").of)

    assert [event.document for event in found] == [
        {"_id": 1, "amount": 500},
        None,
        {"_id": 3, "amount": 500},
        None,
    ]
    assert [event.image for event in found] == ["look-up", "none", "partial", "none"]


async def test_a_document_that_cannot_be_read_is_found_by_what_the_server_can_read(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """A damaged picture keeps nobody from telling that the order is small."""
    large, small = (raw(fields(_id=n, amount=n), old_binary("picture")) for n in (500, 5))
    await database["orders"].insert_many([large, small])

    one, other = await documents.fill_in(
        [update(n, database, status="packed") for n in (500, 5)], covers(database, "amount > 100").of
    )

    assert one.flaw == "the document, looked up: picture: invalid length or type code"
    assert other == update(5, database, status="packed")


@pytest.mark.parametrize(
    "when", ["name < 'a'", "name == 'A'", "name in ['A', 'x']", "name >= 'a' or name == 'A'"]
)
async def test_a_collation_of_the_collection_hides_nothing(
    documents: Documents, database: AsyncDatabase[Document], when: str
) -> None:
    """Conditions compare strings by their bytes, in which "A" comes before "a"; in English it does not."""
    await database.create_collection("orders", collation={"locale": "en", "strength": 1})
    await database["orders"].insert_one({"_id": 1, "name": "A"})

    (found,) = await documents.fill_in([update(1, database, status="new")], covers(database, when).of)

    assert found.document == {"_id": 1, "name": "A", "status": "new"}
