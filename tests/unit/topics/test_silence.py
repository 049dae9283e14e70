"""Which members of a group are taken for dead."""

from mtrigger.topics.group_rows import Member
from mtrigger.topics.silence import Silence


def members(**counters: int) -> dict[str, Member]:
    return {name: Member("", counter, 10.0) for name, counter in counters.items()}


def dead_after(*looks: tuple[float, dict[str, int]]) -> list[str]:
    """Who is dead after looks at these times, each answered at once."""
    silence = Silence()
    for at, counters in looks:
        silence.heard(members(**counters), at, at)
    return silence.dead(members(**looks[-1][1]), "me")


def test_a_member_is_dead_after_its_lease_time_without_a_write() -> None:
    """Not before, and not one that wrote meanwhile."""
    looks = [(float(at), {"still": 5, "alive": at}) for at in range(12)]
    assert dead_after(*looks[:10]) == []
    assert dead_after(*looks) == ["still"]


def test_one_write_begins_it_anew() -> None:
    """However late it comes."""
    looks = [(float(at), {"slow": at // 9}) for at in range(26)]
    assert dead_after(*looks) == []


def test_time_without_a_look_counts_for_little() -> None:
    """After an outage of the database nobody is dead: nobody could write."""
    assert dead_after((0, {"other": 1}), (60, {"other": 1})) == []
    looks = [(60.0 + at, {"other": 1}) for at in range(11)]
    assert dead_after((0, {"other": 1}), *looks) == ["other"]


def test_an_answer_that_takes_long_counts_from_when_it_came() -> None:
    """What it says may be as old as that."""
    silence = Silence()
    for number in range(11):
        silence.heard(members(other=1), number * 1.0, number * 1.0 + 0.9)
    assert silence.dead(members(other=1), "me") == []


def test_nobody_takes_itself_for_dead() -> None:
    """It would know."""
    looks = [(float(at), {"me": 1}) for at in range(20)]
    assert dead_after(*looks) == []
