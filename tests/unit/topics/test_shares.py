"""Shares of a group: fair, with one owner each, and as few of them move as must."""

import random
from collections import Counter

import pytest
from bson import Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.topics.shares import NOBODY, SHARES, dealt, key_text, share_of

NAMES = [f"m{number}" for number in range(10)]
OWNERS = st.lists(st.sampled_from([NOBODY, *NAMES]), min_size=SHARES, max_size=SHARES)
MEMBERS = st.sets(st.sampled_from(NAMES))


@given(OWNERS, MEMBERS)
def test_every_share_is_dealt_to_a_member_and_all_have_as_many(owners: list[str], members: set[str]) -> None:
    """One more or less, and to nobody only where nobody is there."""
    found = dealt(owners, members)
    assert len(found) == len(owners)
    if not members:
        assert set(found) == {NOBODY}
        return
    counts = Counter(found)
    assert set(found) <= members
    assert max(counts[name] for name in members) - min(counts[name] for name in members) <= 1


@given(OWNERS, MEMBERS.filter(bool))
def test_no_more_shares_move_than_must(owners: list[str], members: set[str]) -> None:
    """Only what nobody who is there owns, and what one has beyond a fair share."""
    counts = sorted((Counter(owners)[name] for name in members), reverse=True)
    each, more = divmod(SHARES, len(members))
    fewest = SHARES - sum(min(count, each + (rank < more)) for rank, count in enumerate(counts))
    found = dealt(owners, members)
    assert sum(before != after for before, after in zip(owners, found, strict=True)) == fewest


@given(OWNERS, MEMBERS.filter(bool), st.randoms(use_true_random=False))
def test_members_that_act_on_it_one_after_the_other_move_no_share_twice(
    owners: list[str], members: set[str], chance: random.Random
) -> None:
    """In any order: each gives up what is dealt to others, and takes what nobody has and is dealt to it."""
    before, moves = list(owners), 0
    while tuple(owners) != dealt(owners, members):
        me = chance.choice(sorted(members))
        target = dealt(owners, members)
        for number, owner in enumerate(owners):
            if owner not in members and owner != NOBODY:
                owners[number] = NOBODY  # a member that is dead
            elif owner == me != target[number]:
                owners[number] = NOBODY
            elif owner == NOBODY and target[number] == me:
                owners[number] = me
                moves += 1
    assert moves == sum(now != then for now, then in zip(owners, before, strict=True))


@pytest.mark.parametrize(
    ("key", "message_id", "share"),
    [("eu", 1, 53), (None, "eu", 53), (7, 1, 56), (Int64(7), 1, 62), (None, ObjectId("6" * 24), 48)],
)
def test_the_share_of_a_key_never_changes(key: object, message_id: object, share: int) -> None:
    """Positions that are stored depend on it, in all releases to come."""
    assert share_of(key_text(key, message_id)) == share


def test_keys_spread_over_the_shares() -> None:
    """So that each member has something to do."""
    counts = Counter(share_of(key_text(f"customer-{number}", 1)) for number in range(6_400))
    assert len(counts) == SHARES
    assert max(counts.values()) < 150
