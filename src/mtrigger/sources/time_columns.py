"""How the times by which a table is read are compared, kept in a place, and told as its version. Pure.

Promise: a time goes from the database into a place and back into the next statement without losing a
microsecond; a bound by the clock of the database is in the terms of the column.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

Style = Literal["zoned", "utc", "local", "text"]
"""With a zone; without, in UTC; without, in the zone of the source; a text of one form, in that zone."""

_TEXT_FORM = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A time column (or the first of several that is not null) of one table."""

    style: Style
    zone: ZoneInfo

    def bound(self, moment: datetime) -> Any:
        """A moment (UTC, with or without its zone) as a value to compare the column with."""
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if self.style == "zoned":
            return aware
        if self.style == "utc":
            return aware.replace(tzinfo=None)
        local = aware.astimezone(self.zone).replace(tzinfo=None)
        return self._text(local) if self.style == "text" else local

    def kept(self, value: Any) -> str | None:
        """What the database told, as text for a place; None for what is no time."""
        if self.style == "text":
            return value if isinstance(value, str) else None
        if not isinstance(value, datetime):
            return None
        return (value.astimezone(UTC) if value.tzinfo is not None else value).isoformat()

    def again(self, kept: str) -> Any:
        """What `kept` made, as a value to compare the column with, also when the column's type is another
        one by now."""
        if self.style == "text":
            return kept
        value = datetime.fromisoformat(kept)
        if (value.tzinfo is not None) == (self.style == "zoned"):
            return value
        zone = self.zone if self.style in ("local", "zoned") else UTC
        return self.bound(value.replace(tzinfo=zone) if value.tzinfo is None else value)

    def given(self, initial: datetime) -> Any:
        """A time of the source file: without a zone it is in the source's."""
        return self.bound(initial.replace(tzinfo=self.zone) if initial.tzinfo is None else initial)

    @staticmethod
    def _text(local: datetime) -> str:
        return local.strftime(_TEXT_FORM)[:-3]
