"""What `watch` is told is checked before anything starts, and shows no password."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mtrigger.errors import SettingsError
from mtrigger.settings import Settings, parse_start_from, read_mail_settings

PASSWORD = "hunter2"


def settings(**given: Any) -> Settings:
    return Settings(**{"rules": Path("triggers"), **given})


def test_no_password_shows_in_a_repr() -> None:
    """Settings may be logged."""
    server, sender = read_mail_settings(
        {"MTRIGGER_SMTP_URL": f"smtp://u:{PASSWORD}@h", "MTRIGGER_MAIL_FROM": "a@example.com"}
    )
    found = settings(
        uri=f"mongodb://u:{PASSWORD}@h",
        state_uri=f"mongodb://u:{PASSWORD}@h",
        smtp=server,
        environ={"P": PASSWORD},
    )
    assert PASSWORD not in repr(found)
    assert sender == "a@example.com"


def test_mail_is_optional() -> None:
    """Only rules that mail need a server."""
    assert read_mail_settings({}) == (None, "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"uri": f"http://u:{PASSWORD}@h"}, r"--uri begins with mongodb:// .*u:\*\*\*@h"),
        ({"state_uri": "localhost"}, "--state-uri begins with mongodb://"),
        ({"state_db": "a.b"}, "'a.b' cannot be the name of a database"),
        ({"state_db": ""}, "--state-db"),
        ({"state_db": "admin"}, "MongoDB's own"),
        ({"start_from": "odlest"}, "did you mean 'oldest'"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(given: dict[str, Any], message: str) -> None:
    """Naming the option."""
    with pytest.raises(SettingsError, match=message) as raised:
        settings(**given)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("now", "now"),
        ("oldest", "oldest"),
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00:00+09:00", datetime(2026, 1, 31, 1, tzinfo=UTC)),
    ],
)
def test_a_start_is_now_oldest_or_a_moment(text: str, start: Any) -> None:
    """Moments are kept in UTC."""
    assert parse_start_from(text) == start


def test_a_time_without_zone_is_no_moment() -> None:
    """The hint shows how to say the zone."""
    with pytest.raises(SettingsError, match=r"such as 2026-01-31T10:00:00Z or 2026-01-31T10:00:00\+09:00"):
        parse_start_from("2026-01-31T10:00:00")
