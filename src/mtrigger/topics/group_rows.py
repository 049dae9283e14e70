"""The row of a group of members, in the collection `topic_groups`: who is there, and where each share stands.

One row, so that whatever concerns several members is one write of it. A member counts its writes in its own
entry; by that others see that it lives, and by that a write that comes late is told from the ones after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson.int64 import Int64

from mtrigger.topics.message_events import Group
from mtrigger.topics.shares import NOBODY, SHARES

ROWS = "topic_groups"
"""The collection, in the state database."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a share is: all of its messages up to `position` are acknowledged, and behind that those with
    the offsets `above`, in order."""

    position: int
    above: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A share, its `owner` (NOBODY: none) and how far it is."""

    owner: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class Member:
    """One member: the text of its `processes.Process`, how often it has written, and for how many seconds it
    may be silent before others take what it has."""

    process: str
    counter: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group as it was read. `resets` says how often it was set to another place."""

    group: Group
    resets: int
    members: Mapping[str, Member]
    shares: tuple[ShareRow, ...]
    created_at: datetime | None = None

    @property
    def owners(self) -> tuple[str, ...]:
        """Who owns each share."""
        return tuple(share.owner for share in self.shares)

    @property
    def lowest(self) -> int:
        """The position of the share that is furthest behind."""
        return min(share.progress.position for share in self.shares)

    @property
    def highest(self) -> int:
        """The position of the share that is furthest."""
        return max(share.progress.position for share in self.shares)

    def owned_by(self, member: str) -> dict[int, Progress]:
        """The shares of `member`, by their numbers, and how far they are."""
        return {number: share.progress for number, share in enumerate(self.shares) if share.owner == member}


def read_row(row: Mapping[str, Any]) -> GroupRow:
    """The row as it was read."""
    members = row.get("members", {})
    return GroupRow(
        group=Group(row["topic"], row["group"]),
        resets=int(row["resets"]),
        members={
            name: Member(one["process"], int(one["counter"]), float(one["seconds"]))
            for name, one in members.items()
        },
        shares=tuple(
            ShareRow(one["owner"], Progress(int(one["position"]), tuple(map(int, one["above"]))))
            for one in row["shares"]
        ),
        created_at=row.get("created_at"),
    )


def new_row(group: Group, position: int) -> dict[str, Any]:
    """The row of a group that begins behind the offset `position`, without its id."""
    return {
        "topic": group.topic,
        "group": group.name,
        "resets": 0,
        "members": {},
        "shares": [
            {"number": number, "owner": NOBODY, **_fields(Progress(position))} for number in range(SHARES)
        ],
    }


def moved(position: int) -> dict[str, Any]:
    """The fields of every share once the group stands behind the offset `position`. Owners stay."""
    return {f"shares.$[].{name}": value for name, value in _fields(Progress(position)).items()}


def progressed(shares: Mapping[int, Progress]) -> dict[str, Any]:
    """The fields that say how far `shares`, by their numbers, are now."""
    return {
        f"shares.{number}.{name}": value
        for number, progress in shares.items()
        for name, value in _fields(progress).items()
    }


def among(numbers: Iterable[int], owner: str) -> Sequence[Mapping[str, Any]]:
    """The filter, for `shares.$[share]`, of those among `numbers` that `owner` has."""
    return [{"share.number": {"$in": list(numbers)}, "share.owner": owner}]


def _fields(progress: Progress) -> dict[str, Any]:
    return {"position": Int64(progress.position), "above": [Int64(offset) for offset in progress.above]}
