"""Shares: how the messages of a topic are divided among the members of a group. Pure.

Promises: messages of one key are in one share, whoever reads them; every share is for one member; and when
members come and go, no more shares move than must.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from mtrigger.document_keys import id_text

SHARES = 64
"""Shares of a group; so many members can have something to do."""

NOBODY = ""


def key_text(key: Any, message_id: Any) -> str:
    """What messages that must keep their order have in common: the key, or the id of one that has none."""
    return id_text(message_id if key is None else key)


def share_of(text: str) -> int:
    """The share of all messages with this `key_text`. The same in every process and release: positions in
    the database depend on it."""
    return zlib.crc32(text.encode()) % SHARES


def dealt(owners: Sequence[str], members: Collection[str]) -> tuple[str, ...]:
    """Who should own each share, when `owners` (NOBODY: nobody) do now and `members` are there.

    Their numbers of shares differ by one at most. Everybody who asks about the same owners and members gets
    the same answer; asked again while shares move there, it stays the same.
    """
    if not members:
        return (NOBODY,) * len(owners)
    counts = Counter(owners)
    ranked = sorted(members, key=lambda member: (-counts[member], member))
    each, more = divmod(len(owners), len(ranked))
    wanted = {member: each + (rank < more) for rank, member in enumerate(ranked)}
    dealt_to: list[str] = []
    for owner in owners:
        keeps = wanted.get(owner, 0) > 0
        if keeps:
            wanted[owner] -= 1
        dealt_to.append(owner if keeps else NOBODY)
    takers = iter([member for member in ranked for _ in range(wanted[member])])
    return tuple(owner or next(takers) for owner in dealt_to)
