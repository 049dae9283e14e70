"""What a member of a group holds: its shares, what was read of them, what is out and what is done. Pure.

Promises: of one key one message is out at a time, in the order of the topic; nothing that is acknowledged is
handed out again; and the position of a share never passes a message that is not acknowledged.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mtrigger.messages import Message
from mtrigger.topics.group_rows import Progress
from mtrigger.topics.shares import key_text, share_of

MOST_ABOVE = 200
"""Messages of a share that may be acknowledged behind one that is not; then the share waits for that one."""

MOST_WAITING = 500
"""Messages of a share that wait, from which on no more are read of it."""


@dataclass(slots=True, eq=False)
class Handed:
    """A message that is out. `acked`: it is done; `settled`: the database knows. `lost` says why it cannot be
    acknowledged any more, "" as long as it can."""

    message: Message
    key: str
    share: "Share"
    acked: bool = False
    settled: bool = False
    lost: str = ""


@dataclass(slots=True, eq=False)
class Share:
    """One share. It was read up to `read`; `open` are the offsets that were read and are not acknowledged, in
    order; `above` those that are acknowledged behind one that is not. `ending`: nothing more is handed out;
    `given`: the others may know already that it is free. `written` is what the database knows of it."""

    number: int
    read: int
    above: set[int]
    written: Progress
    open: deque[int] = field(default_factory=deque)
    waiting: dict[str, deque[Message]] = field(default_factory=dict)
    waits: int = 0
    out: dict[str, Handed] = field(default_factory=dict)
    held: list[tuple[int, str]] = field(default_factory=list)
    ending: bool = False
    given: bool = False

    def progress(self) -> Progress:
        """How far it is now."""
        while self.open and self.open[0] in self.above:
            self.open.popleft()
        position = self.open[0] - 1 if self.open else self.read
        self.above = {offset for offset in self.above if offset > position}
        return Progress(position, tuple(sorted(self.above)))


class Holdings:
    """The shares of one member, which hands out `prefetch` messages at most before some are acknowledged."""

    def __init__(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._shares: dict[int, Share] = {}
        self._ready: list[tuple[int, int, str]] = []
        self._out = 0

    def __contains__(self, number: int) -> bool:
        return number in self._shares

    def __iter__(self) -> Iterator[Share]:
        return iter(list(self._shares.values()))

    def __len__(self) -> int:
        return len(self._shares)

    def take(self, number: int, progress: Progress) -> None:
        """The share `number` is ours from now on, and so far."""
        self._shares[number] = Share(number, progress.position, set(progress.above), progress)

    def behind(self) -> int | None:
        """The offset behind which to read on; None while there is enough, or nothing to read."""
        if len(self._ready) >= self._prefetch:
            return None
        wanted = (share.read for share in self if not share.ending and share.waits < MOST_WAITING)
        return min(wanted, default=None)

    def arrived(self, behind: int, page: Sequence[Message]) -> None:
        """`page` is what follows the offset `behind` in the topic."""
        last = page[-1].offset if page else behind
        # A share that has come meanwhile, and begins before this page, would miss what lies between.
        reading = {
            share.number: share
            for share in self
            if share.read >= behind and not share.ending and share.waits < MOST_WAITING
        }
        for message in page:
            text = key_text(message.key, message.id)
            share = reading.get(share_of(text))
            if share is not None and message.offset > share.read and message.offset not in share.above:
                self._queue(share, text, message)
        for share in reading.values():
            share.read = max(share.read, last)

    def _queue(self, share: Share, text: str, message: Message) -> None:
        share.open.append(message.offset)
        out = share.out.get(text)
        if out is not None and out.message.offset == message.offset:
            return  # read once more, after the share was to be given up and then was not
        share.waits += 1
        queue = share.waiting.setdefault(text, deque())
        queue.append(message)
        if len(queue) == 1 and out is None:
            heapq.heappush(self._ready, (message.offset, share.number, text))

    def next(self) -> Handed | None:
        """The oldest message that may be handed out; None when there is none."""
        while self._ready and self._out < self._prefetch:
            _, number, text = heapq.heappop(self._ready)
            share = self._shares[number]
            queue = share.waiting[text]
            if len(share.above) >= MOST_ABOVE and share.open[0] != queue[0].offset:
                share.held.append((queue[0].offset, text))
                continue
            message = queue.popleft()
            share.waits -= 1
            if not queue:
                del share.waiting[text]
            handed = share.out[text] = Handed(message, text, share)
            self._out += 1
            return handed
        return None

    def acknowledge(self, handed: Handed) -> None:
        """It is done, and the database is told next. What follows of the key waits until it knows."""
        handed.acked = True
        handed.share.above.add(handed.message.offset)

    def settled(self, handed: Handed) -> None:
        """The database knows: what follows of its key may go on."""
        handed.settled = True
        self._return(handed)

    def release(self, handed: Handed) -> None:
        """It was not done: it is handed out again, here or where the share goes."""
        share = handed.share
        if not share.ending:
            share.waiting.setdefault(handed.key, deque()).appendleft(handed.message)
            share.waits += 1
        handed.lost = "it was released"
        self._return(handed)

    def _return(self, handed: Handed) -> None:
        share, text = handed.share, handed.key
        if share.out.pop(text, None) is None:
            return
        self._out -= 1
        if share.waiting.get(text):
            heapq.heappush(self._ready, (share.waiting[text][0].offset, share.number, text))
        if share.held and len(share.progress().above) < MOST_ABOVE:
            for offset, key in share.held:
                heapq.heappush(self._ready, (offset, share.number, key))
            share.held = []

    def end(self, number: int) -> None:
        """Hand out nothing more of the share `number`; what is out may be acknowledged still."""
        share = self._shares[number]
        if not share.ending:
            share.ending = True
            share.waiting, share.waits, share.held = {}, 0, []
            self._forget_ready(number)

    def go_on(self, number: int) -> None:
        """The share `number` is not to be given up after all: it is read again from where it stands."""
        share = self._shares[number]
        if share.ending and not share.given:
            share.read = share.progress().position
            share.open.clear()
            share.ending = False

    def drained(self) -> list[Share]:
        """The shares that are to be given up and of which nothing is out."""
        return [share for share in self if share.ending and not share.out]

    def drop(self, number: int, why: str) -> None:
        """The share `number` is not ours any more; what is out of it is lost: `why`."""
        share = self._shares.pop(number)
        for handed in share.out.values():
            handed.lost = why
        self._out -= len(share.out)
        share.out = {}
        self._forget_ready(number)

    def drop_all(self, why: str) -> None:
        """Nothing is ours any more."""
        for number in list(self._shares):
            self.drop(number, why)

    def _forget_ready(self, number: int) -> None:
        self._ready = [entry for entry in self._ready if entry[1] != number]
        heapq.heapify(self._ready)

    def changed(self, only: Iterable[Share] | None = None) -> dict[int, Progress]:
        """How far shares (`only` these) are, other than the database knows. Those that are given up already
        are not ours to write."""
        now = {
            share.number: share.progress() for share in (self if only is None else only) if not share.given
        }
        return {
            number: progress for number, progress in now.items() if progress != self._shares[number].written
        }

    def wrote(self, shares: Mapping[int, Progress]) -> None:
        """The database knows that `shares` are so far."""
        for number, progress in shares.items():
            self._shares[number].written = progress
