"""What a member holds: order within a key, nothing twice, and a position that passes nothing that is open."""

import random
from collections import defaultdict

import pytest

from mtrigger.messages import Message
from mtrigger.topics.group_rows import Progress
from mtrigger.topics.holdings import MOST_ABOVE, MOST_WAITING, Handed, Holdings
from mtrigger.topics.shares import SHARES, key_text, share_of


def topic(count: int, keys: int) -> list[Message]:
    """Messages of a few keys in turn; of no key at all with 0."""
    return [Message(n, n, n % keys if keys else None, offset=n) for n in range(1, count + 1)]


def holding(prefetch: int = 100, shares: int = SHARES) -> Holdings:
    """The first `shares`, from the beginning."""
    holdings = Holdings(prefetch)
    for number in range(shares):
        holdings.take(number, Progress(0))
    return holdings


def read(holdings: Holdings, messages: list[Message], at_once: int = 100) -> bool:
    """Read on as a consumer does; whether there was anything."""
    behind = holdings.behind()
    page = [] if behind is None else messages[behind : behind + at_once]
    if behind is not None:
        holdings.arrived(behind, page)
    return bool(page)


def done(holdings: Holdings, handed: Handed) -> None:
    holdings.acknowledge(handed)
    holdings.wrote(holdings.changed([handed.share]))
    holdings.settled(handed)


def drained(holdings: Holdings, messages: list[Message]) -> list[int]:
    """All that is handed out when each is done before the next one."""
    found = []
    while True:
        handed = holdings.next()
        if handed is not None:
            found.append(handed.message.offset)
            done(holdings, handed)
        elif not read(holdings, messages):
            return found


def test_everything_is_handed_out_once_in_order() -> None:
    """When each is done before the next one is asked for."""
    assert drained(holding(), topic(300, keys=7)) == list(range(1, 301))


def test_one_of_a_key_is_out_at_a_time_and_others_go_on() -> None:
    """The next one only once the database knows."""
    messages = [Message(n, n, key, offset=n) for n, key in enumerate("aabb", start=1)]
    holdings = holding()
    read(holdings, messages)
    first, other = holdings.next(), holdings.next()
    assert first is not None
    assert other is not None
    assert (first.message.offset, other.message.offset) == (1, 3)
    assert holdings.next() is None
    holdings.acknowledge(first)
    assert holdings.next() is None
    holdings.settled(first)
    following = holdings.next()
    assert following is not None
    assert following.message.offset == 2


def test_what_is_read_while_one_of_its_key_is_out_waits() -> None:
    """Nothing else of the key had been waiting."""
    messages = topic(2, keys=1)
    holdings = holding()
    read(holdings, messages, at_once=1)
    first = holdings.next()
    assert first is not None
    read(holdings, messages, at_once=1)
    assert holdings.next() is None
    done(holdings, first)
    following = holdings.next()
    assert following is not None
    assert following.message.offset == 2


def test_no_more_are_out_than_was_asked_for() -> None:
    """However many there are."""
    holdings = holding(prefetch=5)
    read(holdings, topic(100, keys=0))
    out = [holdings.next() for _ in range(6)]
    assert [one.message.offset for one in out if one is not None] == [1, 2, 3, 4, 5]


def test_what_is_released_comes_again_before_what_follows() -> None:
    """And counts as out no longer."""
    holdings = holding(prefetch=1)
    read(holdings, topic(4, keys=1))
    first = holdings.next()
    assert first is not None
    holdings.release(first)
    assert first.lost
    assert drained(holdings, topic(4, keys=1)) == [1, 2, 3, 4]


def test_a_key_that_is_never_done_stops_its_share_alone() -> None:
    """What may be done behind it is bounded, and so is what waits for it."""
    slow = share_of(key_text("slow", 0))
    ids = [n for n in range(100_000) if share_of(key_text(None, n)) == slow][: MOST_ABOVE + 2 * MOST_WAITING]
    others = [n for n in range(600) if n not in set(ids)]
    bodies = sorted([*ids, *others])
    messages = [Message(0, 0, "slow", offset=1)]
    messages += [Message(n, n, offset=offset) for offset, n in enumerate(bodies, start=2)]
    holdings = holding()
    read(holdings, messages, 1)
    stuck = holdings.next()
    assert stuck is not None

    found = [messages[offset - 1].id for offset in drained(holdings, messages)]
    assert [n for n in found if n in set(ids)] == ids[:MOST_ABOVE]
    assert [n for n in found if n not in set(ids)] == others
    (share,) = [one for one in holdings if one.number == slow]
    assert share.progress().position == 0
    assert len(share.progress().above) == MOST_ABOVE
    assert MOST_WAITING <= share.waits < MOST_WAITING + 100

    done(holdings, stuck)
    found += [messages[offset - 1].id for offset in drained(holdings, messages)]
    assert sorted(found) == bodies
    assert holdings.behind() == len(messages)


def test_a_share_that_is_lost_takes_what_is_out_along() -> None:
    """It cannot be done any more, and the reason is known."""
    holdings = holding()
    read(holdings, topic(1, keys=0))
    handed = holdings.next()
    assert handed is not None
    holdings.drop_all("the group is gone")
    assert handed.lost == "the group is gone"
    holdings.settled(handed)
    assert len(holdings) == 0
    assert holdings.next() is None


class Walk:
    """Two members between whom shares go to and fro, at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.messages = topic(400, keys=self.chance.choice((0, 1, 5, 100)))
        self.members = [holding(prefetch=self.chance.choice((1, 7, 100))), Holdings(100)]
        self.free: dict[int, Progress] = {}
        self.out: list[tuple[Holdings, Handed]] = []
        self.acked: dict[str, list[int]] = defaultdict(list)

    def read(self, me: Holdings) -> None:
        read(me, self.messages, self.chance.choice((1, 20, 100)))

    def hand_out(self, me: Holdings) -> None:
        if (handed := me.next()) is not None:
            self.out.append((me, handed))

    def finish(self, _: Holdings) -> None:
        if self.out:
            holder, handed = self.out.pop(self.chance.randrange(len(self.out)))
            assert not handed.lost
            done(holder, handed)
            self.acked[handed.key].append(handed.message.offset)

    def end(self, me: Holdings) -> None:
        for share in self.chance.sample(list(me), min(len(me), 9)):
            me.end(share.number)

    def go_on(self, me: Holdings) -> None:
        for share in self.chance.sample(list(me), min(len(me), 5)):
            me.go_on(share.number)

    def exchange(self, me: Holdings) -> None:
        for share in me.drained():
            share.given = True
            self.free[share.number] = share.progress()
            me.drop(share.number, "given")
        for number in self.chance.sample(list(self.free), min(len(self.free), 20)):
            me.take(number, self.free.pop(number))

    def to_the_end(self) -> None:
        for number, progress in self.free.items():
            self.members[0].take(number, progress)
        for member in self.members:
            for share in member:
                member.go_on(share.number)
        while self.out:
            self.finish(self.members[0])
        for member in self.members:
            for offset in drained(member, self.messages):
                self.acked[key_text(self.messages[offset - 1].key, offset)].append(offset)


@pytest.mark.parametrize("seed", range(40))
def test_shares_that_go_from_hand_to_hand_lose_and_repeat_nothing(seed: int) -> None:
    """They are ended, kept after all, given and taken, with messages out meanwhile."""
    walk = Walk(seed)
    steps = [walk.read, walk.hand_out, walk.finish, walk.end, walk.go_on, walk.exchange]
    for _ in range(1_500):
        walk.chance.choice(steps)(walk.chance.choice(walk.members))
    walk.to_the_end()
    assert sorted(offset for offsets in walk.acked.values() for offset in offsets) == list(range(1, 401))
    assert all(offsets == sorted(offsets) for offsets in walk.acked.values())
