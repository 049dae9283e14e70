"""Consuming a topic as a member of a group, message by message.

Promises: every message of the member's shares is handed out, of one key one after the other; once `ack` has
returned, it is never handed out to this group again; without crashes and stalls none is handed out twice.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from mtrigger.messages import Message
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.topics.bell import Bell, Listener
from mtrigger.topics.holdings import Handed, Holdings
from mtrigger.topics.membership import GroupMember
from mtrigger.topics.message_events import Group
from mtrigger.topics.mongo_groups import MongoGroups
from mtrigger.topics.mongo_log import MongoLog
from mtrigger.topics.opening import Opening
from mtrigger.topics.reading import POLL_SECONDS

AT_ONCE = 500
"""Messages that are read at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Received(Message):
    """A message that was handed out. Acknowledge it when it is done: until then nothing that follows of its
    key is handed out, and when this member ends it is handed out again."""

    member: GroupMember | None = field(default=None, repr=False)
    handed: Handed | None = field(default=None, repr=False)

    async def ack(self) -> None:
        """It is done. When this returns, that is durable, and it will not be handed out again.

        Acknowledgements that are awaited together (`asyncio.gather`) share one write. Raises AckLostError
        when the message is not this member's any more: it may be handed out again.
        """
        assert self.member is not None
        assert self.handed is not None
        await self.member.acknowledge(self.handed)

    def release(self) -> None:
        """It was not done: it is handed out again, here or at another member. Raises AckLostError when it is
        not this member's any more."""
        assert self.member is not None
        assert self.handed is not None
        self.member.release(self.handed)


class Consumer:
    """The messages of one member, for `async for`. Several tasks may iterate over it at the same time.

    It becomes a member with the first message that is asked for, and gives everything back when the block of
    `async with` ends, by `aclose`, or when its event loop ends.
    """

    def __init__(
        self,
        log: MongoLog,
        bell: Bell,
        groups: MongoGroups,
        group: Group,
        opening: Opening,
        *,
        prefetch: int,
        lease: float,
    ) -> None:
        self._log = log
        self._bell = bell
        self._group = group
        self._opening = opening
        self._holdings = Holdings(prefetch)
        self._changed = asyncio.Event()
        self._hungry = asyncio.Event()
        self._member = GroupMember(groups, group, opening, self._holdings, lease, self._tell)
        self._listener: Listener | None = None
        self._end_seen = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self._closed = False
        self._stopped = False

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed

    @property
    def shares(self) -> int:
        """How many of the group's 64 shares it has just now."""
        return len(self._holdings)

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Received]:
        return self

    async def __anext__(self) -> Received:
        """The next message, waited for. Raises what has ended this member: GroupError, PositionError, or an
        error of MongoDB that does not pass."""
        while not (self._closed or self._stopped):
            self._start()
            if self._failure is not None:
                raise self._failure
            changed = self._changed
            if self._member.sure and (handed := self._holdings.next()) is not None:
                self._hungry.set()
                return self._received(handed)
            await changed.wait()
        raise StopAsyncIteration

    def stop(self) -> None:
        """Hand out nothing more: all `async for` end, what is out may still be acknowledged. For handlers of
        signals: `loop.add_signal_handler(signal.SIGTERM, messages.stop)`."""
        self._stopped = True
        self._tell()

    async def aclose(self) -> None:
        """End: nothing more is handed out, acknowledgements that were asked for are stored, what is out is
        given back at once."""
        self._closed = True
        for task in self._tasks:
            if not task.cancelling():  # it may be giving back already
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tell()

    def _received(self, handed: Handed) -> Received:
        message = handed.message
        return Received(
            message.id,
            message.body,
            message.key,
            message.time,
            message.headers,
            message.source,
            message.offset,
            message.flaw,
            message.raw,
            self._member,
            handed,
        )

    def _start(self) -> None:
        if self._tasks or self._closed:
            return
        for work in (self._member.run(), self._read()):
            task = asyncio.create_task(work)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and self._failure is None:
            self._failure = error
            for other in self._tasks:
                other.cancel()
        elif not self._closed and self._failure is None:
            self._closed = True  # the event loop ends
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._hungry.set()
        behind = self._holdings.behind()
        if self._listener is not None and behind is not None and behind < self._end_seen:
            self._listener.ring()  # a share has come that is not read up to the end

    async def _read(self) -> None:
        """Read for as long as there is something to read and it is wanted; then wait for both."""
        with self._bell.listening(self._group.topic) as self._listener:
            while True:
                heed_cancellation()
                self._hungry.clear()
                behind, generation = self._holdings.behind(), self._member.generation
                if behind is None:
                    await self._hungry.wait()
                    continue
                page = await self._log.read(behind, AT_ONCE)
                if not page or page[0].offset > behind + 1:
                    await self._opening.check(behind)
                if generation != self._member.generation:
                    continue
                self._holdings.arrived(behind, page)
                if page:
                    self._tell()
                else:
                    self._end_seen = behind
                    await self._listener.wait(POLL_SECONDS)
