"""Where reading by a number that only grows stands, so that a number that is committed late is not skipped.

Of two transactions the one with the lower number may commit last: whoever has read the higher number then
would never see the lower one. There is no time in the row that could tell. So rows are read at once, and each
stretch of numbers is read a second time when it has been known for the delay: by then every transaction that
took a number below its end has ended, if none takes longer than the delay. Rows are stored under their keys,
so the second reading adds only what was missing. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Stretch:
    """Numbers above `low` up to `high`, the last of which was there at the time `since` (of the database)."""

    low: int | None
    high: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """All numbers up to `reached` have been read, those in `early` too early to be sure of all of them.
    `ahead`: a number and a time at which it was there, taken before a long reading, so that only its first
    few seconds have to be read twice."""

    reached: int | None = None
    early: tuple[Stretch, ...] = ()
    ahead: tuple[int, datetime] | None = None

    def due(self, before: datetime) -> tuple[Stretch, ...]:
        """What can be read for good, by the time that lies the delay back: neighbours as one stretch."""
        found: list[Stretch] = []
        for stretch in self.early:
            if stretch.since > before:
                continue
            low = found.pop().low if found and found[-1].high == stretch.low else stretch.low
            found.append(replace(stretch, low=low))
        return tuple(found)

    def settled(self, stretch: Stretch) -> "Progress":
        """The stretch (as `due` gave it) has been read for good."""
        return replace(self, early=tuple(one for one in self.early if not _within(one, stretch)))

    def read(self, number: int, at: datetime, delay: timedelta) -> "Progress":
        """Read up to `number` by a statement that began `at`."""
        if not delay or (self.reached is not None and number <= self.reached):
            return replace(self, reached=number, early=self.early if delay else ())
        low, early = self.reached, list(self.early)
        if self.ahead is not None and (low is None or low < self.ahead[0]):
            known, since = self.ahead
            if at < since + delay:
                _append(early, Stretch(low, min(number, known), since))
            low = min(number, known)
        if low is None or low < number:
            _append(early, Stretch(low, number, at))
        return replace(self, reached=number, early=tuple(early))

    def as_place(self) -> dict[str, Any]:
        """For the position, which BSON holds."""
        place: dict[str, Any] = {}
        if self.reached is not None:
            place["number"] = _stored(self.reached)
        if self.early:
            place["early"] = [
                [_stored(one.low), _stored(one.high), one.since.isoformat()] for one in self.early
            ]
        if self.ahead is not None:
            place["ahead"] = [_stored(self.ahead[0]), self.ahead[1].isoformat()]
        return place

    @classmethod
    def from_place(cls, place: Mapping[str, Any]) -> "Progress":
        """What `as_place` made; the beginning, of a place that some other mode has left."""
        if "time" in place:
            return cls()
        ahead = place.get("ahead")
        return cls(
            reached=_number(place.get("number")),
            early=tuple(
                Stretch(_number(low), int(high), datetime.fromisoformat(since))
                for low, high, since in place.get("early", ())
            ),
            ahead=(int(ahead[0]), datetime.fromisoformat(ahead[1])) if ahead else None,
        )


def _append(early: list[Stretch], stretch: Stretch) -> None:
    """Neighbours that are due at the same time are one."""
    if early and early[-1].high == stretch.low and early[-1].since == stretch.since:
        stretch = replace(stretch, low=early.pop().low)
    early.append(stretch)


def _within(one: Stretch, whole: Stretch) -> bool:
    return one.high <= whole.high and (whole.low is None or (one.low is not None and one.low >= whole.low))


def _stored(number: int | None) -> int | str | None:
    """Numbers beyond BSON's 64 bits are texts."""
    return number if number is None or -(2**63) <= number < 2**63 else str(number)


def _number(stored: int | str | None) -> int | None:
    return None if stored is None else int(stored)
