"""Log lines: one a record, readable by people or machines, without passwords."""

import json
import logging

from mtrigger.logs import JsonLines, TextLines


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("mtrigger.x", logging.WARNING, __file__, 1, message, arguments, None)
    made.created = 1_769_853_600.5
    made.__dict__.update(extra)
    return made


def test_a_text_line_tells_time_level_and_what_it_is_about() -> None:
    """In this order."""
    line = TextLines().format(record("sent %d", 3, rule="big-order"))
    assert line == "2026-01-31T10:00:00.500Z warning rule=big-order sent 3"


def test_a_json_line_is_one_object() -> None:
    """Even if the message has lines and the extra is no JSON."""
    line = JsonLines().format(record("a\nb ü", rule="big-order", at=object))
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["time"], entry["level"], entry["logger"]) == (
        "2026-01-31T10:00:00.500Z",
        "warning",
        "mtrigger.x",
    )
    assert (entry["message"], entry["rule"]) == ("a\nb ü", "big-order")


def test_passwords_are_not_logged() -> None:
    """Neither in the message, nor beside it, nor in a traceback."""
    uri = "mongodb://user:hunter2@host"
    try:
        raise ValueError(uri)
    except ValueError as error:
        made = record("cannot reach %s", uri, uri=uri)
        made.exc_info = (ValueError, error, error.__traceback__)
    for formatter in (TextLines(), JsonLines()):
        line = formatter.format(made)
        assert "hunter2" not in line
        assert "ValueError: mongodb://user:***@host" in line
