"""Looking documents up: what is gone, what cannot be read, and what is too much at once, on a real server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deployment.connecting import connect
from mtrigger.embedded import EmbeddedServer
from mtrigger.events import ChangeEvent
from mtrigger.reading import lookups
from mtrigger.reading.lookups import Documents
from support.raw_bson import fields, old_binary, raw
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


def wanted(event: ChangeEvent) -> bool:
    return True


async def test_a_document_that_cannot_be_read_is_a_flaw_of_its_own_event(
    documents: Documents, database: AsyncDatabase[Document]
) -> None:
    """Those looked up with it are whole; its bytes are kept, and what can be read."""
    bad = raw(fields(_id=2, amount=2), old_binary("picture"))
    await database["orders"].insert_many([{"_id": 1, "amount": 1}, bad, {"_id": 3, "amount": 3}])

    one, two, three = await documents.fill_in([update(n, database, new=n) for n in (1, 2, 3)], wanted)

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
        some = await documents.fill_in(events[len(done) :], wanted)
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
    assert len(await documents.fill_in([update(n, database) for n in range(6)], wanted)) <= 3

    small = [update(n, database) for n in range(6, 400)]
    sizes = []
    while small:
        done = await documents.fill_in(small, wanted)
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
    first = await documents.fill_in(events, wanted)
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
