"""The address of the mail server: what it means, and that its password stays hidden."""

from pathlib import Path

import pytest

from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 587, "starttls")),
        ("smtp://mail.example:2525", SmtpServer("mail.example", 2525, "starttls")),
        ("smtps://mail.example", SmtpServer("mail.example", 465, "implicit")),
        ("smtps://mail.example?tls=implicit", SmtpServer("mail.example", 465, "implicit")),
        ("smtp://mail.example?tls=implicit", SmtpServer("mail.example", 465, "implicit")),
        ("smtp://localhost?tls=none", SmtpServer("localhost", 25, "none")),
        ("smtp://localhost:1025/?tls=none", SmtpServer("localhost", 1025, "none")),
        ("smtp://[::1]:1025?tls=none", SmtpServer("::1", 1025, "none")),
        (
            "smtp://a%40b.example:p%40s%2Fs%3A%23@mail.example",
            SmtpServer("mail.example", 587, "starttls", "a@b.example", "p@s/s:#"),
        ),
        (
            "smtp://mail.example?timeout=500ms&connections=9",
            SmtpServer("mail.example", 587, "starttls", timeout=0.5, connections=9),
        ),
    ],
)
def test_an_address_is_read(url: str, expected: SmtpServer) -> None:
    """Encryption is on unless the address says otherwise."""
    assert SmtpServer.parse(url) == expected


def test_own_authorities_are_a_file(tmp_path: Path) -> None:
    """One that exists."""
    (tmp_path / "ca.pem").write_text("x", encoding="ascii")
    assert SmtpServer.parse(f"smtps://m.example?ca={tmp_path}/ca.pem").ca == tmp_path / "ca.pem"
    with pytest.raises(SettingsError, match="there is no file"):
        SmtpServer.parse(f"smtps://m.example?ca={tmp_path}/no.pem")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mail.example", "begin with smtp:// or smtps://"),
        ("http://mail.example", "begin with smtp:// or smtps://"),
        ("smtp://", "after the host"),
        ("smtp://h/path", "after the host"),
        ("smtp://u:hunter2/x@h", "port"),
        ("smtp://u:hunter2#x@h", "port"),
        ("smtp://u:hunter2@h:port", "port"),
        ("smtp://u:hunter2@h:99999", "port"),
        ("smtp://u:hunter2@[h", "brackets"),
        ("smtp://u:hunter2@h?tls=yes", "tls is one of starttls, implicit, none"),
        ("smtps://u:hunter2@h?tls=none", "smtps:// means tls=implicit"),
        ("smtp://u:hunter2@h?tsl=none", "did you mean tls="),
        ("smtp://u:hunter2@h?tls=none&tls=none", "twice"),
        ("smtp://u:hunter2@h?timeout=5", "timeout"),
        ("smtp://u:hunter2@h?timeout=0s", "timeout"),
        ("smtp://u:hunter2@h?connections=0", "connections"),
        ("smtp://u:hunter2@h?connections=many", "connections"),
        ("smtp://u%0d%0a:hunter2@h", "control character"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_password(url: str, message: str) -> None:
    """One sentence with the way out."""
    with pytest.raises(SettingsError) as caught:
        SmtpServer.parse(url)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_password_is_in_no_text_of_the_server() -> None:
    """Neither in what logs show nor in what tracebacks show."""
    server = SmtpServer.parse("smtp://a%40b.example:hunter2@mail.example")
    assert "hunter2" not in f"{server} {server!r} {[server]}"
    assert str(server) == "smtp://a@b.example@mail.example:587?tls=starttls"


def test_a_user_that_is_an_address_is_the_sender() -> None:
    """Other users are only names."""
    assert SmtpServer.parse("smtp://a%40b.example:x@h").default_sender == "a@b.example"
    assert SmtpServer.parse("smtp://user:x@h").default_sender == ""
