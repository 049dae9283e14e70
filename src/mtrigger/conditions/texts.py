"""Literals inside quotes: strings, dates, durations."""

import re
from datetime import UTC, datetime

from mtrigger.conditions.misuse import MisuseError

_ESCAPE = re.compile(
    r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|.)",
    re.DOTALL,
)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_DURATION = re.compile(r"(\d{1,12})(ms|s|m|h|d)", re.ASCII)
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def unquoted(text: str, start: int) -> str:
    r"""The string that a quoted literal means. \\ \" \' \n \r \t \uXXXX \u{X…} are escapes; before any other
    character the backslash stays, so that regular expressions read as they are ("^\d+$")."""

    def meant(match: re.Match[str]) -> str:
        body = match[1]
        if body[0] == "u" and len(body) > 1:
            if len(body) == 11:  # two halves, as JSON writes characters beyond 16 bits
                return chr(0x10000 + ((int(body[1:5], 16) & 0x3FF) << 10 | int(body[7:], 16) & 0x3FF))
            code = int(body[1:].strip("{}"), 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise MisuseError(f"there is no character {body}", start + 1 + match.start())
            return chr(code)
        return _ESCAPES.get(body, match[0])

    return _ESCAPE.sub(meant, text[1:-1])


def date(text: str, start: int) -> datetime:
    """A date in ISO 8601; without an offset it is in UTC."""
    expected = '"2026-01-31" or "2026-01-31T10:00:00+09:00"'
    if not _DATE.fullmatch(text):
        raise MisuseError(f'"{text}" is not a date', start, expected)
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MisuseError(f'"{text}" is not a date: {error}', start, expected) from error


def duration(text: str, start: int) -> int:
    """Milliseconds."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise MisuseError(f'"{text}" is not a duration', start, '"500ms", "30s", "5m", "2h" or "7d"')
    return int(match[1]) * _MILLISECONDS[match[2]]
