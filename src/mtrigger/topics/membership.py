"""A member of a group: it says that it lives, takes shares and gives them up, and stores what is done.

All of its writes come from one loop, one after the other, so that none overtakes another; acknowledgements
that come together share one. Promises: a share is given up only when nothing of it is out; a member that was
not heard of for the lease time is taken for dead, by each one's own clock, and one that cannot be sure of not
being taken for dead hands out nothing.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from pymongo.errors import PyMongoError

from mtrigger.errors import AckLostError
from mtrigger.faults import passes
from mtrigger.ownership.lease import RENEWALS
from mtrigger.ownership.processes import is_gone, shown, this_process
from mtrigger.redaction import brief
from mtrigger.supervision.outages import Outage, heed_cancellation
from mtrigger.supervision.steady_time import clock
from mtrigger.topics.group_rows import GroupRow, Member
from mtrigger.topics.holdings import Handed, Holdings, Share
from mtrigger.topics.message_events import Group
from mtrigger.topics.mongo_groups import Membership, MongoGroups
from mtrigger.topics.opening import Opening
from mtrigger.topics.shares import NOBODY, dealt
from mtrigger.topics.silence import BEATS, Silence

log = logging.getLogger(__name__)

LEAVING_SECONDS = 5.0
"""How long giving the shares back may take at the end."""

_STALLED = "this member was silent for longer than its lease, and its share is another one's now"
_RESET = "the group was set to another place meanwhile"
_GONE = "the group was deleted meanwhile"
_CLOSED = "the consumer was closed"


class GroupMember:
    """This consumer as a member of `group`. `changed` is called whenever there may be more to hand out or to
    read. `run` is the loop: it joins, takes turns, and leaves."""

    def __init__(
        self,
        groups: MongoGroups,
        group: Group,
        opening: Opening,
        holdings: Holdings,
        seconds: float,
        changed: Callable[[], None],
    ) -> None:
        self._groups = groups
        self._group = group
        self._opening = opening
        self._holdings = holdings
        self._seconds = seconds
        self._changed = changed
        self._process = str(this_process())
        self._mine = Membership(secrets.token_hex(4), 0)
        self._sent_at = float("-inf")
        self._beat_at = 0.0
        self._acks: list[Handed] = []
        self._wake = asyncio.Event()
        self._told = asyncio.Event()
        self._silence = Silence()
        self._outage = Outage(f"The group {group}", longest=1.0)
        self.generation = 0
        """Grows whenever everything this member had is lost."""

    @property
    def sure(self) -> bool:
        """Whether nobody can have taken this member for dead."""
        return clock() - self._sent_at < self._seconds * 2 / RENEWALS

    async def acknowledge(self, handed: Handed) -> None:
        """Return once it is stored that it is done. Raises AckLostError."""
        if not (handed.lost or handed.acked):
            self._holdings.acknowledge(handed)
            self._acks.append(handed)
            self._wake.set()
        while not (handed.lost or handed.settled):
            await self._told.wait()
        if handed.lost:
            raise AckLostError(_sentence(handed, self._group))

    def release(self, handed: Handed) -> None:
        """It was not done. Raises AckLostError."""
        if handed.lost or handed.acked:
            raise AckLostError(_sentence(handed, self._group))
        self._holdings.release(handed)
        self._tell()
        self._wake.set()

    async def run(self) -> None:
        """Be a member until it is cancelled, and give everything back then."""
        try:
            await self._steadily(self.join)
            while True:
                self._wake.clear()
                await asyncio.sleep(0)  # acknowledgements of the same moment go together
                await self._steadily(self.turn)
                await self._wait()
        finally:
            await self.leave()

    async def _steadily(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take `step`, again and again while what fails may pass."""
        while True:
            heed_cancellation()
            try:
                await step()
            except (PyMongoError, TimeoutError) as error:
                if isinstance(error, PyMongoError) and not passes(error):
                    raise
                await self._outage.wait(error)
            else:
                self._outage.over()
                return

    async def _wait(self) -> None:
        """Return when there is something to write, or it is time for a sign of life."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._beat_at - clock()):
                await self._wake.wait()

    async def join(self) -> None:
        """Become a member, as a new one."""
        row = await self._opening.row()
        if await self._opening.mend(row):
            row = await self._opening.row()
        sent_at, me = clock(), self._mine.member
        joined = await self._groups.join(self._group, me, Member(self._process, 0, self._seconds))
        if joined is None:
            raise TimeoutError("the group was deleted in this very moment")  # begin anew
        self._mine, self._sent_at = Membership(me, joined.resets), sent_at
        self._beat_at = 0.0
        self._silence = Silence()

    async def turn(self) -> None:
        """One write, if there is something to write."""
        beat, acks, drained = clock() >= self._beat_at, list(self._acks), self._holdings.drained()
        if not (beat or acks or drained):
            return
        touched = None if beat else {*drained, *(handed.share for handed in acks)}
        shares = self._holdings.changed(touched)
        sent_at = clock()
        async with asyncio.timeout(self._seconds / RENEWALS):
            row = await self._groups.write(self._group, self._next(), shares)
        if row is None:
            await self._lost()
            return
        self._sent_at = sent_at
        self._holdings.wrote(shares)
        del self._acks[: len(acks)]
        for handed in acks:
            self._holdings.settled(handed)
        self._reconcile(row)
        if beat:
            self._beat_at = sent_at + self._seconds / BEATS
            await self._look(row, sent_at)
        if drained:
            await self._give_up(drained)
        self._tell()

    async def _give_up(self, shares: Sequence[Share]) -> None:
        """Let others have `shares`, which are written as they stand in the end."""
        mine = [share for share in shares if share.number in self._holdings and share.ending]
        for share in mine:
            share.given = True  # whether or not a reply comes: somebody else may have it from now on
        row = await self._groups.give_up(self._group, self._next(), [share.number for share in mine])
        if row is not None:
            self._reconcile(row)

    def _next(self) -> Membership:
        """What the next write is fenced by."""
        self._mine = replace(self._mine, count=self._mine.count + 1)
        return self._mine

    def _tell(self) -> None:
        """Wake whoever waits for something that may have come true."""
        told, self._told = self._told, asyncio.Event()
        told.set()
        self._changed()

    def _reconcile(self, row: GroupRow) -> None:
        """Hold what is ours in `row`, and nothing else."""
        mine = row.owned_by(self._mine.member)
        for share in self._holdings:
            if share.number not in mine:
                self._holdings.drop(share.number, _STALLED)
        for number, progress in mine.items():
            if number not in self._holdings:
                self._holdings.take(number, progress)

    async def _look(self, row: GroupRow, asked_at: float) -> None:
        """See who is there, and take or give up shares accordingly."""
        me = self._mine.member
        self._silence.heard(row.members, asked_at, clock())
        dead = {
            *self._silence.dead(row.members, me),
            *(name for name, one in row.members.items() if name != me and is_gone(one.process)),
        }
        for name in dead:
            if await self._groups.remove(self._group, name, row.members[name].counter):
                log.warning(
                    "a member of the group %s, %s, is gone: its shares are dealt out",
                    self._group,
                    shown(row.members[name].process),
                )
                self._beat_at = 0.0
        there = [name for name in row.members if name not in dead]
        wanted = []
        for number, (owner, target) in enumerate(zip(row.owners, dealt(row.owners, there), strict=True)):
            if owner == me and target != me:
                self._holdings.end(number)
            elif owner == me:
                self._holdings.go_on(number)
            elif owner == NOBODY and target == me:
                wanted.append(number)
        if wanted:
            taken = await self._groups.take(self._group, self._next(), wanted)
            if taken is not None:
                self._reconcile(taken)
        if self._holdings.drained():
            self._wake.set()

    async def _lost(self) -> None:
        """This member is none any more: what it had is lost, and it joins anew."""
        self._sent_at = float("-inf")
        row = await self._groups.find(self._group)
        if row is None:
            why = _GONE
        else:
            why = _STALLED if row.resets == self._mine.resets else _RESET
            await self._groups.remove(self._group, self._mine.member)
        log.warning("a member of the group %s begins anew: %s", self._group, why)
        self._forget(why)
        self._mine = Membership(secrets.token_hex(4), 0)
        await self.join()

    def _forget(self, why: str) -> None:
        self.generation += 1
        self._holdings.drop_all(why)
        self._acks.clear()
        self._tell()

    async def leave(self) -> None:
        """Give everything back. Where that fails, the others find out by themselves."""
        self._sent_at = float("-inf")
        acks, shares = list(self._acks), self._holdings.changed()
        try:
            async with asyncio.timeout(LEAVING_SECONDS):
                if await self._groups.write(self._group, self._next(), shares) is not None:
                    for handed in acks:
                        self._holdings.settled(handed)
                await self._groups.remove(self._group, self._mine.member)
        except (PyMongoError, TimeoutError) as error:
            log.warning("the group %s was left without a word: %s", self._group, brief(error))
        self._forget(_CLOSED)


def _sentence(handed: Handed, group: Group) -> str:
    return (
        f"the message {handed.message.id!r} of the topic {group.topic} cannot be acknowledged: "
        f"{handed.lost or 'it was acknowledged before'}. It may be handed out again"
    )
