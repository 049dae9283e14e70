"""Makes documents walk their path in a real MongoDB, each transition once, whatever the server does."""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from faults.oracle import PATH, DocumentKey, Transition

Client = AsyncMongoClient[dict[str, Any]]

WRITERS = 8
"""Documents that are written to at the same time."""

PATIENCE_SECONDS = 120.0
"""How long a write is tried while the set has no primary."""


def schedule(documents: Sequence[DocumentKey], seed: int) -> list[Transition]:
    """All transitions, shuffled, the steps of one document in order."""
    turns = [document for document in documents for _ in PATH]
    random.Random(seed).shuffle(turns)
    steps = {document: iter(PATH) for document in documents}
    return [Transition(document, next(steps[document])) for document in turns]


async def walk(client: Client, transitions: Sequence[Transition], seconds: float) -> None:
    """Do `transitions`, spread evenly over `seconds`."""
    began = time.monotonic()
    due = {
        transition: began + seconds * place / len(transitions) for place, transition in enumerate(transitions)
    }
    ways: list[list[Transition]] = [[] for _ in range(WRITERS)]
    for transition in transitions:
        ways[hash(transition.document) % WRITERS].append(transition)

    async def go(way: Iterable[Transition]) -> None:
        for transition in way:
            await asyncio.sleep(max(0.0, due[transition] - time.monotonic()))
            await take(client, transition)

    async with asyncio.TaskGroup() as tasks:
        for way in ways:
            tasks.create_task(go(way))


async def take(client: Client, transition: Transition) -> None:
    """Do one transition, once, however often it must be tried.

    Every write is conditional on the step before, and one that finds nothing to do is believed only when a
    majority has what an earlier try wrote: an election may have undone it.
    """
    (namespace, id_), step = transition
    database, _, name = namespace.partition(".")
    collection = client[database].get_collection(name, read_concern=ReadConcern("majority"))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if await _write(collection, id_, step) or await _is_at(collection, id_, step):
                return
        except (ConnectionFailure, OperationFailure) as error:
            if not _passing(error):
                raise
        assert time.monotonic() < deadline, f"{transition} could not be written"
        await asyncio.sleep(0.05)


async def _write(collection: AsyncCollection[dict[str, Any]], id_: int, step: int) -> bool:
    """Whether the document took the step now; False when it was not where the step begins."""
    match PATH[step]:
        case "insert":
            try:
                await collection.insert_one({"_id": id_, "step": step, "life": 1 if step == 1 else 2})
            except DuplicateKeyError:
                return False
            return True
        case "update":
            result = await collection.update_one({"_id": id_, "step": step - 1}, {"$set": {"step": step}})
            return result.matched_count == 1
        case _:
            return (await collection.delete_one({"_id": id_, "step": step - 1})).deleted_count == 1


async def _is_at(collection: AsyncCollection[dict[str, Any]], id_: int, step: int) -> bool:
    document = await collection.find_one({"_id": id_})
    return document is None if PATH[step] == "delete" else document is not None and document["step"] == step


def _passing(error: PyMongoError) -> bool:
    return isinstance(error, ConnectionFailure) or error.has_error_label("RetryableWriteError")
