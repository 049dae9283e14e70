"""How one `watch` is to run: everything from the command line and the environment, read and checked.

Addresses can hold passwords: they never show in a repr, and are shown only after `redact_uri`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.config_types import closest
from mtrigger.errors import SettingsError
from mtrigger.partitions import MOST_PARTITIONS
from mtrigger.redaction import redact_uri

__all__ = ["Policy", "Settings", "StartFrom", "parse_start_from", "read_mail_settings", "redact_uri"]

StartFrom = Literal["now", "oldest", "rescan"] | datetime
"""Where the very first start begins: now, the oldest change in the history, a moment (aware); or now, after
every document that is there has been held against the rules."""

Policy = Literal["fail", "rescan", "from-now", "from-oldest"]
"""What to do when the stream cannot go on at its position: end and ask an operator; hold the documents that
are there against the rules and go on from now; go on from now; go on with the oldest change there is."""

SHORTEST_LEASE, LONGEST_LEASE = 1.0, 3600.0
"""Seconds. Shorter than this and a slow election takes the stream away; longer and nobody takes over."""

_NOT_IN_DATABASE = set('/\\ ."$*<>:|?\0')


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `watch` is told.

    `uri` is None for an embedded server; an empty `state_uri` means that the state is kept where the rules
    watch; `templates` None means the folder beside the rules, `sources` None that none are read; `smtp` None
    that there is no mail server; `start_from` is as `parse_start_from` reads it, and `afresh` says that
    somebody has just asked for it, so that it holds although a position is missing that there once was;
    `drain` and `lease` are in seconds. The stream is divided into `partitions`, of which this process serves
    its share: it is the process `process` (from 0) of `processes`. `environ` fills in `${NAME}` in rule
    files. Raises SettingsError for what cannot be.
    """

    rules: Path
    uri: str | None = field(default=None, repr=False)
    templates: Path | None = None
    sources: Path | None = None
    state_uri: str = field(default="", repr=False)
    state_db: str = "mtrigger"
    smtp: SmtpServer | None = None
    mail_from: str = ""
    start_from: str = "now"
    afresh: bool = False
    on_history_lost: Policy = "fail"
    on_invalid_token: Policy = "fail"  # noqa: S105 - a resume token is no secret
    drain: float = 30.0
    lease: float = 15.0
    dry_run: bool = False
    partitions: int = 1
    processes: int = 1
    process: int = 0
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _check_uri(self.uri or "", "--uri")
        _check_uri(self.state_uri, "--state-uri")
        parse_start_from(self.start_from)
        if not SHORTEST_LEASE <= self.lease <= LONGEST_LEASE:
            raise SettingsError(f"--lease is from {SHORTEST_LEASE:g}s to {LONGEST_LEASE:g}s")
        _check_division(self.partitions, self.processes)
        name = self.state_db
        if not name or len(name.encode()) > 63 or _NOT_IN_DATABASE & set(name):
            raise SettingsError(f"{name!r} cannot be the name of a database; change --state-db")
        if name in ("admin", "config", "local"):
            raise SettingsError(f"the database {name} is MongoDB's own; give --state-db another name")


def parse_start_from(text: str) -> StartFrom:
    """Read `now`, `oldest`, `rescan` or an ISO 8601 time with its zone. Raises SettingsError."""
    if text == "now":
        return "now"
    if text == "oldest":
        return "oldest"
    if text == "rescan":
        return "rescan"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        near = closest(text, ("now", "oldest", "rescan"))
        hint = (
            f"did you mean {near!r}?"
            if near
            else "it is now, oldest, rescan, or a time such as 2026-01-31T10:00:00Z"
        )
        raise SettingsError(f"{text!r} is no start; {hint}") from None
    if moment.tzinfo is None:
        raise SettingsError(f"say the zone of {text!r}, such as {text}Z or {text}+09:00")
    return moment.astimezone(UTC)


def read_mail_settings(environ: Mapping[str, str]) -> tuple[SmtpServer | None, str]:
    """The mail server in MTRIGGER_SMTP_URL, if any, and the sender in MTRIGGER_MAIL_FROM. Raises
    SettingsError."""
    url = environ.get("MTRIGGER_SMTP_URL", "")
    return (SmtpServer.parse(url) if url else None), environ.get("MTRIGGER_MAIL_FROM", "")


def _check_division(partitions: int, processes: int) -> None:
    for option, count in (("--partitions", partitions), ("--processes", processes)):
        if not 1 <= count <= MOST_PARTITIONS:
            raise SettingsError(f"{option} is from 1 to {MOST_PARTITIONS}")
    if processes > partitions:
        raise SettingsError(
            f"{processes} processes cannot share {partitions} partitions: --processes is at most --partitions"
        )


def _check_uri(uri: str, option: str) -> None:
    if uri and not uri.startswith(("mongodb://", "mongodb+srv://")):
        raise SettingsError(f"{option} begins with mongodb:// or mongodb+srv://, unlike {redact_uri(uri)}")
