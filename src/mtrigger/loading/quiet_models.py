"""The keys of a rule file that say when a rule speaks and when it keeps quiet, as pydantic models.

Each has a `value()`: the same as the engine's own value (`mtrigger.quiet`).
"""

import re
from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mtrigger import quiet
from mtrigger.config_types import Count, OneOrMore, Timeout, closest

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])\s*-\s*([01]?[0-9]|2[0-4]):([0-5][0-9])")


def valid_path(path: str) -> str:
    """`path` if it is a dotted path into a document."""
    if path.startswith("$") or not all(path.split(".")):
        raise ValueError("a field is a dotted path, such as customer.address.city")
    return path


def valid_zone(name: str) -> str:
    """`name` if it is a time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        import zoneinfo

        near = closest(name, zoneinfo.available_timezones())
        hint = f"; did you mean `{near}`?" if near else ", such as Asia/Seoul or Europe/Berlin"
        raise ValueError(f"this is no time zone of the IANA database{hint}") from None
    return name


def valid_cron(text: str) -> str:
    """`text` if it is a cron expression of five fields, or of six that begin with the second, that will ever
    come true."""
    from datetime import datetime

    try:
        next(CronSim(text, datetime(2026, 1, 1)))  # noqa: DTZ001 - the zone makes no difference to what is valid
    except CronSimError as error:
        raise ValueError(
            f"this is no cron expression ({error}): minute, hour, day of month, month, day of week (six "
            "fields begin with the second)"
        ) from None
    except StopIteration:
        raise ValueError("this time never comes") from None
    return text


def _valid_days(text: str) -> str:
    days_of(text)
    return text


def days_of(text: str) -> frozenset[int]:
    """The days (0 is Monday) in `mon-fri`, `sat,sun` or `fri-mon`. Raises ValueError."""
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        try:
            start, end = _DAYS.index(first), _DAYS.index(last if dash else first)
        except ValueError:
            raise ValueError(f"days are written as mon-fri or sat,sun, with: {', '.join(_DAYS)}") from None
        found |= {day % 7 for day in range(start, (end if end >= start else end + 7) + 1)}
    return frozenset(found)


def _valid_hours(text: str) -> str:
    hours_of(text)
    return text


def hours_of(text: str) -> tuple[time, time]:
    """Begin and end of `09:00-18:00`; 24:00 is midnight. Raises ValueError."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise ValueError('hours are written as "09:00-18:00"')
    begin, end = (int(match[1]), int(match[2])), (int(match[3]), int(match[4]))
    if max(begin, end) > (24, 0) or begin == end:
        raise ValueError('hours are written as "09:00-18:00", and begin and end differ')
    return time(begin[0] % 24, begin[1]), time(end[0] % 24, end[1])


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


FieldPath = Annotated[str, Field(title="path"), AfterValidator(valid_path)]
Paths = OneOrMore[FieldPath]
_PER = "What has the same values there is a group with a window of its own; left out: the whole rule is one"
_ZONE = "An IANA time zone, such as Asia/Seoul"
Zone = Annotated[str, Field(title="time zone"), AfterValidator(valid_zone)]
Cron = Annotated[str, Field(title="cron expression"), AfterValidator(valid_cron)]


class Throttle(_Model):
    """At most one successful send in a time."""

    every: Timeout = Field(
        description="After a successful send, the next ones are left out for so long", examples=["1h"]
    )
    per: Paths = Field(default=(), description=_PER, examples=["customer.id"])

    def value(self) -> quiet.Throttle:
        """The same as the engine's own value."""
        return quiet.Throttle(self.every, self.per)


class Counting(_Model):
    """Fire for so many within a time."""

    at_least: Count = Field(description="Fire for the change that makes it so many; then begin anew")
    within: Timeout = Field(
        description="The length of the window, by the times of the changes", examples=["10m"]
    )
    per: Paths = Field(default=(), description=_PER, examples=["user"])

    def value(self) -> quiet.Count:
        """The same as the engine's own value."""
        return quiet.Count(self.at_least, self.within, self.per)


class Digest(_Model):
    """Gather what is owed, and send it together."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["every"]}, {"required": ["cron"]}]})

    every: Timeout | None = Field(
        default=None, description="Sent so long after the first one was gathered", examples=["15m"]
    )
    cron: Cron | None = Field(default=None, description="Sent at these times", examples=["0 9 * * mon-fri"])
    timezone: Zone = Field(default="UTC", description=f"{_ZONE}; for `cron`")
    per: Paths = Field(default=(), description=_PER, examples=["region"])
    max: Count = Field(default=500, description="So many documents are listed at most; all are counted")
    sums: Paths = Field(
        default=(), description="Numbers that are summed over all of them", examples=["amount"]
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> "Digest":
        if (self.every is None) == (self.cron is None):
            raise ValueError("say either `every` (15m) or `cron` (0 9 * * mon-fri)")
        return self

    def value(self) -> quiet.Digest:
        """The same as the engine's own value."""
        zone = ZoneInfo(self.timezone)
        return quiet.Digest(self.every, self.cron or "", zone, self.per, self.max, self.sums)


class Absent(_Model):
    """Fire when nothing has come."""

    for_: Timeout = Field(
        alias="for", description="Fire when nothing the rule wants has come for so long", examples=["30m"]
    )
    per: Paths = Field(
        default=(), description="Each group that has ever come is waited for by itself", examples=["device"]
    )

    def value(self) -> quiet.Absent:
        """The same as the engine's own value."""
        return quiet.Absent(self.for_, self.per)


class Active(_Model):
    """The days and hours a rule speaks in."""

    days: Annotated[str, AfterValidator(_valid_days)] = Field(
        default="mon-sun", description="From one day to another, or a list", examples=["mon-fri", "sat,sun"]
    )
    hours: Annotated[str, AfterValidator(_valid_hours)] = Field(
        default="00:00-24:00",
        description="From one time of day to another; over midnight, too",
        examples=["09:00-18:00", "22:00-06:00"],
    )
    timezone: Zone = Field(default="UTC", description=_ZONE)
    otherwise: Literal["hold", "skip"] = Field(
        default="hold", description="Outside the hours: `hold` (sent when they begin) or `skip` (left out)"
    )

    def value(self) -> quiet.Active:
        """The same as the engine's own value."""
        start, end = hours_of(self.hours)
        return quiet.Active(days_of(self.days), start, end, ZoneInfo(self.timezone), self.otherwise)


class PerDocument(_Model):
    """How often a rule may fire for one document."""

    at_most: Count = Field(description="So many times, not more")
    within: Timeout = Field(default=60.0, description="Within this time")


class LoopGuard(_Model):
    """When a rule that keeps itself busy is paused."""

    depth: Count = Field(
        default=quiet.LoopGuard().depth,
        description="Pause the rule when its own writes caused a change through so many links",
    )
    per_document: PerDocument | None = Field(
        default=None, description="Pause the rule when it fires more often than this for one document"
    )

    def value(self) -> quiet.LoopGuard:
        """The same as the engine's own value."""
        if self.per_document is None:
            return quiet.LoopGuard(self.depth)
        return quiet.LoopGuard(self.depth, self.per_document.at_most, self.per_document.within)
