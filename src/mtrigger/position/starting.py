"""Where a start begins, and when starting again has become pointless.

Promises: the first position is durable before the stream opens; a position that was lost is not replaced by
"now" in silence; and a process that a supervisor starts again and again, and that never gets any further,
ends with 78 instead.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from mtrigger.deployment.connecting import Deployment, current_time, same_cluster, starting_time
from mtrigger.errors import MtriggerError, OwnershipError, PositionError
from mtrigger.partitions import STREAM, Partition, partitions
from mtrigger.position import rescanning
from mtrigger.resume_tokens import cluster_time_of
from mtrigger.rules import Rule
from mtrigger.settings import Settings, parse_start_from
from mtrigger.stores.base import Checkpoint, Positions, Store
from mtrigger.stores.gaps import Gap
from mtrigger.supervision.supervising import PartError
from mtrigger.topics.message_events import Group, Place

log = logging.getLogger(__name__)

MOST_STARTS = 3
"""Starts in a row that fail at one position before an operator is asked."""

MOST_SILENT_STARTS = 10
"""The same for starts that end without a word. More, because a process that is killed says nothing of the
position: only one that is killed again and again, before it has dealt with anything, does."""

FORGET_SECONDS = 5.0
"""How long the end of a process waits to write that its start was no failure."""

Client = AsyncMongoClient[dict[str, Any]]


class LayoutChangedError(Exception):
    """The stream is divided in another way than this process was about to watch it."""


@dataclass(frozen=True, slots=True)
class Starting:
    """Where the partitions of a process start: at positions in `store`, for the stream of `client`."""

    settings: Settings
    client: Client
    store: Store
    deployment: Deployment

    async def place(self, partition: Partition, rules: Iterable[Rule]) -> Checkpoint:
        """The stored position of `partition`, or a first one, written before the stream opens: a crash before
        the first event must not start from a later "now". `rules` are those that a rescan is for.

        Raises PositionError when an operator has to decide, LayoutChangedError when there is no such
        partition.
        """
        # In this order: whoever changes the layout gives the old positions back after that.
        stored = await self.store.checkpoint(partition.name)
        layout = await self.store.layouts.current()
        if layout is not None and layout.partitions != partition.count:
            raise LayoutChangedError
        if stored is None:
            beside = await beside_others(self.store, partition)
            if beside is not None:
                return await self.store.begin(beside)
            return await self._begin(partition, rules)
        await self._check(stored)
        return stored

    async def _check(self, stored: Checkpoint) -> None:
        """Raises PositionError when `stored` cannot be a position of this deployment."""
        if not same_cluster(stored.cluster_id, self.deployment.cluster_id):
            raise PositionError(
                f"The stored position belongs to another deployment ({stored.cluster_id}) than this one "
                f"({self.deployment.cluster_id}). If --uri is right and everything is to begin from now, run "
                "`mtrigger checkpoint reset` and start once with `--start-from now`; else mend --uri or "
                "--state-uri."
            )
        time = stored.cluster_time
        if time > self.deployment.now and time > await current_time(self.client):
            raise PositionError(
                f"The stored position, {_iso(time)}, lies in the future of this deployment: was it restored "
                "from a backup? Changes until then would not be seen. Set the position with `mtrigger "
                "checkpoint set --time …` to the time of the backup (or now), and start again."
            )

    async def _begin(self, partition: Partition, rules: Iterable[Rule]) -> Checkpoint:
        """Write the first position: of every partition, before the first of them reads."""
        start_from = parse_start_from(self.settings.start_from)
        # Not the time of this process's start: it may have been standing by since then.
        start = await starting_time(self.client, start_from, await current_time(self.client))
        newest = await self.store.newest(STREAM)
        if newest:
            await self._begin_again(newest, start)
        rescan = None
        if start_from == "rescan":
            rescan = await rescanning.begin(self.client, rules, self.settings.state_db)
        now = datetime.now(UTC)
        first = Checkpoint(partition.name, None, start, self.deployment.cluster_id, "", now, rescan=rescan)
        for other in partitions(partition.count):
            if other != partition:
                await self.store.begin(replace(first, stream=other.name))
        return await self.store.begin(first)

    async def _begin_again(self, newest: str, start: Timestamp) -> None:
        """There was a position before, and it is missing: only somebody who says so may begin afresh."""
        try:
            last: Timestamp | None = cluster_time_of(newest)
        except ValueError:
            last = None  # a delivery whose event was no change
        since = f" (the last one for a change at {_iso(last)})" if last is not None else ""
        if not self.settings.afresh:
            time = _iso(last) if last is not None else "…"
            raise PositionError(
                f"There is no position of the stream in {self.settings.state_db!r}, but there are "
                f"deliveries{since}: somebody has removed it. To begin now all the same, start once with "
                f"`--start-from now`; to go on where it was, run `mtrigger checkpoint set --time {time}` and "
                "start again."
            )
        if last is not None and start > last:
            why = f"the position was missing, and it began afresh (--start-from {self.settings.start_from})"
            rescanned = self.settings.start_from == "rescan"
            gap = Gap(STREAM, last, start, why, "operator", datetime.now(UTC), rescanned)
            await self.store.gaps.record(gap)


async def beside_others(store: Store, partition: Partition) -> Checkpoint | None:
    """Where a partition without a position begins when others of its layout have one: where the earliest of
    them stands, with what it has still to rescan. None when there is no other.

    A first start that was killed has written some positions and not the others.
    """
    stored = [await store.checkpoint(other.name) for other in partitions(partition.count)]
    others = [found for found in stored if found is not None]
    if not others:
        return None
    earliest = min(others, key=lambda found: found.cluster_time)
    return replace(earliest, stream=partition.name, token=None, pipeline_hash="", previous=(), lease=None)


@asynccontextmanager
async def counted(positions: Positions, checkpoint: Checkpoint) -> AsyncIterator[None]:
    """The time from a start to its end, which counts as a failure unless the position moves on, the end is in
    good order, or an error says what an operator has to do.

    Raises PositionError instead of the third failure in a row, and at a start after ten that just ended
    (killed, or out of memory). After that it counts from nothing.
    """
    stream, since = checkpoint.stream, _shown(checkpoint)
    starts = await positions.note_start(stream)
    if starts > MOST_SILENT_STARTS:
        await positions.forget_starts(stream)
        raise PositionError(
            f"The last {MOST_SILENT_STARTS} starts ended at the position {since} without getting further and "
            "without a word: were they killed, or out of memory? Starting again tries it once more; to go "
            f"past what is there, `{_setting(stream)}` sets a later position."
        )
    try:
        yield
    except Exception as error:
        failed = not isinstance(error, MtriggerError) or isinstance(error, PartError) or error.exit_code == 1
        if failed and starts < MOST_STARTS:
            raise
        if not isinstance(error, OwnershipError):  # then nothing may be written any more
            await _forget(positions, stream)
        if not failed:
            raise
        raise PositionError(
            f"This was the {_ordinal(starts)} start in a row that failed at the position {since} without "
            f"getting any further: {error} Mend that and start again; or, to go past it, set a later "
            f"position with `{_setting(stream)}`: what comes before it is not seen."
        ) from error
    await _forget(positions, stream)


def _shown(checkpoint: Checkpoint) -> str:
    """A position for people."""
    place = Place.of_token(checkpoint.token)
    return _iso(checkpoint.cluster_time) if place is None else f"{place.offset} of {checkpoint.stream}"


def _setting(stream: str) -> str:
    """The command that sets the position of `stream`."""
    try:
        group = Group.named(stream)
    except ValueError:
        return "mtrigger checkpoint set --time …"
    return f"mtrigger topic reset {group.topic} {group.name} --to …"


async def _forget(positions: Positions, stream: str) -> None:
    try:
        async with asyncio.timeout(FORGET_SECONDS):
            await positions.forget_starts(stream)
    except TimeoutError:
        log.warning("The state database does not answer: this start will count as a failed one.")


def _ordinal(number: int) -> str:
    return {3: "third"}.get(number, f"{number}th")


def _iso(time: Timestamp) -> str:
    return time.as_datetime().astimezone(UTC).isoformat().replace("+00:00", "Z")
