"""Which members of a group are dead, by the clock of the one who looks. Pure.

Promise: a member is taken for dead only when it was seen to write nothing for the whole of its lease time.
Time in which the looker itself could not look, because the database did not answer, counts for little: the
others could not write then, either.
"""

from collections.abc import Mapping

from mtrigger.topics.group_rows import Member

BEATS = 10
"""Signs of life within one lease time."""

MOST_UNSEEN = 3
"""Signs of life that may be missed between two looks; time beyond that does not count."""


class Silence:
    """For how long each member has been silent."""

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}
        self._still: dict[str, float] = {}
        self._answered_at = 0.0

    def heard(self, members: Mapping[str, Member], asked_at: float, answered_at: float) -> None:
        """What was seen of the members, when it was asked for, and when it was answered."""
        passed = max(0.0, asked_at - self._answered_at)
        still = {}
        for name, member in members.items():
            unmoved = self._counters.get(name) == member.counter
            most = MOST_UNSEEN * member.seconds / BEATS
            still[name] = self._still.get(name, 0.0) + min(passed, most) if unmoved else 0.0
        self._counters = {name: member.counter for name, member in members.items()}
        self._still = still
        self._answered_at = answered_at

    def dead(self, members: Mapping[str, Member], me: str) -> list[str]:
        """Those, other than `me`, that were silent for their lease time."""
        return [
            name for name, member in members.items() if name != me and self._still[name] >= member.seconds
        ]
