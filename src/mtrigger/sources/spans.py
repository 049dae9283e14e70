"""Spans of time as texts, since BSON has none. Pure."""

from datetime import timedelta


def clock_text(value: timedelta) -> str:
    """A time of day as MySQL has it, `HH:MM:SS`: up to 838 hours, and below 0."""
    sign, span = _sign(value)
    minutes, seconds = divmod(span.days * 86400 + span.seconds, 60)
    fraction = f".{span.microseconds:06d}" if span.microseconds else ""
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}"


def span_text(value: timedelta) -> str:
    """As ISO 8601 has it: `P1DT2H3M4.5S`."""
    sign, span = _sign(value)
    minutes, seconds = divmod(span.seconds, 60)
    fraction = f".{span.microseconds:06d}".rstrip("0") if span.microseconds else ""
    return f"{sign}P{span.days}DT{minutes // 60}H{minutes % 60}M{seconds}{fraction}S"


def _sign(value: timedelta) -> tuple[str, timedelta]:
    return ("-", -value) if value < timedelta(0) else ("", value)
