"""`mtrigger mailbox`, as a user runs it."""

import smtplib
import urllib.request

from support.command import MtriggerCommand


def test_it_prints_both_addresses_takes_a_mail_and_ends_with_ctrl_c(
    mtrigger_command: MtriggerCommand,
) -> None:
    """From the first line to exit code 0."""
    running = mtrigger_command.start("mailbox", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0")
    page = running.wait_for_line(r"(http://127\.0\.0\.1:\d+/)")[1]
    port = int(running.wait_for_line(r"smtp://127\.0\.0\.1:(\d+)\?tls=none")[1])
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail("a@example.com", ["b@example.com"], "Subject: hello\r\n\r\nx\r\n")
    with urllib.request.urlopen(f"{page}api/mails", timeout=30) as answer:
        assert b'"subject":"hello"' in answer.read()
    assert running.interrupt() == 0
    assert "Traceback" not in running.output


def test_an_address_that_is_none_is_a_usage_error(mtrigger_command: MtriggerCommand) -> None:
    """It says how one looks."""
    finished = mtrigger_command.run("mailbox", "--http", "8025")
    assert finished.code == 2
    assert "is not HOST:PORT, such as 127.0.0.1:1025" in finished.output


def test_a_port_in_use_is_one_sentence(mtrigger_command: MtriggerCommand) -> None:
    """And exit code 64."""
    running = mtrigger_command.start("mailbox", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0")
    taken = running.wait_for_line(r"http://127\.0\.0\.1:(\d+)/")[1]
    finished = mtrigger_command.run("mailbox", "--smtp", "127.0.0.1:0", "--http", f"127.0.0.1:{taken}")
    assert finished.code == 64
    assert f"web page cannot listen on 127.0.0.1:{taken}" in finished.output
    assert "Traceback" not in finished.output
