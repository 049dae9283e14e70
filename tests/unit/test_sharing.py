"""A fair share of the partitions: who asks whom for what, and when it comes to rest."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mtrigger.ownership.lease import Lease
from mtrigger.ownership.sharing import asks, gives, same

PROCESSES = [f"web-{number}/7/1/boot" for number in range(4)]


def held(owner: str, asked_by: str = "") -> Lease:
    """A lease that one run of `owner` holds and another process has asked for."""
    return Lease(f"{owner}/run", 1, 1, 15.0, asked_by=asked_by and f"{asked_by}/run")


def test_a_process_is_known_by_all_but_its_run() -> None:
    """Each lease is taken in a run of its own; what is no process at all is what it is."""
    assert same("web-1/7/1/boot/aaaa") == same("web-1/7/1/boot/bbbb") == "web-1/7/1/boot"
    assert same("somebody") == "somebody"


def test_who_has_two_fewer_asks_for_one_of_those_who_have_most() -> None:
    """One fewer is as fair as it gets."""
    mine, theirs = PROCESSES[:2]
    assert asks([held(theirs), held(theirs)], mine) == 1
    assert asks([held(theirs), held(mine), held(theirs)], mine) is None
    assert asks([held(mine), held(theirs), held(theirs), held(theirs)], mine) == 3


def test_nobody_asks_while_something_is_free() -> None:
    """It is taken without asking."""
    mine, theirs = PROCESSES[:2]
    gone = Lease(f"{theirs}/run", 1, 1, 15.0, released=True)
    assert asks([held(theirs), held(theirs), None], mine) is None
    assert asks([held(theirs), held(theirs), gone], mine) is None


def test_what_is_asked_for_is_given_only_while_that_is_fair() -> None:
    """An old request, or one of a process that has enough by now, moves nothing."""
    mine, theirs = PROCESSES[:2]
    assert gives([held(mine), held(mine, theirs)], mine) == 1
    assert gives([held(mine), held(mine)], mine) is None
    assert gives([held(mine), held(mine, theirs), held(theirs)], mine) is None
    assert gives([held(theirs, mine), held(theirs)], mine) is None


@given(st.lists(st.sampled_from(PROCESSES), min_size=1, max_size=12), st.randoms())
def test_it_comes_to_rest_with_shares_that_differ_by_one(owners: list[str], chance: object) -> None:
    """From any beginning, in a number of moves that the number of partitions bounds."""
    leases = [held(owner) for owner in owners]
    for _ in range(len(owners)):
        moves = [(process, index) for process in PROCESSES if (index := asks(leases, process)) is not None]
        if not moves:
            break
        process, index = chance.choice(moves)  # type: ignore[attr-defined]  # a `random.Random`
        giver = same(leases[index].owner)
        leases[index] = held(giver, process)
        assert gives(leases, giver) == index
        leases[index] = held(process)
    shares = Counter(same(lease.owner) for lease in leases)
    assert max(shares.values()) - min(shares[process] for process in PROCESSES) <= 1
