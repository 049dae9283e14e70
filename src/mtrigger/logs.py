"""The log: text for people or JSON lines for machines, on standard error, without passwords.

Log lines carry what happened while mtrigger runs; what a command was asked for goes to standard output
instead.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from mtrigger.redaction import redact_uri

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {
    ord("\n"): "\\n",
    ord("\t"): "\t",
    ord("\r"): "\\r",
}


_labels: ContextVar[dict[str, object] | None] = ContextVar("labels", default=None)


def labelled(**labels: object) -> None:
    """Let every line of this task, and of the tasks it starts from now on, say this too: which process of
    several, which partition."""
    _labels.set({**(_labels.get() or {}), **labels})


def set_up_logging(form: str, level: str) -> None:
    """Send all log records from `level` ("debug", "info", "warning", "error") up to standard error, as `text`
    or as `json`.

    Libraries are heard from `warning` on, unless the level is `debug`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(number if number <= logging.DEBUG else max(number, logging.WARNING))
    logging.getLogger("mtrigger").setLevel(number)


class TextLines(logging.Formatter):
    """`2026-01-31T10:00:00Z info rule=big-order message`; control characters are escaped, so that a document
    cannot forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f"{name}={value} " for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname.lower():7} {extra}{record.getMessage()}".translate(
            _ESCAPED
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redact_uri(line)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what the record carries beside them."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_uri(record.getMessage()),
            **_extra(record),
        }
        if record.exc_info:
            entry["exception"] = redact_uri(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False, default=lambda value: redact_uri(str(value)))


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _extra(record: logging.LogRecord) -> dict[str, object]:
    own = {name: value for name, value in vars(record).items() if name not in _OWN}
    extra = {**(_labels.get() or {}), **own}
    return {name: redact_uri(value) if isinstance(value, str) else value for name, value in extra.items()}
