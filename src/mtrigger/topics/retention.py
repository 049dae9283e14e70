"""How long messages are kept: which of the oldest may go. Pure.

The age of a message counts from when it was numbered, by the server's clock, and not from its `time`: that is
the producer's word, and an old order that is published today has been in the topic since today. A topic
remembers at a few moments, its marks, what came next then; whatever lies below a mark is at least as old as
the mark. So a message is never swept too early, and late by a small share of the topic's age at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MOST_MARKS = 128
"""Marks that are kept; beyond that every second one is left out."""

_SHARES = 64
"""A new mark is worth it when so small a share of the time that marks span has passed."""

SHORTEST_BETWEEN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Mark:
    """At the moment `at` (aware), `next` was the next offset."""

    at: datetime
    next: int


def marked(marks: Sequence[Mark], now: datetime, following: int) -> tuple[Mark, ...]:
    """`marks`, oldest first, and that `following` is the next offset `now`, if that tells something new."""
    if not marks:
        return (Mark(now, following),)
    since = now - marks[-1].at
    if since < max(SHORTEST_BETWEEN, (now - marks[0].at) / _SHARES):
        return tuple(marks)
    if following == marks[-1].next:
        return tuple(marks)  # nothing has come since: what lies below is as old as the last mark says
    more = (*marks, Mark(now, following))
    return more if len(more) <= MOST_MARKS else (*more[:-1:2], more[-1])


def first_kept(marks: Sequence[Mark], now: datetime, seconds: float | None) -> int:
    """The lowest offset that is not older than `seconds` (None: all are kept) for certain."""
    if seconds is None:
        return 1
    old = [mark.next for mark in marks if mark.at <= now - timedelta(seconds=seconds)]
    return max(old, default=1)


def still_needed(marks: Sequence[Mark], first: int) -> tuple[Mark, ...]:
    """The marks that may still tell what goes, once everything below `first` is gone."""
    return tuple(mark for mark in marks if mark.next > first)


def surplus(sizes: Sequence[tuple[int, int]], too_much: int) -> int:
    """How many of the oldest messages, given as (offset, bytes), must go for `too_much` bytes to be gone: the
    lowest offset that stays; 1 when none has to go."""
    first, gone = 1, 0
    for offset, size in sizes:
        if gone >= too_much:
            break
        first, gone = offset + 1, gone + size
    return first
