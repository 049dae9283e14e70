"""A rescan: the documents that are there, read in chunks as events, to be held against the rules.

It makes good what the stream can no longer tell, or begins with what was there before the first start. The
promise: it goes on where it was interrupted, and a document is owed nothing twice within one rescan, because
its event's identity depends only on the time noted at the beginning, its collection and its `_id`. Changes
made meanwhile come through the stream, which opens at the noted time afterwards.
"""

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from mtrigger.deployment.connecting import collections, oldest_time, reason
from mtrigger.document_keys import id_text
from mtrigger.errors import DeploymentError, MtriggerError, PositionError
from mtrigger.events import RESCAN, ChangeEvent
from mtrigger.faults import passes
from mtrigger.partitions import Partition
from mtrigger.reading.decoding import decoded
from mtrigger.rules import Rule
from mtrigger.stores.base import Rescan
from mtrigger.supervision.outages import Outage

log = logging.getLogger(__name__)

CHUNK = 500
"""Documents read at once; fewer when they are large, because a reply holds at most 16 MB."""

REPORT_EVERY = 10.0
"""Seconds between two lines of progress in the log, and between two looks at the start of the oplog."""

Client = AsyncMongoClient[dict[str, Any]]

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Documents as events, and how far the rescan is behind them."""

    events: tuple[ChangeEvent, ...]
    rescan: Rescan


async def begin(client: Client, rules: Iterable[Rule], state_database: str, gap: str = "") -> Rescan:
    """A rescan of every collection that some rule would hold against a document.

    Raises DeploymentError when the collections may not be listed.
    """
    asking = [rule for rule in rules if rule.wants(RESCAN)]
    patterns = {pattern.partition(".")[0] for rule in asking for pattern in rule.collections.patterns}
    try:
        found = await collections(client, patterns)
    except OperationFailure as error:
        raise DeploymentError(
            f"A rescan has to list the collections, and may not ({reason(error)}): grant the action "
            "`listCollections` (the role `read` holds it) on the databases of the rules."
        ) from error
    wanted = [name for name in found if any(rule.collections.include(name) for rule in asking)]
    return Rescan(
        tuple(sorted(name for name in wanted if not name.startswith(f"{state_database}."))), gap=gap
    )


async def chunks(
    client: Client, noted: Timestamp, rescan: Rescan, partition: Partition
) -> AsyncIterator[Chunk]:
    """The documents of `partition` that `rescan`, which began at `noted`, has still to deal with.

    Raises PositionError as soon as `noted` is seen to have fallen out of the oplog.
    """
    left = await _estimate(client, rescan.namespaces) // partition.count
    progress = _Progress(left + rescan.documents)
    await _check_history(client, noted)
    outage = Outage("The rescan")
    while rescan.namespaces:
        try:
            chunk = await read(client, noted, rescan, partition.holds("_id"))
            if progress.report(rescan):
                await _check_history(client, noted)
        except PyMongoError as error:
            if not passes(error):
                raise
            await outage.wait(error)
        else:
            outage.over()
            rescan = chunk.rescan
            yield chunk
    progress.end(rescan)


def lost_meanwhile(noted: Timestamp) -> PositionError:
    """The error for a rescan whose noted time has fallen out of the oplog."""
    return PositionError(
        f"The rescan began at {noted.as_datetime().isoformat()}, and the oplog no longer reaches back to "
        "that: changes made while the documents were being read cannot be seen any more. Make the oplog "
        "larger (`replSetResizeOplog`), then run `mtrigger checkpoint reset` and start again with "
        "`--start-from rescan`."
    )


async def _check_history(client: Client, noted: Timestamp) -> None:
    oldest = await oldest_time(client)
    if oldest is not None and oldest > noted:
        raise lost_meanwhile(noted)


async def read(client: Client, noted: Timestamp, rescan: Rescan, query: Mapping[str, Any]) -> Chunk:
    """The next documents of a rescan, those that are as `query` says."""
    namespace, *others = rescan.namespaces
    database, _, collection = namespace.partition(".")
    raw = await _find(client, namespace, query, rescan.after)
    if not raw:
        return Chunk((), replace(rescan, namespaces=tuple(others), after=()))
    events = []
    for place, document in enumerate(raw, rescan.documents + 1):
        whole = bytes(document.raw)
        read, flaw = decoded(whole, client.codec_options)
        if "_id" not in read:
            raise MtriggerError(f"The rescan cannot read the `_id` of a document in {namespace}: {flaw}.")
        event = ChangeEvent.of_document((database, collection), read, noted, place)
        events.append(replace(event, flaw=flaw, raw=whole if flaw else b"", size=len(whole)))
    last = events[-1].key["_id"]
    if rescan.after and id_text(last) == id_text(rescan.after[0]):
        raise MtriggerError(
            f"The rescan cannot get past a document in {namespace}: its `_id` cannot be read as it is stored "
            f"(as {last!r})."
        )
    return Chunk(tuple(events), replace(rescan, after=(last,), documents=rescan.documents + len(events)))


async def _find(
    client: Client, namespace: str, query: Mapping[str, Any], after: tuple[Any, ...]
) -> list[RawBSONDocument]:
    """The next documents of `namespace` that are as `query` says, in the order of `_id`, behind the one whose
    `_id` is in `after` (one or none)."""
    database, _, collection = namespace.partition(".")
    command: dict[str, Any] = {
        "find": collection,
        "filter": query,
        "sort": {"_id": 1},
        "hint": {"_id": 1},
        "limit": CHUNK,
        "batchSize": CHUNK,
        "singleBatch": True,
        "readConcern": {"level": "majority"},
        "comment": "mtrigger rescan",
    }
    if after:
        # `$gt` would pass over ids of other types; a bound on the index does not, but includes the last one.
        command["filter"] = {"$and": [{"_id": {"$ne": after[0]}}, query]}
        command["min"] = {"_id": after[0]}
    reply = await client[database].command(command, codec_options=_RAW)
    return list(reply["cursor"]["firstBatch"])


async def _estimate(client: Client, namespaces: Iterable[str]) -> int:
    """About how many documents there are; 0 where it may not be asked."""
    count = 0
    for namespace in namespaces:
        database, _, collection = namespace.partition(".")
        try:
            count += await client[database][collection].estimated_document_count()
        except PyMongoError:
            return 0  # only the percentage in the log depends on it
    return count


class _Progress:
    """Says now and then how far it is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = self._said = time.monotonic()
        self._first: int | None = None

    def report(self, rescan: Rescan) -> bool:
        """Write a line if it is time for one. Returns whether it was."""
        now = time.monotonic()
        if self._first is None:
            self._first = rescan.documents
            log.info(
                "rescan: holding the rules against %s documents%s",
                f"{'at most' if rescan.documents else 'about'} {self._total:,}" if self._total else "all",
                f", going on behind the first {rescan.documents:,}" if rescan.documents else "",
            )  # fmt: skip
        if now - self._said < REPORT_EVERY:
            return False
        self._said = now
        share = f"{min(99, 100 * rescan.documents // self._total)} %, " if self._total else ""
        rate = (rescan.documents - self._first) / (now - self._began)
        log.info("rescan: %s documents, %s%s/s", f"{rescan.documents:,}", share, f"{rate:,.0f}")
        return True

    def end(self, rescan: Rescan) -> None:
        """Say that it is over."""
        took = time.monotonic() - self._began
        log.info("rescan: done, %s documents; this part took %.1f s", f"{rescan.documents:,}", took)
