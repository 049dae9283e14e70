"""Topics for programs in Python: publish messages, read them, or consume them as a member of a group.

    async with mtrigger.topic("ORDERS") as orders:
        await orders.publish({"amount": 12000}, key="eu")
        async with orders.consume(group="pricing") as messages:
            async for message in messages:
                ...
                await message.ack()

Only MongoDB is needed, no `mtrigger watch`. Promises: what `publish` was given is on a majority when it
returns; for consuming see `topics.consumer`. Nothing is sent before the first message is published or asked
for.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.deployment.connecting import connect
from mtrigger.errors import SettingsError
from mtrigger.messages import Message, name_mistake
from mtrigger.settings import Settings
from mtrigger.stores.mongo_gaps import MongoGaps
from mtrigger.stores.steadiness import StateOutage
from mtrigger.topics.bell import Bell
from mtrigger.topics.consumer import Consumer, Received
from mtrigger.topics.log import From
from mtrigger.topics.message_events import Group
from mtrigger.topics.mongo_groups import MongoGroups
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.opening import Opening
from mtrigger.topics.reading import pages
from mtrigger.topics.registry import MongoTopics
from mtrigger.topics.starts import parse_start

__all__ = ["Consumer", "Message", "Received", "Topic", "topic"]

SHORTEST_LEASE, LONGEST_LEASE = 1.0, 3600.0
"""Seconds."""


def topic(name: str, *, uri: str = "", state_db: str = "") -> "Topic":
    """The topic `name` of the state database `state_db` of the deployment at `uri`.

    They default to MTRIGGER_STATE_URI or MTRIGGER_URI, and to MTRIGGER_STATE_DB or `mtrigger`. Raises
    SettingsError for a name that no topic can have, an address that is none, or no address at all.
    """
    environ = os.environ
    address = uri or environ.get("MTRIGGER_STATE_URI", "") or environ.get("MTRIGGER_URI", "")
    if not address:
        raise SettingsError(
            "say where the topic is: topic(name, uri='mongodb://…'), or the variable MTRIGGER_URI "
            "(MTRIGGER_STATE_URI, where the state is kept elsewhere)"
        )
    database = state_db or environ.get("MTRIGGER_STATE_DB", "") or "mtrigger"
    Settings(rules=Path(), state_uri=address, state_db=database)  # checks them
    if mistake := name_mistake(name):
        raise SettingsError(mistake)
    return Topic(name, address, database)


class Topic:
    """One topic, for one event loop. Close it when it is not used any more: `async with`, or `close`. (Where
    it is consumed, that also happens when the event loop ends.)

    Where MongoDB does not answer, everything waits until it does.
    """

    def __init__(self, name: str, uri: str, state_db: str) -> None:
        self.name = name
        self._uri = uri
        self._state_db = state_db
        self._client: AsyncMongoClient[dict[str, Any]] | None = None
        self._bell: Bell | None = None
        self._ringing: asyncio.Task[None] | None = None
        self._consumers: list[Consumer] = []
        self._made = False

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all consumers, and the connections."""
        if self._ringing is not None:
            self._ringing.cancel()
            await asyncio.wait([self._ringing])
            self._ringing = None
        await self._end()  # a task that is cancelled before its first step has done nothing

    async def _ring(self, bell: Bell) -> None:
        """Ring until `close`, or until the event loop ends; then nothing stays open."""
        try:
            await bell.run()
        finally:
            await self._end()

    async def _end(self) -> None:
        for consumer in self._consumers:
            await consumer.aclose()
        if self._client is not None:
            await self._client.close()
        self._consumers, self._client, self._bell = [], None, None

    async def publish(
        self,
        body: Any,
        *,
        key: Any = None,
        headers: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
        id: Any = None,  # noqa: A002 - the field's name
    ) -> Any:
        """Publish one message; returns its id.

        Messages of one `key` keep their order. With an `id` of the caller's own, publishing it once more adds
        nothing. Raises RefusedError, a PermanentError, when it cannot be stored.
        """
        message = Message(ObjectId() if id is None else id, body, key, None, headers or {}, source or {})
        await self.publish_many([message])
        return message.id

    async def publish_many(self, messages: Iterable[Message | Any]) -> int:
        """Publish messages, in their order; what is no `mtrigger.Message` is a body. Returns how many were
        new. Raises RefusedError when there are some that cannot be stored; all others are then."""
        whole = [one if isinstance(one, Message) else Message(ObjectId(), one) for one in messages]
        log = self._log()
        if not self._made:
            await log.open()
            self._made = True
        return await log.publish(whole)

    async def read(
        self, start: From | str = "beginning", *, follow: bool = False
    ) -> AsyncGenerator[Message, None]:
        """All messages from `start` on, as no member of any group; with `follow` also what comes later, for
        ever. Raises PositionError when there is no such start."""
        log = self._log()
        behind = await log.position(_read_start(start))
        async for page in pages(log, behind, self._rung() if follow else None):
            for message in page:
                yield message

    def consume(
        self,
        group: str,
        start: From | str = "beginning",
        *,
        prefetch: int = 100,
        lease: float = 10.0,
    ) -> Consumer:
        """The messages, as a member of `group`; all members of a group share them. A group that is new begins
        at `start`: "beginning", "now", a time (aware), "after:ID", "offset:N".

        `prefetch` messages are out at most before some are acknowledged. A member that is silent for `lease`
        seconds, because its process has stopped or its event loop is kept busy, loses what it has to others.
        Raises SettingsError for what cannot be.
        """
        if mistake := name_mistake(group):
            raise SettingsError(mistake.replace("a topic", "a group"))
        if prefetch < 1:
            raise SettingsError("prefetch is 1 at least")
        if not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
            raise SettingsError(f"lease is from {SHORTEST_LEASE:g} to {LONGEST_LEASE:g} seconds")
        state, named = self._state(), Group(self.name, group)
        groups, topics = MongoGroups(state), MongoTopics(state, StateOutage(None))
        opening = Opening(groups, topics, MongoGaps(state, StateOutage(None)), named, _read_start(start))
        consumer = Consumer(self._log(), self._rung(), groups, named, opening, prefetch=prefetch, lease=lease)
        self._consumers = [*(one for one in self._consumers if not one.closed), consumer]
        return consumer

    def _state(self) -> AsyncDatabase[dict[str, Any]]:
        if self._client is None:
            self._client = connect(self._uri)
        return self._client[self._state_db]

    def _log(self) -> MongoLog:
        return MongoLog(self._state(), self.name, StateOutage(None))

    def _rung(self) -> Bell:
        """The bell, for whoever is in an event loop."""
        if self._bell is None:
            self._bell = Bell(self._state().client, self._state_db)
        if self._ringing is None:
            self._ringing = asyncio.get_running_loop().create_task(self._ring(self._bell))
        return self._bell


def _read_start(start: From | str) -> From:
    if isinstance(start, str):
        try:
            return parse_start(start)
        except ValueError as error:
            raise SettingsError(str(error)) from error
    return start
